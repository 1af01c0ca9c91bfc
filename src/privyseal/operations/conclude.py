"""The end of a use of a key: its event is durable before its answer leaves, with all that belongs to it or not."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from privyseal.errors import StaleDecisionError
from privyseal.model.event import Event
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.approve import use
from privyseal.operations.count_uses import Answer, count_in
from privyseal.operations.perform import Act, Caller
from privyseal.store import events
from privyseal.store.store import generation
from privyseal.wire import frames


@dataclass(frozen=True, slots=True)
class Done:
    """What the keeper has done, before it is on record.

    Attributes:
        uses: the event of each use, with the keeper's number for it.
        approvals: those that are used up with it.
        result: makes what a repeated request is answered with of the first event's number; None keeps nothing.
        work: what else belongs into the transaction.
        beside: the events of that.
    """

    known: KnownKey
    answer: Answer
    uses: Sequence[Event]
    approvals: tuple[int, ...] = ()
    result: Callable[[int], object] | None = None
    work: Callable[[Connection], None] | None = None
    beside: Sequence[Event] = ()


async def conclude(appliance: Appliance, caller: Caller, act: Act, done: Done) -> int:
    """Record a use, and give the number of its event. What cannot be recorded so is on record as withheld.

    Raises StaleDecisionError, AccessRefusedError, AnsweredBeforeError, UnavailableError.
    """
    if not done.approvals and done.answer.counter is None and done.work is None:
        kept = None if done.result is None else act.keeps(done.result)
        return await appliance.recorder.record(done.uses, caller.snapshot.generation, kept)
    try:
        number = await asyncio.to_thread(_at_once, appliance, caller, act, done)
    except Exception:
        appliance.recorder.withhold(done.uses)  # what is not given out is on record all the same
        raise
    first_use = done.answer.first_use if isinstance(done.answer, frames.Signatures) else done.answer.use
    appliance.keeper.recorded([(done.answer.keeper, first_use)])
    return number


def _at_once(appliance: Appliance, caller: Caller, act: Act, done: Done) -> int:
    """Write it outside the group commit, because more than events has to be in the transaction."""
    with appliance.store.write() as connection:
        if generation(connection) != caller.snapshot.generation:
            raise StaleDecisionError("rules, users or keys have changed")
        repeat.claim(connection, act.repeat)
        for approval in done.approvals:
            use(connection, approval)
        uses = done.uses
        if done.answer.counter is not None:
            uses = count_in(connection, done.known, done.answer, uses)
        if done.work is not None:
            done.work(connection)
        number = events.append(connection, [*uses, *done.beside])
        if done.result is not None:
            repeat.keep(connection, act.repeat, done.result(number))
        return number
