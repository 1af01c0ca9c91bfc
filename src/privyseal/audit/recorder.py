"""Group commit: one thread writes all events that have queued up in one transaction, and answers wait for it.

Two promises. An awaited `record` returns only when its events are on the disk. And it returns only if nothing that a
decision rests on (users, rules, cores, limits) has changed since that decision: the transaction that writes the events
reads the generation first, and a stale decision raises StaleDecisionError instead of being recorded.

A signature that was made and is not given out, because its decision was stale or the database failed, is recorded too,
as withheld: the keeper has counted it, and its number must not be missing.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from itertools import chain

import msgspec

from privyseal.errors import PrivysealError, StaleDecisionError, UnavailableError
from privyseal.model.event import Event, Outcome
from privyseal.store import events
from privyseal.store.store import Store

_GROUP_MAX = 10_000  # events in one transaction; more would make the first of them wait too long
_WITHHELD = "the signature was thrown away: its decision was stale, or the database did not answer"


class _Entry(msgspec.Struct, frozen=True):
    """Events that wait for a commit; `basis` is the generation of their decision, None when they rest on none."""

    events: Sequence[Event]
    basis: int | None
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[int]

    def is_fresh(self, present: int) -> bool:
        """Say whether what the events rest on is still true."""
        return self.basis is None or self.basis == present


class Recorder:
    """The one way for an API worker's hot operations to write to the record."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owed: list[Event] = []  # withheld signatures that could not be recorded yet; the thread's own
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    async def record(self, new: Sequence[Event], basis: int | None) -> int:
        """Write events and give the number of the first once all are durable.

        Raises StaleDecisionError when `basis` is not the present generation, UnavailableError when the database fails.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._queue.put(_Entry(new, basis, loop, done))
        return await done

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last and (entry := self._queue.get()) is not None:
            group, last = self._gather(entry)
            self._commit(group)
        if self._owed:
            with contextlib.suppress(Exception):  # the database is still away; there will be a gap, and it will show
                self._write([])

    def _gather(self, entry: _Entry) -> tuple[list[_Entry], bool]:
        """Take all that waits; the second value says whether the end is among it."""
        group, count = [entry], len(entry.events)
        while count < _GROUP_MAX:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return group, True
            group.append(following)
            count += len(following.events)
        return group, False

    def _commit(self, group: list[_Entry]) -> None:
        try:
            results = self._write(group)
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it is
            self._owed += _withheld(group)
            known = isinstance(error, PrivysealError)
            results = [error if known else UnavailableError("the record cannot be written; try again")] * len(group)
        loop = group[0].loop
        loop.call_soon_threadsafe(_resolve, list(zip(group, results, strict=True)))

    def _write(self, group: list[_Entry]) -> list[int | Exception]:
        with self._store.write_fast() as cursor:
            head = cursor.head()
            first = head.last_event + 1
            fresh = [entry for entry in group if entry.is_fresh(head.generation)]
            stale = [entry for entry in group if not entry.is_fresh(head.generation)]
            new = [*chain.from_iterable(entry.events for entry in fresh), *self._owed, *_withheld(stale)]
            if new:
                events.write(cursor, head.edge, new)
        self._owed = []
        return _numbers(group, head.generation, first)


def _numbers(group: list[_Entry], present: int, first: int) -> list[int | Exception]:
    results: list[int | Exception] = []
    for entry in group:
        if entry.is_fresh(present):
            results.append(first)
            first += len(entry.events)
        else:
            results.append(StaleDecisionError("rules, users or keys have changed"))
    return results


def _withheld(entries: Sequence[_Entry]) -> list[Event]:
    """Give what has to be recorded of answers that are not given: the signatures among them."""
    made = (event for entry in entries for event in entry.events if event.use is not None)
    return [msgspec.structs.replace(event, outcome=Outcome.WITHHELD, reason=_WITHHELD) for event in made]


def _resolve(results: list[tuple[_Entry, int | Exception]]) -> None:
    for entry, result in results:
        if entry.done.done():  # the HTTP client hung up
            continue
        if isinstance(result, int):
            entry.done.set_result(result)
        else:
            entry.done.set_exception(result)
