"""Queries for keys. Each is by an index, so that a core with a million keys answers like one with ten."""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select

from privyseal.model.keys import Key, KeyType
from privyseal.store import cores
from privyseal.store.store import changed
from privyseal.store.tables import keys
from privyseal.store.times import from_micros, to_micros


def add(connection: Connection, key: Key, pin_tag: bytes | None) -> None:
    """Keep a key. Raises ConflictError when the label is taken in its core."""
    connection.execute(
        insert(keys).values(
            id=key.id,
            core=key.core,
            label=key.label,
            type=key.type.value,
            public_key=key.public_key,
            has_pin=key.has_pin,
            pin_tag=pin_tag,
            sealed=key.sealed,
            policy=key.policy,
            version=key.version,
            created=to_micros(key.created),
        )
    )
    cores.touch(connection, key.core)


def by_label(connection: Connection, core: int, label: str) -> Key | None:
    """Give the key with this label."""
    return _one(connection, keys.c.core == core, keys.c.label == label)


def by_id(connection: Connection, core: int, key_id: str) -> Key | None:
    """Give the key with this id, if it is in the core."""
    return _one(connection, keys.c.id == key_id, keys.c.core == core)


def with_pin_tag(connection: Connection, core: int, tag: bytes, limit: int) -> list[str]:
    """Give the labels of the keys that one PIN opens."""
    query = select(keys.c.label).where(keys.c.core == core, keys.c.pin_tag == tag).limit(limit)
    return list(connection.execute(query).scalars())


def page(
    connection: Connection, core: int, after: int, limit: int, patterns: Iterable[str] = ("*",)
) -> list[tuple[int, Key]]:
    """Give up to `limit` keys whose number is above `after`, each with its number.

    `patterns` narrows the labels roughly (SQLite's LIKE knows no case); the caller checks each label again.
    """
    query = select(keys).where(keys.c.core == core, keys.c.number > after, _like_any(patterns))
    return [(row.number, _key(row)) for row in connection.execute(query.order_by(keys.c.number).limit(limit))]


def remove(connection: Connection, key: Key) -> None:
    """Remove a key with all its versions."""
    connection.execute(delete(keys).where(keys.c.id == key.id))
    cores.touch(connection, key.core)
    changed(connection)


def _like_any(patterns: Iterable[str]) -> ColumnElement[bool]:
    return or_(*(keys.c.label.like(_like(pattern), escape="\\") for pattern in patterns))


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


def _one(connection: Connection, *where: ColumnElement[bool]) -> Key | None:
    row = connection.execute(select(keys).where(*where)).one_or_none()
    return None if row is None else _key(row)


def _key(row: Row[tuple[object, ...]]) -> Key:
    return Key(
        id=row.id,
        core=row.core,
        label=row.label,
        type=KeyType(row.type),
        public_key=row.public_key,
        has_pin=row.has_pin,
        sealed=row.sealed,
        policy=row.policy,
        version=row.version,
        created=from_micros(row.created),
        disabled=row.disabled,
        destroy_at=None if row.destroy_at is None else from_micros(row.destroy_at),
        rotate_after=row.rotate_after,
        version_created=None if row.version_created is None else from_micros(row.version_created),
    )
