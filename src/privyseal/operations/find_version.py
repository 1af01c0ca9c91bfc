"""Finding one version of a key, and whether a key may be used at all."""

import asyncio

from privyseal.errors import AccessRefusedError, ConflictError, NotFoundError
from privyseal.model.access import Decision, Operation
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.find_key import find_key
from privyseal.operations.perform import Act, Caller
from privyseal.store import key_life
from privyseal.store.store import Store


async def find_version(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], operation: Operation, version: int | None
) -> KnownKey:
    """Give a key as `find_key` does, in one of its versions; None is the current one.

    Raises NotFoundError for a version that the key does not have, and as `find_key`.
    """
    known = await find_key(appliance, caller, act, *place, operation)
    if version is None or version == known.key.version:
        return known
    known_number = 0 < version < known.key.version  # the database takes no number of any length
    older = await asyncio.to_thread(_read, appliance.store, known.key, version) if known_number else None
    if older is None:
        raise NotFoundError(f"key '{known.key.label}' has no version {version}; its current one is {known.key.version}")
    return KnownKey.of(older)


def require_usable(known: KnownKey, *, opens: bool = False) -> None:
    """Refuse to use a key that is disabled or scheduled, or a version that does not sign any more.

    Args:
        opens: whether the key shall open what was made with it before, which old versions are there for.
    """
    reason = known.closed if opens else known.unusable
    if reason is not None:
        raise AccessRefusedError(Decision(allowed=False, reason=reason))


def with_public_half(known: KnownKey) -> Key:
    """Give a key that has a public half; raises NotFoundError for a symmetric one."""
    if known.key.type.is_symmetric:
        raise NotFoundError(f"key '{known.key.label}' is of type {known.key.type.value} and has no public half")
    return known.key


def require_unscheduled(key: Key) -> None:
    """Refuse to change a key that is about to be destroyed; raises ConflictError."""
    if key.destroy_at is not None:
        raise ConflictError(f"key '{key.label}' is scheduled for destruction; restore it first")


def _read(store: Store, key: Key, version: int) -> Key | None:
    with store.read() as connection:
        return key_life.version(connection, key, version)
