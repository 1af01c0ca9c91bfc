"""Destroy a key: its sealed record goes, and with it the only form in which its private half is kept."""

import asyncio

from privyseal.model.access import Operation
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.approve import Wanted, approved, use
from privyseal.operations.find_key import find_key
from privyseal.operations.perform import Act, Caller
from privyseal.store import events, keys
from privyseal.store.store import Store


async def destroy_key(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str]) -> None:
    """Remove a key for ever. Raises NotFoundError, KeyNotFoundError, AccessRefusedError, UnavailableError."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_DESTROY)
    reason = f"label '{known.key.label}'"
    quorum = caller.snapshot.quorum(act.operation, act.core, act.key)
    approval = await approved(appliance, caller, act, quorum, Wanted((reason,), reason))
    event = act.event(appliance, caller.user.name, Outcome.DONE, reason=reason)
    await asyncio.to_thread(_remove, appliance.store, known.key, event, approval)
    await appliance.current()


def _remove(store: Store, key: Key, event: Event, approval: int | None) -> None:
    with store.write() as connection:
        use(connection, approval)
        keys.remove(connection, key)
        events.append(connection, [event])
