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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from privyseal.errors import PrivysealError, StaleDecisionError, UnavailableError
from privyseal.model.event import Event, Outcome
from privyseal.store import events, replays
from privyseal.store.replays import Kept
from privyseal.store.store import Cursor, Store
from privyseal.telemetry.metrics import Histogram

_GROUP_MAX = 10_000  # events in one transaction; more would make the first of them wait too long
_CLEAN_SECONDS = 1.0
_CLEANED_MIN = 100
_DROPPED = "the same request had been answered before"
_WITHHELD = "the signature was thrown away: its decision was stale, or the database did not answer"


class Keep(msgspec.Struct, frozen=True):
    """An answer to keep with its events, for a request that may come again; see `store.replays`.

    Attributes:
        answer: writes it, of the first event's number.
    """

    id: str
    content: str
    answer: Callable[[int], Kept]


class _Entry(msgspec.Struct, frozen=True):
    """Events that wait for a commit; `basis` is the generation of their decision, None when they rest on none."""

    events: Sequence[Event]
    basis: int | None
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[int]
    keep: Keep | None = None

    def is_fresh(self, present: int) -> bool:
        """Say whether what the events rest on is still true."""
        return self.basis is None or self.basis == present


class Recorder:
    """The one way for an API worker's hot operations to write to the record.

    Args:
        commits: how long each took.
        recorded: told in the event loop which of the keeper's answers are on record now, whatever became of them.
    """

    def __init__(
        self,
        store: Store,
        commits: Histogram | None = None,
        recorded: Callable[[Sequence[tuple[str, int]]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._recorded = recorded
        self._owed: list[Event] = []  # withheld signatures that could not be recorded yet; the thread's own
        self._commits = commits
        self._kept = 1  # so that a first cleaning comes, also after a restart
        self._clean_at = time.monotonic()
        self._turn: list[
            _Entry
        ] = []  # of this turn of the event loop; handing each over would wake the thread for each
        self._queue: queue.SimpleQueue[list[_Entry] | None] = queue.SimpleQueue()
        self._put = self._taken = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    async def record(self, new: Sequence[Event], basis: int | None, keep: Keep | None = None) -> int:
        """Write events, and the answer that tells of them; give the number of the first once all are durable.

        Raises StaleDecisionError when `basis` is not the present generation, UnavailableError when the database fails,
        AnsweredBeforeError or IdempotencyKeyReusedError when there is an answer for this key already. In that case the
        events are recorded as dropped.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        self._add(_Entry(new, basis, loop, done, keep))
        return await done

    def _add(self, entry: _Entry) -> None:
        if not self._turn:
            entry.loop.call_soon(self._hand_over)
        self._turn.append(entry)

    def _hand_over(self) -> None:
        if self._turn:
            self._put += len(self._turn)
            self._queue.put(self._turn)
            self._turn = []

    @property
    def waiting(self) -> int:
        """How many entries wait for a commit."""
        return self._put - self._taken

    def withhold(self, new: Sequence[Event]) -> None:
        """Record signatures that were made and are not given out, without waiting for it."""
        loop = asyncio.get_running_loop()
        nobody: asyncio.Future[int] = loop.create_future()
        nobody.cancel()
        self._add(_Entry(_as_withheld(new), None, loop, nobody))

    def close(self) -> None:
        """Write what is queued, then end the thread."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        last = False
        while not last and (first := self._queue.get()) is not None:
            group, last = self._gather(first)
            self._taken += len(group)
            self._commit(group)
        if self._owed:
            with contextlib.suppress(Exception):  # the database is still away; there will be a gap, and it will show
                self._write([])

    def _gather(self, group: list[_Entry]) -> tuple[list[_Entry], bool]:
        """Take all that waits; the second value says whether the end is among it."""
        count = sum(len(entry.events) for entry in group)
        while count < _GROUP_MAX:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return group, True
            group += following
            count += sum(len(entry.events) for entry in following)
        return group, False

    def _commit(self, group: list[_Entry]) -> None:
        began = time.perf_counter_ns()
        loop, owed = group[0].loop, self._owed
        try:
            results = self._write(group)
            durable = _answers([event for entry in group for event in entry.events[:1]] + owed)
        except Exception as error:  # noqa: BLE001 - whoever waits has to hear of it, whatever it is
            self._owed = owed + _withheld(group)
            durable = []
            known = isinstance(error, PrivysealError)
            results = [error if known else UnavailableError("the record cannot be written; try again")] * len(group)
        if self._commits is not None:
            self._commits.add(time.perf_counter_ns() - began)
        loop.call_soon_threadsafe(self._resolve, list(zip(group, results, strict=True)), durable)

    def _resolve(self, results: list[tuple[_Entry, int | Exception]], durable: list[tuple[str, int]]) -> None:
        _resolve(results)
        if durable:
            self._recorded(durable)

    def _write(self, group: list[_Entry]) -> list[int | Exception]:
        with self._store.write_fast() as cursor:
            head = cursor.head()
            ids = [entry.keep.id for entry in group if entry.keep is not None]
            batch = _Batch(head.generation, head.last_event + 1, replays.find(cursor, ids) if ids else {})
            for entry in group:
                batch.take(entry)
            if new := [*batch.events, *self._owed, *_withheld(batch.stale)]:
                events.write(cursor, head.edge, new)
            if batch.kept:
                replays.write(cursor, batch.kept)
            self._clean(cursor, len(batch.kept))
        self._owed = []
        return batch.results

    def _clean(self, cursor: Cursor, new: int) -> None:
        """Forget old answers in small steps, a little faster than new ones come."""
        self._kept += new
        if self._kept and time.monotonic() >= self._clean_at:
            replays.clean(cursor, 2 * self._kept + _CLEANED_MIN)
            self._kept, self._clean_at = 0, time.monotonic() + _CLEAN_SECONDS


@dataclass(slots=True)
class _Batch:
    """What one transaction writes, and what each entry hears of it.

    Attributes:
        present: the generation.
        number: of the next event.
        known: answers that are there, by id.
        stale: entries whose decision is out of date.
    """

    present: int
    number: int
    known: dict[str, Kept]
    events: list[Event] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    stale: list[_Entry] = field(default_factory=list)
    results: list[int | Exception] = field(default_factory=list)

    def take(self, entry: _Entry) -> None:
        """Add an entry: fresh, stale, or answered before."""
        if not entry.is_fresh(self.present):
            self.stale.append(entry)
            self.results.append(StaleDecisionError("rules, users or keys have changed"))
        elif entry.keep is None:
            self.results.append(self._add(entry.events))
        elif entry.keep.id in self.known:
            self._add([msgspec.structs.replace(one, outcome=Outcome.DROPPED, reason=_DROPPED) for one in entry.events])
            self.results.append(replays.refusal(self.known[entry.keep.id], entry.keep.content))
        else:
            kept = entry.keep.answer(self.number)
            self.known[kept.id] = kept
            self.kept.append(kept)
            self.results.append(self._add(entry.events))

    def _add(self, new: Sequence[Event]) -> int:
        first = self.number
        self.events.extend(new)
        self.number += len(new)
        return first


def _withheld(entries: Sequence[_Entry]) -> list[Event]:
    """Give what has to be recorded of answers that are not given: the signatures among them."""
    return _as_withheld([event for entry in entries for event in entry.events if event.use is not None])


def _answers(written: Sequence[Event]) -> list[tuple[str, int]]:
    """Give the keeper's answers that these events belong to; one that is not an answer's first does no harm."""
    return [(one.keeper, one.use) for one in written if one.keeper is not None and one.use is not None]


def _as_withheld(made: Sequence[Event]) -> list[Event]:
    return [msgspec.structs.replace(event, outcome=Outcome.WITHHELD, reason=_WITHHELD) for event in made]


def _resolve(results: list[tuple[_Entry, int | Exception]]) -> None:
    for entry, result in results:
        if entry.done.done():  # the HTTP client hung up
            continue
        if isinstance(result, int):
            entry.done.set_result(result)
        else:
            entry.done.set_exception(result)
