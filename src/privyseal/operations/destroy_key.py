"""Destroy a key in two steps: it refuses use at once, and after some days its sealed record goes.

With the record goes the only form in which the private half is kept. Until then the key can be restored and its label
stays taken.
"""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Connection

from privyseal.errors import AccessRefusedError, ConflictError, InvalidRequestError
from privyseal.model.access import Decision, Operation, Role
from privyseal.model.cores import DESTROY_DAYS, Core
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key
from privyseal.operations.manage import change
from privyseal.operations.perform import Act, Caller
from privyseal.store import key_life, keys
from privyseal.store.times import now

DEFAULT_DAYS = 30


async def schedule_destruction(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], days: int | None
) -> Key:
    """Say that a key shall be destroyed, and refuse its use from now on.

    Args:
        days: from now to its end; None means 30 days or the core's setting, whichever is more.

    Raises:
        InvalidRequestError: fewer days than the core allows, or more than 365.
        ConflictError: it is scheduled already.
        NotFoundError, KeyNotFoundError, AccessRefusedError, UnavailableError, StaleDecisionError
    """
    known = await find_key(appliance, caller, act, *place, Operation.KEY_DESTROY)
    if known.key.destroy_at is not None:
        raise ConflictError(f"key '{known.key.label}' is scheduled for destruction already; restore it to choose anew")
    wait = _checked(caller.snapshot.cores[known.key.core], days)
    key = replace(known.key, destroy_at=now() + timedelta(days=wait))
    reason = f"label '{key.label}', to be destroyed in {wait} days"
    quorum = caller.snapshot.quorum("key:destroy", act.core, act.key)
    return await change(appliance, caller, act, reason, lambda connection: key_life.change(connection, key), quorum)


async def destroy_now(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str]) -> None:
    """Remove a key for ever, where its core allows that to administrators. Raises AccessRefusedError elsewhere."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_DESTROY)
    if caller.snapshot.cores[known.key.core].destroy_days or caller.user.role is not Role.ADMINISTRATOR:
        raise AccessRefusedError(
            Decision(
                allowed=False,
                reason=f"only administrators destroy a key at once, and only in a core whose destroy_days is 0; "
                f"core {known.key.core} has {caller.snapshot.cores[known.key.core].destroy_days}",
            )
        )

    def work(connection: Connection) -> None:
        keys.remove(connection, known.key)

    await change(appliance, caller, act, f"label '{known.key.label}', at once", work)


async def restore_key(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str]) -> Key:
    """Take back that a key shall be destroyed. Raises ConflictError when nobody said so."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_DESTROY)
    if known.key.destroy_at is None:
        raise ConflictError(f"key '{known.key.label}' is not scheduled for destruction")
    key = replace(known.key, destroy_at=None)
    reason = f"label '{key.label}'"
    return await change(appliance, caller, act, reason, lambda connection: key_life.change(connection, key))


def _checked(core: Core, days: int | None) -> int:
    least, most = max(core.destroy_days, DESTROY_DAYS[0]), DESTROY_DAYS[1]
    wait = max(DEFAULT_DAYS, least) if days is None else days
    if not least <= wait <= most:
        raise InvalidRequestError.of("days", f"in core {core.number} a key is destroyed after {least} to {most} days")
    return wait
