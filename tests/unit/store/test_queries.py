"""Every query on SQLite and on PostgreSQL: what goes in comes out, and every change that decisions rest on is told."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from privyseal.access.attempts import Attempts
from privyseal.errors import ConflictError
from privyseal.model.access import AccessRule, Operation, Role
from privyseal.model.cores import Core
from privyseal.model.keys import Key, KeyType
from privyseal.operations.manage_cores import blank_core
from privyseal.store import appliance, attempts, cores, keys, users
from privyseal.store.store import Store, generation
from privyseal.store.times import from_micros, now, to_micros

ALICE = "pin:user:a_b:1"


def key(number: int, core: int = 1) -> Key:
    """A key's row of no meaning, with a label that its number makes."""
    return Key(
        id=f"{number:016x}",
        core=core,
        label=f"key {number}",
        type=KeyType.ED448,
        public_key=bytes(range(256)),
        has_pin=False,
        sealed=b"\0sealed",
        policy=b"policy\xff",
        version=3,
        created=now(),
    )


def test_a_key_comes_back_as_it_went(store: Store) -> None:
    """All fields, in every byte and to the microsecond; after it is removed it is nowhere."""
    with store.write() as connection:
        keys.add(connection, key(1), b"tag")
        stored = keys.by_id(connection, 1, f"{1:016x}")
        assert stored is not None
        assert stored == Key(**{name: getattr(key(1), name) for name in Key.__slots__} | {"created": stored.created})
        keys.remove(connection, stored)
        assert keys.by_label(connection, 1, "key 1") is None
        assert keys.with_pin_tag(connection, 1, b"tag", 9) == []


def test_for_a_key_that_is_not_there_another_one_is_read(store: Store) -> None:
    """Of the same core, and marked as another one; by the indexes alone, so that no other key is read for it."""
    statements: list[tuple[str, Any]] = []
    event.listen(store._engine, "before_cursor_execute", lambda _, __, *said: statements.append((said[0], said[1])))
    with store.write() as connection:
        assert keys.by_name(connection, 1, "key 1", is_id=False) is None
        cores.add(connection, blank_core("second", pin_required=False))
        for number, core in ((1, 2), (2, 1), (3, 1)):
            keys.add(connection, key(number, core), None)
        first, second, third = (keys.by_id(connection, core, f"{n:016x}") for n, core in ((1, 2), (2, 1), (3, 1)))
        for name, is_id, found in (
            ("key 3", False, (third, True)),
            (f"{3:016x}", True, (third, True)),
            ("key 1", False, (second, False)),
            (f"{1:016x}", True, (second, False)),
        ):
            assert keys.by_name(connection, 1, name, is_id=is_id) == found
        assert keys.by_name(connection, 2, "key 1", is_id=False) == (first, True)
        statement, values = statements[-1]
        if connection.dialect.name == "sqlite":  # PostgreSQL plans by what is in the tables
            plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
            assert not any(line.startswith("SCAN keys") for line in plan), plan


def test_pages_are_of_one_core_and_have_an_end(store: Store) -> None:
    """In the order in which the keys were made, without one twice or left out, among those of another core."""
    with store.write() as connection:
        cores.add(connection, blank_core("second", pin_required=False))
        for number in range(1, 21):
            keys.add(connection, key(number, core=1 + number % 2), b"tag")
        seen, after = [], 0
        while page := keys.page(connection, 2, after, 3):
            seen += [found.label for _, found in page]
            after = page[-1][0]
        assert seen == [f"key {number}" for number in range(1, 21, 2)]
        assert len(keys.with_pin_tag(connection, 2, b"tag", 4)) == 4


def test_every_change_of_keys_changes_the_cores_revision(store: Store) -> None:
    """A listing can be revalidated by it; removing one also ends decisions that rest on it."""
    with store.write() as connection:
        revision, basis = cores.get(connection, 1).revision, generation(connection)
        keys.add(connection, key(1), None)
        assert cores.get(connection, 1).revision == revision + 1
        assert generation(connection) == basis
        keys.remove(connection, key(1))
        assert cores.get(connection, 1).revision == revision + 2
        assert generation(connection) == basis + 1


def test_cores(store: Store) -> None:
    """Numbered from 1, changed by column, in order."""
    with store.write() as connection:
        basis = generation(connection)
        second = cores.add(connection, blank_core("second", pin_required=False))
        assert (second.number, second.name, second.pin_required, len(second.pin_salt)) == (2, "second", False, 16)
        changed = cores.change(connection, 2, {"name": "renamed", "pin_required": True})
        assert (changed.name, changed.pin_required) == ("renamed", True)
        assert [core.name for core in cores.every(connection)] == ["core1", "renamed"]
        cores.remove(connection, 2)
        assert [core.number for core in cores.every(connection)] == [1]
        assert generation(connection) == basis + 3


def test_names_are_taken_once(store: Store) -> None:
    """A core's name, a new name for a core, a user's name; nothing of the failed transaction stays."""
    with store.write() as connection:
        cores.add(connection, blank_core("second", pin_required=False))
        users.add(connection, "alice", Role.OPERATOR, "hash")
    for work in (
        lambda connection: cores.add(connection, blank_core("second", pin_required=True)),
        lambda connection: cores.change(connection, 2, {"name": "core1"}),
        lambda connection: users.add(connection, "alice", Role.AUDITOR, "other"),
    ):
        with pytest.raises(ConflictError), store.write() as connection:
            work(connection)
    with store.read() as connection:
        assert [core.name for core in cores.every(connection)] == ["core1", "second"]


def test_a_core_with_a_key_stays(store: Store) -> None:
    """The database itself refuses to lose keys."""
    with store.write() as connection:
        keys.add(connection, key(1), None)
        assert cores.count_keys(connection, 1) == 1
    with pytest.raises(ConflictError), store.write() as connection:
        cores.remove(connection, 1)


def test_users_and_rules(store: Store) -> None:
    """Changed by column, found by user and core, each change told."""
    with store.write() as connection:
        users.add(connection, "bob", Role.OPERATOR, "hash")
        users.add(connection, "alice", Role.AUDITOR, "hash")
        assert [user.name for user in users.every(connection)] == ["alice", "bob"]
        basis = generation(connection)
        users.change(connection, "bob", {"role": Role.ADMINISTRATOR.value, "password": "new"})
        bob = users.get(connection, "bob")
        assert bob is not None
        assert (bob.role, bob.password) == (Role.ADMINISTRATOR, "new")
        both = frozenset({Operation.KEY_SIGN, Operation.KEY_DESTROY})
        made = [users.add_rule(connection, AccessRule(0, name, 1, both, "k*", now())) for name in ("bob", "alice")]
        assert users.every_rule(connection, user="alice") == made[1:]
        assert users.every_rule(connection, core=2) == []
        users.change_rule(connection, AccessRule(made[0].number, "bob", 1, both, "ü'*", made[0].created))
        assert users.get_rule(connection, made[0].number) == AccessRule(
            made[0].number, "bob", 1, both, "ü'*", made[0].created
        )
        users.remove_rule(connection, made[0].number)
        assert users.every_rule(connection) == made[1:]
        assert generation(connection) == basis + 5


def test_attempts(store: Store) -> None:
    """Reserved before they are tried; a right one forgets the wrong ones, an interrupted one is given back."""
    with store.write() as connection:
        attempts.reserve(connection, attempts.get(connection, ALICE))
        assert attempts.fail(connection, ALICE).failures == 1
        attempts.reserve(connection, attempts.get(connection, ALICE))
        assert attempts.get(connection, ALICE).pending == 1
        attempts.release(connection, ALICE)
        known = attempts.get(connection, ALICE)
        assert (known.failures, known.pending) == (1, 0)
        attempts.reserve(connection, known)
        attempts.succeed(connection, ALICE)
        known = attempts.get(connection, ALICE)
        assert (known.failures, known.pending) == (0, 0)


def test_wrong_passwords_change_no_decision(store: Store) -> None:
    """Whoever reaches the port can make them at will; the workers need not read everything anew for that."""
    with store.write() as connection:
        before = generation(connection)
        for subject in ("password:alice", "unknown:00"):
            for _ in range(6):
                attempts.fail(connection, subject)
            attempts.succeed(connection, subject)
            attempts.fail(connection, subject)
        assert attempts.guarded(connection, cores.every(connection)) == []
        assert generation(connection) == before


def test_a_flood_of_unknown_names_washes_itself_away(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with the fewest failures go, of these the oldest; attempts under way and users' own stay."""
    monkeypatch.setattr(attempts, "UNKNOWN_MAX", 3)
    with store.write() as connection:
        for failures, name in enumerate(("a", "b", "c", "d"), start=1):
            for _ in range(failures):
                attempts.fail(connection, f"unknown:{name}")
        attempts.fail(connection, "password:alice")
        attempts.reserve(connection, attempts.get(connection, "unknown:a"))
        assert attempts.too_many_unknown(connection) == 1
        attempts.forget_unknown(connection, 1)
        assert attempts.too_many_unknown(connection) == 0
        left = {name: attempts.get(connection, f"unknown:{name}").failures for name in "abcd"}
        assert left == {"a": 1, "b": 0, "c": 3, "d": 4}
        assert attempts.get(connection, "password:alice").failures == 1


def test_a_subject_is_guarded_from_the_fifth_failure(store: Store) -> None:
    """Only that one, and what ends it, ends decisions: a wrong PIN must not cost every worker a refresh."""
    with store.write() as connection:
        basis = generation(connection)
        told = []
        for _ in range(7):
            attempts.fail(connection, ALICE)
            told.append(generation(connection) - basis)
        assert told == [0, 0, 0, 0, 1, 1, 1]
        assert [known.subject for known in attempts.guarded(connection, cores.every(connection))] == [ALICE]
        attempts.succeed(connection, ALICE)
        assert generation(connection) == basis + 2


def test_each_core_has_limits_of_its_own(store: Store) -> None:
    """Also when they change; what is left of a core that is gone guards nothing."""
    other = ALICE.removesuffix("1") + "2"
    with store.write() as connection:
        cores.add(connection, replace(blank_core("second", pin_required=False), pin_delay_from=2, pin_lock_at=3))
        basis, told = generation(connection), []
        for _ in range(3):
            for subject in (ALICE, other, ALICE.removesuffix("1") + "7"):
                attempts.fail(connection, subject)
            told.append(generation(connection) - basis)
        assert told == [0, 1, 1]

        def subjects(which: Callable[[Connection, list[Core]], list[Attempts]]) -> list[str]:
            return [known.subject for known in which(connection, cores.every(connection))]

        assert (subjects(attempts.guarded), subjects(attempts.locked)) == ([other], [other])
        cores.change(connection, 2, {"pin_lock_at": 4})
        cores.change(connection, 1, {"pin_lock_at": 3})
        assert set(subjects(attempts.guarded)) == {ALICE, other}
        assert subjects(attempts.locked) == [ALICE]
        basis = generation(connection)
        attempts.succeed(connection, other)
        assert generation(connection) == basis + 1


def test_forgiving_is_of_one_user(store: Store) -> None:
    """In all cores; the underscore in a name is no pattern; and a name that begins alike is another."""
    others = ["pin:user:axb:1", "pin:user:a_bc:1", "password:a_b"]
    with store.write() as connection:
        for subject in (ALICE, "pin:user:a_b:2", *others):
            attempts.fail(connection, subject)
        attempts.forgive(connection, "pin:user:a_b:")
        left = {subject for subject in (ALICE, "pin:user:a_b:2", *others) if attempts.get(connection, subject).failures}
        assert left == set(others)
        assert attempts.get(connection, "password:a_b").failures == 1
        attempts.forgive_one(connection, "password:a_b")
        assert attempts.get(connection, "password:a_b").failures == 0


def test_ended_tickets_are_kept_until_they_would_have_expired(store: Store) -> None:
    """Ending one twice is no error; an expired one goes with the next."""
    later = to_micros(now()) // 1_000_000 + 60
    with store.write() as connection:
        appliance.end_ticket(connection, "a" * 32, later)
        appliance.end_ticket(connection, "a" * 32, later)
        appliance.end_ticket(connection, "b" * 32, later - 120)
        appliance.end_ticket(connection, "c" * 32, later)
        assert sorted(appliance.all_ended_tickets(connection)) == ["a" * 32, "c" * 32]


def test_slots_and_the_appliance(store: Store) -> None:
    """In the order in which they were made; there is one appliance in a database."""
    with store.write() as connection:
        for sealed in (b"one\0", b"two\xff"):
            appliance.add_slot(connection, appliance.KEY_FILE, sealed)
        assert [(slot.kind, slot.sealed) for slot in appliance.slots(connection)] == [
            ("key-file", b"one\0"),
            ("key-file", b"two\xff"),
        ]
        assert appliance.node(connection) == "node"
    with pytest.raises(ConflictError), store.write() as connection:
        appliance.create(connection, "another")


def test_an_empty_directory_belongs_to_no_appliance(tmp_path: Path) -> None:
    """The file is made with its tables, and says that nothing is provisioned."""
    store = Store.in_directory(tmp_path)
    store.migrate()
    with store.read() as connection:
        assert appliance.node(connection) is None
    store.close()


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_come_back(time: datetime) -> None:
    """To the microsecond."""
    assert from_micros(to_micros(time)) == time


def test_attempts_at_the_same_moment_are_all_counted(store: Store) -> None:
    """By several workers, at a subject that nobody has tried before: none takes another's place or fails."""

    def attempt_once(_: int) -> None:
        with store.write() as connection:
            attempts.hold(connection, ["password:crowd"])
            attempts.reserve(connection, attempts.get(connection, "password:crowd"))
        with store.write() as connection:
            attempts.hold(connection, ["password:crowd"])
            attempts.fail(connection, "password:crowd")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt_once, range(24)))
    with store.read() as connection:
        known = attempts.get(connection, "password:crowd")
    assert (known.failures, known.pending) == (24, 0)
