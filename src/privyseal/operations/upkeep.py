"""What becomes due by itself: keys at their end are destroyed, keys that have come of age are rotated.

And of the names that no user has, and that somebody tried to log in with, those beyond a number are forgotten.

Every API worker runs this, and the one that holds the lease in the database does the work. The lease saves work and
nothing rests on it: each step checks in its own transaction that it is still due. What a worker that ended has left
unrecorded needs no lease.
"""

import asyncio
import logging
import os
from datetime import datetime, timedelta

from privyseal.errors import PrivysealError, StaleDecisionError
from privyseal.keeper.client import RecordDamagedError
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.generate_key import public_half
from privyseal.operations.perform import Act
from privyseal.operations.record_abandoned import record_abandoned
from privyseal.operations.rotate_key import keep_version, next_version
from privyseal.store import attempts, events, key_life, keys
from privyseal.store.store import Store
from privyseal.store.times import now
from privyseal.wire import frames

USER = "(appliance)"
"""Who did it, in the record: no user can have this name."""
INTERVAL_SECONDS = 5.0
_LEASE = timedelta(seconds=60)
_AT_ONCE = 100
_log = logging.getLogger("privyseal.upkeep")


async def run(appliance: Appliance) -> None:
    """Look for what is due, for ever."""
    holder = f"{appliance.node}:{os.getpid()}:{os.urandom(4).hex()}"[-64:]
    while True:
        try:
            await record_abandoned(appliance.store, appliance.keeper)
            if await asyncio.to_thread(_is_ours_to_do, appliance.store, holder):
                await once(appliance, now())
        except Exception as error:  # noqa: BLE001 - whatever it is, the next time may go well
            _say("upkeep", error)
        await asyncio.sleep(INTERVAL_SECONDS)


async def once(appliance: Appliance, at: datetime) -> None:
    """Do what is due at a time; a key that cannot be rotated keeps no other one waiting."""
    for key_id, core in await asyncio.to_thread(_due, appliance.store, at):
        await asyncio.to_thread(_destroy, appliance, key_id, core, at)
    for key in await asyncio.to_thread(_of_age, appliance.store, at):
        try:
            await _rotate(appliance, key)
        except (PrivysealError, RecordDamagedError) as error:
            _say(f"the rotation of key {key.id}", error)
    await asyncio.to_thread(_forget_unknown, appliance.store)


def _say(what: str, error: Exception) -> None:
    unknown = None if isinstance(error, PrivysealError) else error
    _log.warning("%s has to wait: %s", what, error if unknown is None else type(error).__name__, exc_info=unknown)


def _is_ours_to_do(store: Store, holder: str) -> bool:
    """Say whether something is due and this process has the lease; while nothing is due nothing is written."""
    with store.read() as connection:
        if not any(
            (
                key_life.destroy_due(connection, now(), 1),
                key_life.rotate_due(connection, now(), 1),
                attempts.too_many_unknown(connection) > 0,
            )
        ):
            return False
    with store.write() as connection:
        return key_life.lease(connection, "upkeep", holder, now(), _LEASE)


def _due(store: Store, at: datetime) -> list[tuple[str, int]]:
    with store.read() as connection:
        return key_life.destroy_due(connection, at, _AT_ONCE)


def _destroy(appliance: Appliance, key_id: str, core: int, at: datetime) -> None:
    with appliance.store.write() as connection:
        events.hold(connection)
        key = keys.by_id(connection, core, key_id)
        if key is None or key.destroy_at is None or key.destroy_at > at:
            return  # restored or destroyed meanwhile
        keys.remove(connection, key)
        events.append(connection, [_event(appliance, "key:destroy", key, f"label '{key.label}', as scheduled")])


def _forget_unknown(store: Store) -> None:
    with store.write() as connection:
        attempts.forget_unknown(connection, max(attempts.too_many_unknown(connection), 0))


def _of_age(store: Store, at: datetime) -> list[Key]:
    with store.read() as connection:
        found = [keys.by_id(connection, core, key_id) for key_id, core in key_life.rotate_due(connection, at, _AT_ONCE)]
    return [key for key in found if key is not None and not key.has_pin]


async def _rotate(appliance: Appliance, key: Key) -> None:
    known = KnownKey.of(key)
    request = frames.Rotate(USER, key.core, None, known.record, None, b"")
    made = await appliance.keeper.ask(request, frames.Generated)
    new = next_version(known, made)
    event = _event(
        appliance, "key:rotate", new, f"version {new.version} of key '{key.label}', by age", public_half(new)
    )
    await asyncio.to_thread(_keep, appliance.store, key, new, made, event)


def _keep(store: Store, old: Key, new: Key, made: frames.Generated, event: Event) -> None:
    with store.write() as connection:
        events.hold(connection)
        if keys.by_id(connection, old.core, old.id) != old:
            raise StaleDecisionError("the key has changed meanwhile")
        keep_version(connection, old, new, made)
        events.append(connection, [event])


def _event(appliance: Appliance, operation: str, key: Key, reason: str, made: str | None = None) -> Event:
    act = Act(operation, key.core, key.id, key.type.value)
    return act.event(appliance, USER, Outcome.DONE, input=made, reason=reason)
