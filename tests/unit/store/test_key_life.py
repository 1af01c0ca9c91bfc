"""Queries for a key's life, on SQLite and on PostgreSQL."""

from dataclasses import replace
from datetime import timedelta

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from privyseal.model.keys import Key, KeyType
from privyseal.store import cores, key_life, keys
from privyseal.store.key_life import Counter
from privyseal.store.store import Store, generation
from privyseal.store.times import now


def new_key(connection: Connection, number: int = 1) -> Key:
    """A key that is kept."""
    key = Key(
        id=f"{number:016x}",
        core=1,
        label=f"key {number}",
        type=KeyType.P256,
        public_key=b"public 1",
        has_pin=True,
        sealed=b"sealed 1",
        policy=b"policy 1",
        version=1,
        created=now(),
    )
    keys.add(connection, key, b"tag 1")
    return stored(connection, key)


def stored(connection: Connection, key: Key) -> Key:
    """The key as it is now."""
    found = keys.by_id(connection, 1, key.id)
    assert found is not None
    return found


def test_keys_of_the_first_schema_live_on(url: str) -> None:
    """A key and a core that were there before: in use, in version 1, with the days that are the default."""
    store = Store(url)
    config = Config()
    config.set_main_option("script_location", "privyseal.store:migrations")
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO cores VALUES (1, 'core1', true, :salt, '1', 'core1', 'm', 'm', 1, 5)"), {"salt": b"salt"}
        )
        connection.execute(
            text("INSERT INTO keys VALUES (1, :id, 1, 'old', 'ec:P-256', :b, true, NULL, :b, :b, 1, 7)"),
            {"id": "a" * 16, "b": b"bytes"},
        )
    store.migrate()
    with store.read() as connection:
        key = keys.by_label(connection, 1, "old")
        assert key is not None
        assert (key.state, key.version, key.sealed, key.rotate_after) == ("active", 1, b"bytes", None)
        assert cores.get(connection, 1).destroy_days == 30
    store.close()


def test_what_changes_comes_back_and_ends_decisions(store: Store) -> None:
    """Each state with its dates; a listing is not valid any more, and neither is a decision."""
    with store.write() as connection:
        key = new_key(connection)
        revision, basis = cores.get(connection, 1).revision, generation(connection)
        later = key.created + timedelta(days=30)
        changed = replace(key, sealed=b"s", policy=b"p", disabled=True, destroy_at=later, rotate_after=9)
        key_life.change(connection, changed)
        assert stored(connection, key) == changed
        assert (changed.state, key.state, replace(changed, destroy_at=None).state) == (
            "scheduled",
            "active",
            "disabled",
        )
        assert (cores.get(connection, 1).revision, generation(connection)) == (revision + 1, basis + 1)


def test_versions(store: Store) -> None:
    """The new one takes the key's place; the old ones keep what they were; all go with the key."""
    with store.write() as connection:
        first = new_key(connection)
        at = now()
        second = replace(
            first,
            public_key=b"public 2",
            sealed=b"sealed 2",
            policy=b"policy 2",
            version=2,
            has_pin=False,
            version_created=at,
        )
        key_life.rotate(connection, first, second, None)
        second = stored(connection, first)
        assert (second.version, second.public_key, second.has_pin, second.current) == (2, b"public 2", False, True)
        assert keys.with_pin_tag(connection, 1, b"tag 1", 9) == []
        old = key_life.version(connection, second, 1)
        assert old == replace(first, version_created=first.created, current=False)
        assert key_life.version(connection, second, 3) is None
        assert [one.version for one in key_life.versions(connection, second)] == [1, 2]
        keys.remove(connection, second)
        assert [one.version for one in key_life.versions(connection, second)] == [2]


def test_what_is_due(store: Store) -> None:
    """By its day, and not before; a key that is disabled or scheduled is not rotated."""
    with store.write() as connection:
        key, other = new_key(connection, 1), new_key(connection, 2)
        at = key.created + timedelta(days=10)
        assert key_life.destroy_due(connection, at, 9) == key_life.rotate_due(connection, at, 9) == []
        key_life.change(connection, replace(key, destroy_at=at, rotate_after=1))
        key_life.change(connection, replace(other, rotate_after=10))
        assert key_life.destroy_due(connection, at - timedelta(seconds=1), 9) == []
        assert key_life.destroy_due(connection, at, 9) == [(key.id, 1)]
        assert key_life.rotate_due(connection, at - timedelta(seconds=9), 9) == []
        assert key_life.rotate_due(connection, other.created + timedelta(days=10), 9) == [(other.id, 1)]
        key_life.change(connection, replace(other, rotate_after=10, disabled=True))
        assert key_life.rotate_due(connection, at + timedelta(days=99), 9) == []


def test_counts_never_go_back_and_never_beyond(store: Store) -> None:
    """Two workers may come in the other order; what would be more than the limit is refused."""
    with store.write() as connection:
        key = new_key(connection)
        assert key_life.counter(connection, key) is None
        assert not key_life.count(connection, key, Counter(1, b"1"), 1, 9)  # no count was ever kept
        key_life.set_counter(connection, key, b"0")
        assert key_life.counter(connection, key) == Counter(0, b"0")
        assert key_life.count(connection, key, Counter(3, b"3"), 1, 4)
        assert key_life.count(connection, key, Counter(2, b"2"), 2, 4)
        assert key_life.counter(connection, key) == Counter(3, b"3")
        assert not key_life.count(connection, key, Counter(4, b"4"), 2, 4)
        assert key_life.counter(connection, key) == Counter(3, b"3")
        key_life.set_counter(connection, key, b"anew")
        assert key_life.counter(connection, key) == Counter(3, b"anew")
        assert not key_life.count(connection, key, Counter(4, b"4"), 2, 4)
        assert key_life.counter(connection, replace(key, version=2)) is None
        keys.remove(connection, key)
        assert key_life.counter(connection, key) is None


def test_one_holds_the_lease(store: Store) -> None:
    """Until it expires; its holder renews it."""
    at, length = now(), timedelta(seconds=60)

    def lease(holder: str, seconds: int) -> bool:
        with store.write() as connection:
            return key_life.lease(connection, "upkeep", holder, at + timedelta(seconds=seconds), length)

    assert [lease("a", 0), lease("b", 30), lease("a", 50), lease("b", 100), lease("b", 111), lease("a", 112)] == [
        True, False, True, False, True, False,
    ]  # fmt: skip
