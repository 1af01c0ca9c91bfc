"""Record what a worker that ended had in hand: signatures that the keeper counted and that nobody was given.

Any process may do it, several at once: what is on record already is found in the transaction that would write it. Only
the newest events are looked at, because a signature whose event is durable is held no longer than a moment.
"""

import asyncio

from privyseal.keeper.client import KeeperClient
from privyseal.model.event import Event, Outcome
from privyseal.store import appliance, events
from privyseal.store.store import Store
from privyseal.store.times import now_micros
from privyseal.wire import frames, parameters

_ENDED = "its worker ended before the event was durable"
_LATE = "its worker had not recorded it after a minute"


async def record_abandoned(store: Store, keeper: KeeperClient, count: int = 0) -> int:
    """Record as withheld what nobody else will record; gives how many answers of the first `count` signatures wait.

    Raises UnavailableError.
    """
    found = await keeper.ask(frames.ListUnrecorded(count), frames.Unrecorded)
    if found.abandoned:
        await asyncio.to_thread(_record, store, found)
        keeper.recorded((found.keeper, made.first_use) for made in found.abandoned)
    return found.waiting


def _record(store: Store, found: frames.Unrecorded) -> None:
    with store.write() as connection:
        node = appliance.node(connection) or ""
        missing = [event for made in found.abandoned for event in _events(node, found.keeper, made)]
        events.append_missing(connection, found.keeper, missing)


def _events(node: str, keeper: str, made: frames.Made) -> list[Event]:
    return [
        Event(
            time=now_micros(),
            node=node,
            user=made.user,
            operation=f"key:{parameters.verb_of(made.mechanism)}",
            core=made.core,
            key=made.key,
            mechanism=made.mechanism,
            input=digest,
            outcome=Outcome.WITHHELD,
            reason=_ENDED if made.ended else _LATE,
            keeper=keeper,
            use=use,
        )
        for use, digest in enumerate(made.inputs, made.first_use)
    ]
