"""Rotate a key: a new version takes its place under the same label and id, and the old one stays to verify with."""

from dataclasses import replace

from sqlalchemy import Connection

from privyseal.errors import ConflictError, InvalidRequestError
from privyseal.model.access import Operation
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import require_unscheduled
from privyseal.operations.generate_key import public_half
from privyseal.operations.look import look
from privyseal.operations.manage import change
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Proof, Secret, use
from privyseal.store import key_life
from privyseal.store.times import now
from privyseal.wire import frames, names

ROTATE_DAYS = (1, 3650)


async def rotate_key(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], secret: Secret, new_pin: str | None
) -> Key:
    """Make the next version of a key.

    Args:
        secret: the PIN or a ticket of the present version, where it has a PIN.
        new_pin: None keeps the PIN.

    Raises: as `change_policy`.
    """
    known = await find_key(appliance, caller, act, *place, Operation.KEY_MANAGE)
    require_unscheduled(known.key)
    if new_pin is not None:
        names.pin(new_pin, "new_pin")
        _check_rotation(known.key.rotate_after, has_pin=True)
    salt = caller.snapshot.cores[known.key.core].pin_salt

    def request(proof: Proof) -> frames.Rotate:
        return frames.Rotate(caller.user.name, known.key.core, proof, known.record, new_pin, salt)

    made = await use(appliance, caller, known, secret, request, frames.Generated)
    key = next_version(known, made)

    def work(connection: Connection) -> Key:
        return keep_version(connection, known.key, key, made)

    pin = "" if new_pin is None else ", with a new PIN"
    reason = f"version {key.version} of key '{key.label}'{pin}"
    return await change(appliance, caller, act, reason, work, made=public_half(key))


async def set_rotation(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], days: int | None) -> Key:
    """Let the appliance rotate a key without a PIN by itself, some days after each version was made; None: never."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_MANAGE)
    require_unscheduled(known.key)
    if days is not None and not ROTATE_DAYS[0] <= days <= ROTATE_DAYS[1]:
        raise InvalidRequestError.of("rotate_after", f"this is {ROTATE_DAYS[0]} to {ROTATE_DAYS[1]} days, or null")
    _check_rotation(days, has_pin=known.key.has_pin)
    key = replace(known.key, rotate_after=days)
    reason = f"rotate_after {known.key.rotate_after or 'none'} -> {days or 'none'}"
    return await change(appliance, caller, act, reason, lambda connection: key_life.change(connection, key))


async def list_versions(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str]) -> list[Key]:
    """Give all versions of a key, the current one last."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_READ)
    return await look(appliance, lambda connection: key_life.versions(connection, known.key))


def next_version(known: KnownKey, made: frames.Generated) -> Key:
    """Give the key with its new version."""
    return replace(
        known.key,
        public_key=made.public_key,
        has_pin=made.pin_tag is not None,
        sealed=made.record.sealed,
        policy=made.record.policy,
        version=made.record.version,
        version_created=now(),
    )


def keep_version(connection: Connection, old: Key, new: Key, made: frames.Generated) -> Key:
    """Keep a new version. Raises ConflictError when somebody else has rotated the key meanwhile."""
    if made.counter is not None:
        key_life.set_counter(connection, new, made.counter)
    return key_life.rotate(connection, old, new, made.pin_tag)


def _check_rotation(days: int | None, *, has_pin: bool) -> None:
    if days is not None and has_pin:
        raise ConflictError(
            "only a key without a PIN is rotated by the appliance itself, because a version is sealed with the PIN; "
            "rotate it by hand, and set its rotate_after to null"
        )
