"""The store on SQLite and on PostgreSQL: the same tests, the same answers."""

import asyncio
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from privyseal.audit.recorder import Recorder
from privyseal.errors import ConfigurationError, ConflictError, StaleDecisionError, UnavailableError
from privyseal.model.access import AccessRule, Operation, Role, Selector
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key, KeyType
from privyseal.operations.manage_cores import blank_core
from privyseal.store import attempts, cores, events, keys, users
from privyseal.store.store import Store, changed, generation
from privyseal.store.tables import metadata
from privyseal.store.times import now, now_micros


def event(user: str = "alice") -> Event:
    """An event of no meaning."""
    return Event(time=now_micros(), node="node", user=user, operation="key:sign", outcome=Outcome.DONE)


def key(number: int, label: str | None = None) -> Key:
    """A key's row of no meaning."""
    name = label or f"key {number}"
    return Key(f"{number:016x}", 1, name, KeyType.P256, b"p", True, b"s", b"o", 1, now())  # noqa: FBT003 - as stored


def test_the_migrations_make_the_tables(store: Store) -> None:
    """What the migrations leave is what the code expects; running them again changes nothing."""
    store.migrate()
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_events_are_numbered_without_gaps_among_writers(store: Store, url: str) -> None:
    """Four threads on two stores, as two workers would: every number once, none left out."""
    other = Store(url)
    firsts: list[int] = []

    def write(target: Store) -> None:
        for _ in range(25):
            with target.write() as connection:
                firsts.append(events.append(connection, [event(), event()]))

    threads = [threading.Thread(target=write, args=[target]) for target in (store, other, store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(firsts) == list(range(1, 201, 2))
    with store.read() as connection:
        assert [one.number for one in events.page(connection, 0, 1000)] == list(range(1, 201))


def test_an_event_comes_back_as_it_went(store: Store) -> None:
    """All fields, also characters that JSON and SQL quote."""
    whole = Event(
        time=now_micros(),
        node="node",
        user="al'ice",
        operation="key:sign",
        core=1,
        key='re"lease\\',
        mechanism="ECDSA-SHA-256",
        input="ab" * 32,
        outcome=Outcome.REFUSED,
        reason="ünïcode %s ? €",
    )
    with store.write() as connection:
        first = events.append(connection, [whole])
    with store.read() as connection:
        assert events.page(connection, first - 1, 10) == [events.Recorded(first, whole)]


def test_nothing_is_kept_of_a_transaction_that_fails(store: Store) -> None:
    """An exception takes the event back with the rest."""

    def write_and_fail() -> None:
        with store.write() as connection:
            events.append(connection, [event()])
            cores.add(connection, blank_core("core1", pin_required=True))

    with pytest.raises(ConflictError):
        write_and_fail()
    with store.read() as connection:
        assert events.page(connection, 0, 10) == []


def test_labels_are_unique_in_a_core(store: Store) -> None:
    """A second key with a label is a conflict."""
    with store.write() as connection:
        keys.add(connection, key(1, "release"), None)
    with pytest.raises(ConflictError), store.write() as connection:
        keys.add(connection, key(2, "release"), None)


def test_keys_are_found_by_id_label_and_pin_tag(store: Store) -> None:
    """Each way finds the right one, and nothing in another core."""
    with store.write() as connection:
        for number in range(1, 8):
            keys.add(connection, key(number), b"tag" if number % 2 else b"other")
    with store.read() as connection:
        assert keys.by_label(connection, 1, "key 3") == keys.by_id(connection, 1, f"{3:016x}")
        assert keys.by_id(connection, 2, f"{3:016x}") is None
        assert [label for label, _, _ in keys.with_pin_tag(connection, 1, b"tag", 10)] == [
            f"key {n}" for n in (1, 3, 5, 7)
        ]
        page = keys.page(connection, 1, 0, 3)
        assert [found.label for _, found in page] == ["key 1", "key 2", "key 3"]
        assert keys.page(connection, 1, page[-1][0], 1)[0][1].label == "key 4"
        patterns = [(Selector.LABEL, "*5"), (Selector.LABEL, "key_%")]
        assert [found.label for _, found in keys.page(connection, 1, 0, 9, patterns)] == ["key 5"]


def test_a_removed_user_takes_its_rules_along(store: Store) -> None:
    """And what decisions rest on has changed each time."""
    with store.write() as connection:
        before = generation(connection)
        users.add(connection, "alice", Role.OPERATOR, "hash")
        rule = AccessRule(0, "alice", 1, frozenset({Operation.KEY_SIGN}), "*", now())
        kept = users.add_rule(connection, rule)
        assert users.every_rule(connection, "alice", 1) == [kept]
        users.remove(connection, "alice")
        assert (users.every_rule(connection), users.get(connection, "alice")) == ([], None)
        assert generation(connection) == before + 3


def test_an_interrupted_attempt_counts_as_wrong(store: Store) -> None:
    """What was reserved and not settled when the appliance died; decisions rest on it if it is a PIN too many."""
    with store.write() as connection:
        before = generation(connection)
        attempts.settle_crashed(connection)
        assert generation(connection) == before
        attempts.reserve(connection, attempts.get(connection, "pin:user:alice:1"))
        attempts.settle_crashed(connection)
        known = attempts.get(connection, "pin:user:alice:1")
        assert (known.failures, known.pending) == (1, 0)
        assert generation(connection) == before + 1


def test_group_commit_and_stale_decisions(store: Store) -> None:
    """Many events at once get numbers in order; one that rests on an old generation is refused and not written."""

    async def run() -> None:
        recorder = Recorder(store)
        with store.read() as connection:
            basis = generation(connection)
        numbers = await asyncio.gather(*(recorder.record([event(), event()], basis) for _ in range(50)))
        assert sorted(numbers) == list(range(1, 101, 2))
        with store.write() as connection:
            changed(connection)
        stale, fresh = await asyncio.gather(
            recorder.record([event()], basis), recorder.record([event()], None), return_exceptions=True
        )
        assert isinstance(stale, StaleDecisionError)
        assert fresh == 101
        recorder.close()

    asyncio.run(run())


def test_a_database_that_is_not_there() -> None:
    """An URL that makes no sense is told at once; a server that does not answer is told when it is asked."""
    with pytest.raises(ConfigurationError):
        Store("nonsense://")
    gone = Store("postgresql://nobody@127.0.0.1:9/nothing")
    with pytest.raises(UnavailableError), gone.read():
        pass
    with pytest.raises(UnavailableError), gone.write_fast():
        pass


def test_a_commit_on_sqlite_waits_for_the_disk(tmp_path: Path) -> None:
    """WAL with synchronous=FULL (2): what a transaction wrote is there after a loss of power, as SQLite promises it.

    No test here can take the power away; the fault tests kill processes, and the kernel keeps what those have written.
    """
    opened = Store(f"sqlite:///{tmp_path / 'store.db'}")
    with opened.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    opened.close()
