"""The recorder: durable before the answer, in groups, and never for a decision that is out of date."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import event as sqlalchemy_event

from privyseal.audit.recorder import Recorder, _Entry
from privyseal.errors import StaleDecisionError, UnavailableError
from privyseal.model.event import Event, Outcome
from privyseal.store import appliance, events
from privyseal.store.store import Store, changed, generation
from privyseal.store.times import now_micros
from privyseal.telemetry.metrics import Metrics


@pytest.fixture
def recorder(store: Store) -> Iterator[Recorder]:
    """A recorder, closed at the end at the latest."""
    opened = Recorder(store)
    yield opened
    opened.close()


def event(user: str = "alice") -> Event:
    """An event of no meaning."""
    return Event(time=now_micros(), node="node", user=user, operation="key:sign", outcome=Outcome.DONE)


def users_of(store: Store) -> list[str]:
    """Who is in the record, in order."""
    with store.read() as connection:
        return [one.event.user for one in events.page(connection, 0, 10_000)]


def test_an_event_is_there_when_the_wait_is_over(recorder: Recorder, url: str) -> None:
    """Another connection reads it under the number that was given; the events of one call follow each other."""
    first = asyncio.run(recorder.record([event("a"), event("b")], None))
    other = Store(url)
    with other.read() as connection:
        assert [(one.number, one.event.user) for one in events.page(connection, first - 1, 9)] == [(1, "a"), (2, "b")]
    other.close()


def test_what_comes_together_is_committed_together(store: Store, recorder: Recorder) -> None:
    """Five hundred waits cost a handful of commits."""
    commits: list[object] = []
    sqlalchemy_event.listen(store._engine.pool, "checkin", lambda *_: commits.append(1))

    async def work() -> None:
        numbers = await asyncio.gather(*(recorder.record([event()], None) for _ in range(500)))
        assert sorted(numbers) == list(range(1, 501))

    asyncio.run(work())
    assert 1 <= len(commits) <= 50


def test_a_stale_decision_leaves_nothing(store: Store, recorder: Recorder) -> None:
    """What rests on an old generation is refused, in the same group in which fresh events are written."""

    async def work() -> None:
        with store.write() as connection:
            old = generation(connection)
            changed(connection)
        groups = [recorder.record([event(f"{basis}")], basis) for basis in (old, old + 1, None, old)]
        results = await asyncio.gather(*groups, return_exceptions=True)
        assert [isinstance(result, StaleDecisionError) for result in results] == [True, False, False, True]
        assert results[1:3] == [1, 2]
        assert users_of(store) == [f"{old + 1}", "None"]

    asyncio.run(work())


def signature(use: int) -> Event:
    """The event of a signature."""
    return msgspec.structs.replace(event(), keeper="ab" * 8, use=use)


def uses_of(store: Store) -> list[tuple[str, int | None]]:
    """The outcomes and uses in the record, in order."""
    with store.read() as connection:
        return [(one.event.outcome.value, one.event.use) for one in events.page(connection, 0, 100)]


def test_a_withheld_signature_is_recorded(store: Store, recorder: Recorder) -> None:
    """Stale decisions throw signatures away; their numbers are in the record all the same, behind the fresh ones."""

    async def work() -> None:
        results = await asyncio.gather(
            recorder.record([signature(1)], -1), recorder.record([signature(2)], None), return_exceptions=True
        )
        assert isinstance(results[0], StaleDecisionError)

    asyncio.run(work())
    assert sorted(uses_of(store), key=lambda each: each[1] or 0) == [("withheld", 1), ("done", 2)]


def test_what_a_failing_database_did_not_take_is_recorded_later(store: Store, url: str) -> None:
    """As withheld, with the next group or at the end; when the database stays away, there is a gap and no error."""
    recorder = Recorder(store)

    async def fail(use: int) -> None:
        with pytest.raises(UnavailableError):
            await recorder.record([signature(use)], None)

    def rename(old: str, new: str) -> None:
        with store.write() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    rename("events", "hidden")
    asyncio.run(fail(1))
    rename("hidden", "events")
    asyncio.run(recorder.record([event()], None))
    assert uses_of(store) == [("done", None), ("withheld", 1)]
    rename("events", "hidden")
    asyncio.run(fail(2))
    rename("hidden", "events")
    recorder.close()
    assert uses_of(store)[2:] == [("withheld", 2)]
    other = Store(url)
    recorder = Recorder(other)
    rename("events", "hidden")
    asyncio.run(fail(3))
    recorder.close()
    other.close()


def test_who_holds_signatures_hears_that_they_are_on_record(store: Store) -> None:
    """Whatever became of them: given, withheld, or owed while the database was away. Other events are not told."""
    told: list[tuple[str, int]] = []
    recorder = Recorder(store, recorded=told.extend)

    def rename(old: str, new: str) -> None:
        with store.write() as connection:
            connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    async def work() -> None:
        await recorder.record([event()], None)
        await asyncio.gather(
            recorder.record([signature(1), signature(2)], None),
            recorder.record([signature(3)], -1),
            return_exceptions=True,
        )
        assert sorted(told) == [("ab" * 8, 1), ("ab" * 8, 3)]
        rename("events", "hidden")
        with pytest.raises(UnavailableError):
            await recorder.record([signature(4)], None)
        assert len(told) == 2
        rename("hidden", "events")
        await recorder.record([event()], None)
        assert told[2:] == [("ab" * 8, 4)]

    asyncio.run(work())
    recorder.close()


def test_two_recorders_number_without_gaps(store: Store, recorder: Recorder, url: str) -> None:
    """As two workers on one database do."""
    second = Store(url)
    other = Recorder(second)
    numbers: list[int] = []

    def run(target: Recorder) -> None:
        async def work() -> None:
            for _ in range(20):
                numbers.extend(await asyncio.gather(*(target.record([event()], None) for _ in range(10))))

        asyncio.run(work())

    threads = [threading.Thread(target=run, args=[target]) for target in (recorder, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    second.close()
    assert sorted(numbers) == list(range(1, 401))
    assert len(users_of(store)) == 400


def test_a_group_ends(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """At so many events, and where the recorder is closed."""
    recorder.close()
    monkeypatch.setattr("privyseal.audit.recorder._GROUP_MAX", 3)
    loop = asyncio.new_event_loop()
    entries = [_Entry([event()] * 2, None, loop, loop.create_future()) for _ in range(3)]
    for entry in entries[1:]:
        recorder._queue.put([entry])
    recorder._queue.put(None)
    assert recorder._gather([entries[0]]) == (entries[:2], False)
    monkeypatch.setattr("privyseal.audit.recorder._GROUP_MAX", 100)
    assert recorder._gather([entries[0]]) == ([entries[0], entries[2]], True)
    loop.close()


def test_a_group_of_stale_refusals_writes_nothing(store: Store, recorder: Recorder) -> None:
    """There is nothing to withhold, so the tree stays as it is."""

    async def work() -> None:
        with pytest.raises(StaleDecisionError):
            await recorder.record([event()], -1)

    asyncio.run(work())
    assert users_of(store) == []


def test_close_writes_what_is_queued(recorder: Recorder) -> None:
    """Nothing that somebody waits for is lost at the end."""

    async def work() -> None:
        waits = [asyncio.create_task(recorder.record([event()], None)) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.to_thread(recorder.close)
        assert sorted(await asyncio.gather(*waits)) == list(range(1, 101))

    asyncio.run(work())


def test_who_stops_waiting_disturbs_nobody(store: Store, recorder: Recorder) -> None:
    """An HTTP client that hangs up leaves an event behind, and the others get their numbers."""

    async def work() -> None:
        gone = asyncio.create_task(recorder.record([event("gone")], None))
        stays = asyncio.create_task(recorder.record([event("stays")], None))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2

    asyncio.run(work())
    assert users_of(store) == ["gone", "stays"]


def test_a_database_that_fails_is_told_to_everybody(store: Store, recorder: Recorder) -> None:
    """Each that waits hears of it; when the database is mended, the recorder goes on."""

    async def work() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("ALTER TABLE events RENAME TO hidden")
        results = await asyncio.gather(*(recorder.record([event()], None) for _ in range(5)), return_exceptions=True)
        assert {type(result) for result in results} == {UnavailableError}
        with store.write() as connection:
            connection.exec_driver_sql("ALTER TABLE hidden RENAME TO events")
        assert await recorder.record([event()], None) == 1

    asyncio.run(work())


def test_a_full_disk_is_no_answer(tmp_path: Path) -> None:
    """SQLite with no page left: the event is refused and the file is whole; with room again it is written."""
    store = Store(f"sqlite:///{tmp_path / 'full.db'}")
    store.migrate()
    with store.write() as connection:
        appliance.create(connection, "node")
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    recorder = Recorder(store)
    long = Event(**{name: getattr(event(), name) for name in Event.__struct_fields__} | {"reason": "x" * 100_000})
    with store.read() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(UnavailableError):
        asyncio.run(recorder.record([long], None))
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    assert asyncio.run(recorder.record([long], None)) == 1
    recorder.close()
    store.close()


def test_signatures_can_be_withheld_without_waiting(store: Store) -> None:
    """They are in the record, their commit is timed, and what waits is counted."""
    metrics = Metrics()
    recorder = Recorder(store, metrics.histogram("privyseal_record_commit_seconds"))

    async def work() -> None:
        recorder.withhold([msgspec.structs.replace(event(), keeper="k", use=1)])
        await recorder.record([event("b")], None)

    asyncio.run(work())
    assert recorder.waiting == 0
    recorder.close()
    with store.read() as connection:
        outcomes = [one.event.outcome for one in events.page(connection, 0, 9)]
    assert outcomes == [Outcome.WITHHELD, Outcome.DONE]
    assert metrics.total()["privyseal_record_commit_seconds_sum"] > 0
