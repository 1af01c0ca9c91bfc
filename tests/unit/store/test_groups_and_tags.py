"""Groups, their rules and the tags of keys, in both databases."""

from typing import Any

import pytest
from sqlalchemy import event, func, select

from privyseal.errors import ConflictError
from privyseal.model.access import AccessRule, Operation, Role, Selector
from privyseal.model.keys import Key, KeyType
from privyseal.operations.appliance import load
from privyseal.store import groups, keys, users
from privyseal.store.store import Store, generation
from privyseal.store.tables import group_members, key_tags
from privyseal.store.times import now

READ = frozenset({Operation.KEY_READ})


def key(number: int, *tags: str, label: str | None = None) -> Key:
    """A key with tags."""
    return Key(
        id=f"{number:016x}",
        core=1,
        label=label or f"key {number}",
        type=KeyType.P256,
        public_key=b"public",
        has_pin=False,
        sealed=b"sealed",
        policy=b"policy",
        version=1,
        created=now(),
        tags=tags,
    )


@pytest.fixture
def peopled(store: Store) -> Store:
    """Alice and bob in `signers`, bob in `readers` too."""
    with store.write() as connection:
        for name in ("alice", "bob"):
            users.add(connection, name, Role.OPERATOR, "hash")
        for name, members in (("signers", ("bob", "alice")), ("readers", ("bob",))):
            groups.add(connection, name)
            for member in members:
                groups.add_member(connection, name, member)
    return store


def test_groups_and_members_are_in_order(peopled: Store) -> None:
    """By name, whichever came first; a name is taken once."""
    with peopled.read() as connection:
        assert [(one.name, one.members) for one in groups.every(connection)] == [
            ("readers", ("bob",)),
            ("signers", ("alice", "bob")),
        ]
        assert groups.get(connection, "none") is None
    with pytest.raises(ConflictError), peopled.write() as connection:
        groups.add(connection, "signers")


def test_a_snapshot_has_the_rules_of_groups_with_each_member(peopled: Store) -> None:
    """Own ones and the groups' by number; a user alone has nothing of a group's."""
    with peopled.write() as connection:
        made = [
            users.add_rule(connection, AccessRule(0, user, 1, READ, "*", now(), Selector.LABEL, group))
            for user, group in (("bob", None), (None, "signers"), (None, "readers"), ("alice", None))
        ]
        assert users.every_rule(connection, user="alice") == [made[1], made[3]]
        assert users.every_rule(connection, group="readers") == [made[2]]
    snapshot = load(peopled)
    assert snapshot.rules == {("bob", 1): tuple(made[:3]), ("alice", 1): (made[1], made[3])}
    assert snapshot.groups["signers"].members == ("alice", "bob")


def test_nothing_is_left_of_what_is_removed(peopled: Store) -> None:
    """Members go with the user, members and rules with the group; and each time decisions are to be made again."""
    with peopled.write() as connection:
        users.add_rule(connection, AccessRule(0, None, 1, READ, "*", now(), Selector.TAG, "signers"))
        seen = [generation(connection)]
        groups.remove_member(connection, "readers", "bob")
        seen.append(generation(connection))
        users.remove(connection, "alice")
        seen.append(generation(connection))
        assert [one.members for one in groups.every(connection)] == [(), ("bob",)]
        groups.remove(connection, "signers")
        seen.append(generation(connection))
        assert users.every_rule(connection) == []
        assert connection.execute(select(func.count()).select_from(group_members)).scalar_one() == 0
    assert seen == sorted(set(seen))


def test_keys_are_found_by_tag_and_id(store: Store) -> None:
    """In pages by number, each once, also where several selectors fit it."""
    with store.write() as connection:
        for number in range(1, 10):
            keys.add(connection, key(number, *(["env=prod", "odd"] if number % 2 else ["even"])), None)

    def found(*selected: tuple[Selector, str], after: int = 0, limit: int = 9, tag: str | None = None) -> list[int]:
        with store.read() as connection:
            return [int(one.id, 16) for _, one in keys.page(connection, 1, after, limit, selected, tag)]

    with store.read() as connection:
        numbers = [number for number, _ in keys.page(connection, 1, 0, 9)]
    assert found() == []
    assert found((Selector.TAG, "odd")) == [1, 3, 5, 7, 9]
    assert found((Selector.TAG, "odd"), limit=2) == [1, 3]
    assert found((Selector.TAG, "odd"), after=numbers[2], limit=2) == [5, 7]
    assert found((Selector.TAG, "env")) == []
    assert found((Selector.ID, f"{4:016x}"), (Selector.TAG, "odd"), (Selector.LABEL, "key 5")) == [1, 3, 4, 5, 7, 9]
    assert found((Selector.ID, f"{4:016x}"), (Selector.TAG, "odd"), (Selector.LABEL, "*5"), limit=4) == [1, 3, 4, 5]
    assert found((Selector.LABEL, "*"), tag="even") == [2, 4, 6, 8]
    assert found((Selector.LABEL, "*"), tag="even", after=numbers[3], limit=1) == [6]
    assert found((Selector.ID, f"{3:016x}"), tag="even") == []


def test_who_sees_keys_by_id_or_tag_alone_reads_no_others(store: Store) -> None:
    """SQLite's plan begins with the numbers that were selected, so a million other keys cost nothing."""
    if not str(store._engine.url).startswith("sqlite"):
        pytest.skip("PostgreSQL plans by what is in the tables")
    seen: list[tuple[str, Any]] = []
    event.listen(store._engine, "before_cursor_execute", lambda _, __, *said: seen.append((said[0], said[1])))
    selected = [(Selector.ID, "0" * 16), (Selector.TAG, "a"), (Selector.LABEL, "release")]
    with store.read() as connection:
        keys.page(connection, 1, 0, 10, selected)
        statement, values = seen[-1]
        plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert plan[0].startswith(("SEARCH keys USING INTEGER PRIMARY KEY (rowid=?", "SEARCH keys USING INDEX"))
    assert "number=?" in plan[0] or "rowid=?" in plan[0]
    assert not any(line.startswith("SCAN keys") for line in plan)


def test_label_and_tags_are_kept_and_changed(store: Store) -> None:
    """The list and the index say the same, a taken label is a conflict, and the tags go with the key."""
    with store.write() as connection:
        keys.add(connection, key(1, "a", "b=1"), b"tag")
        keys.add(connection, key(2), None)
        before = generation(connection)
        assert keys.with_pin_tag(connection, 1, b"tag", 9) == [("key 1", f"{1:016x}", ("a", "b=1"))]
        keys.rename(connection, key(1, "b=2", label="new"))
        assert generation(connection) > before
        changed = keys.by_label(connection, 1, "new")
        assert changed is not None
        assert changed.tags == ("b=2",)
        assert list(connection.execute(select(key_tags.c.tag)).scalars()) == ["b=2"]
    with pytest.raises(ConflictError), store.write() as connection:
        keys.rename(connection, key(1, label="key 2"))
    with store.write() as connection:
        keys.remove(connection, key(1))
        assert list(connection.execute(select(key_tags.c.tag)).scalars()) == []
