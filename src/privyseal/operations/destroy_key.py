"""Destroy a key: its sealed record goes, and with it the only form in which its private half is kept."""

import asyncio

from privyseal.model.access import Operation
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key
from privyseal.operations.perform import Act, Caller
from privyseal.store import events, keys
from privyseal.store.store import Store


async def destroy_key(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str]) -> None:
    """Remove a key for ever. Raises NotFoundError, KeyNotFoundError, AccessRefusedError, UnavailableError."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_DESTROY)
    event = act.event(appliance, caller.user.name, Outcome.DONE, reason=f"label '{known.key.label}'")
    await asyncio.to_thread(_remove, appliance.store, known.key, event)
    await appliance.current()


def _remove(store: Store, key: Key, event: Event) -> None:
    with store.write() as connection:
        keys.remove(connection, key)
        events.append(connection, [event])
