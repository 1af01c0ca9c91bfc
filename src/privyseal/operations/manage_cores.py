"""Cores: create, list, change, delete when empty; and unlocking a key whose PIN was tried too often."""

import os
import secrets
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection

from privyseal.access.attempts import key_subject
from privyseal.errors import ConflictError, InvalidRequestError
from privyseal.model.access import Operation
from privyseal.model.cores import DESTROY_DAYS, MANUFACTURER, MODEL, PIN_DELAY_FROM, PIN_LOCK_AT, WRONG_PINS, Core
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key, may_enter, require_entry
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import attempts, cores, objects
from privyseal.store.times import now
from privyseal.wire import names

_TEXT_LENGTHS = {"token_label": 32, "manufacturer": 32, "model": 16}  # CK_TOKEN_INFO, PKCS #11 v3.1, section 3.2


@dataclass(frozen=True, slots=True)
class CountedCore:
    """A core and how many keys it holds."""

    core: Core
    keys: int


@dataclass(frozen=True, slots=True)
class CoreLimits:
    """What a core may set for itself; see `model.cores.Core`."""

    destroy_days: int = 30
    pin_delay_from: int = PIN_DELAY_FROM
    pin_lock_at: int = PIN_LOCK_AT


def blank_core(name: str, *, pin_required: bool) -> Core:
    """Make a core that the store has not numbered yet, with its salt and serial number."""
    return Core(
        number=0,
        name=name,
        pin_required=pin_required,
        pin_salt=os.urandom(16),
        serial=str(100_000_000 + secrets.randbelow(900_000_000)),  # nine digits, and small enough to be a slot id
        token_label=name[:32],
        manufacturer=MANUFACTURER,
        model=MODEL,
        revision=1,
        created=now(),
    )


async def list_cores(appliance: Appliance, caller: Caller) -> list[CountedCore]:
    """Give the cores in which the user has a rule; to those who manage or audit, all."""
    mine = [core for core in caller.snapshot.cores.values() if may_enter(caller, core)]
    return await look(appliance, lambda connection: [_counted(connection, core) for core in mine])


async def get_core(appliance: Appliance, caller: Caller, act: Act, core_ref: str) -> CountedCore:
    """Give one core. Raises NotFoundError, or AccessRefusedError to a user without any rule in it."""
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    require_entry(caller, core, Operation.KEY_READ)
    return await look(appliance, lambda connection: _counted(connection, core))


async def create_core(
    appliance: Appliance, caller: Caller, act: Act, name: str, *, pin_required: bool, limits: CoreLimits
) -> CountedCore:
    """Make a core. Raises ConflictError when the name is taken."""
    require_role(caller, Operation.CORE_MANAGE)
    given = asdict(limits)
    _check_values(given)
    core = replace(blank_core(_checked_name(name), pin_required=pin_required), **given)
    return await change(
        appliance, caller, act, f"core '{name}'", lambda connection: CountedCore(cores.add(connection, core), 0)
    )


async def update_core(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, values: dict[str, object]
) -> CountedCore:
    """Change name, PIN rule or the words that PKCS #11 hosts see."""
    require_role(caller, Operation.CORE_MANAGE)
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    _check_values(values)

    def work(connection: Connection) -> CountedCore:
        return _counted(connection, cores.change(connection, core.number, values))

    words = "; ".join(f"{name} is '{value}'" for name, value in sorted(values.items()))
    return await change(appliance, caller, act, words or "nothing changed", work)


async def delete_core(appliance: Appliance, caller: Caller, act: Act, core_ref: str) -> None:
    """Remove an empty core with its rules. Raises ConflictError while it holds a key."""
    require_role(caller, Operation.CORE_MANAGE)
    core = caller.snapshot.core(core_ref)
    act.core = core.number

    def work(connection: Connection) -> None:
        count = cores.count_keys(connection, core.number)
        if count:
            raise ConflictError(f"core {core.number} still holds {count} keys; delete them first")
        if stored := objects.count(connection, core.number):
            raise ConflictError(f"core {core.number} still holds {stored} objects; delete them first")
        cores.remove(connection, core.number)

    await change(appliance, caller, act, f"core '{core.name}'", work)


async def unlock_key(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str]) -> None:
    """Forget the wrong PINs that locked a key."""
    require_role(caller, Operation.USER_MANAGE)
    known = await find_key(appliance, caller, act, *place, Operation.KEY_READ)
    subject = key_subject(known.key.core, known.key.id)
    await change(appliance, caller, act, "unlocked", lambda connection: attempts.forgive_one(connection, subject))


def _counted(connection: Connection, core: Core) -> CountedCore:
    return CountedCore(core, cores.count_keys(connection, core.number))


def _checked_name(name: str) -> str:
    if name.isdigit():
        raise InvalidRequestError.of("name", "a core's name is not a number; numbers are given here")
    return names.name(name)


def _check_values(values: dict[str, object]) -> None:
    if "name" in values:
        _checked_name(str(values["name"]))
    days = values.get("destroy_days", 0)
    if days != 0 and days not in range(DESTROY_DAYS[0], DESTROY_DAYS[1] + 1):
        raise InvalidRequestError.of("destroy_days", f"this is 0, or {DESTROY_DAYS[0]} to {DESTROY_DAYS[1]} days")
    for field in ("pin_delay_from", "pin_lock_at"):
        if values.get(field, PIN_LOCK_AT) not in range(WRONG_PINS[0], WRONG_PINS[1] + 1):
            raise InvalidRequestError.of(field, f"this is {WRONG_PINS[0]} to {WRONG_PINS[1]} wrong PINs")
    for field, length in _TEXT_LENGTHS.items():
        value = str(values.get(field, "x"))
        if not value.isprintable() or not 1 <= len(value.encode()) <= length:
            raise InvalidRequestError.of(field, f"this has 1 to {length} bytes of printable UTF-8")
