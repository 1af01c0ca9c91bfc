"""Export the whole record with a checkpoint, page by page, so that its length does not matter."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from privyseal.audit.verify import EXPORT_FORMAT, Header
from privyseal.model.access import Operation
from privyseal.model.event import Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Act, Caller
from privyseal.operations.take_checkpoint import Taken, take_checkpoint
from privyseal.store import events

_PAGE = 1000


async def begin_export(appliance: Appliance, caller: Caller, act: Act) -> Taken:
    """Record that the record is exported, and take the checkpoint that leads it. Raises as `prove.checkpoint`."""
    require_role(caller, Operation.AUDIT_READ)
    event = act.event(appliance, caller.user.name, Outcome.DONE)
    await appliance.recorder.record([event], caller.snapshot.generation)
    return await take_checkpoint(appliance.store, appliance.keeper)


async def export(appliance: Appliance, taken: Taken) -> AsyncIterator[bytes]:
    """Give the export in pieces: a line with the checkpoint, then a line for each event that it speaks of."""
    yield msgspec.json.encode(Header(EXPORT_FORMAT, str(taken.key), taken.note)) + b"\n"
    for first in range(1, taken.size + 1, _PAGE):
        yield await asyncio.to_thread(_page, appliance, first, min(first + _PAGE - 1, taken.size))


def _page(appliance: Appliance, first: int, last: int) -> bytes:
    with appliance.store.read() as connection:
        return b"".join(leaf + b"\n" for leaf in events.leaves(connection, first, last))
