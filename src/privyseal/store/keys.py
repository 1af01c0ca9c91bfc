"""Queries for keys. Each is by an index, so that a core with a million keys answers like one with ten."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)

from privyseal.model.access import Selector
from privyseal.model.keys import Key, KeyType
from privyseal.store import cores
from privyseal.store.store import changed
from privyseal.store.tables import key_tags, keys
from privyseal.store.times import from_micros, to_micros


def add(connection: Connection, key: Key, pin_tag: bytes | None) -> None:
    """Keep a key. Raises ConflictError when the label is taken in its core."""
    done = connection.execute(
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
            tags=",".join(key.tags),
            object_id=key.object_id,
        )
    )
    assert done.inserted_primary_key is not None  # noqa: S101 - one row was inserted
    _set_tags(connection, key, done.inserted_primary_key.number)
    cores.touch(connection, key.core)


def rename(connection: Connection, key: Key) -> Key:
    """Keep a key's new label, tags and object id, and give it back. Raises ConflictError when the label is taken."""
    values = {"label": key.label, "tags": ",".join(key.tags), "object_id": key.object_id}
    connection.execute(update(keys).where(keys.c.id == key.id).values(values))
    connection.execute(delete(key_tags).where(key_tags.c.key == key.id))
    number = connection.execute(select(keys.c.number).where(keys.c.id == key.id)).scalar_one()
    _set_tags(connection, key, number)
    cores.touch(connection, key.core)
    changed(connection)
    return key


def _set_tags(connection: Connection, key: Key, number: int) -> None:
    if key.tags:
        rows = [{"key": key.id, "tag": tag, "core": key.core, "number": number} for tag in key.tags]
        connection.execute(insert(key_tags), rows)


def by_label(connection: Connection, core: int, label: str) -> Key | None:
    """Give the key with this label."""
    return _one(connection, keys.c.core == core, keys.c.label == label)


def by_id(connection: Connection, core: int, key_id: str) -> Key | None:
    """Give the key with this id, if it is in the core."""
    return _one(connection, keys.c.id == key_id, keys.c.core == core)


def by_name(connection: Connection, core: int, name: str, *, is_id: bool) -> tuple[Key, bool] | None:
    """Give the key with this id or label and True, or another one of the core and False; None in an empty core.

    There is a row to read in either case, so that the time does not tell a key that is hidden from one that is absent.
    """
    wanted = keys.c.id if is_id else keys.c.label
    asked = select(keys, literal(0).label("place")).where(keys.c.core == core, wanted == name)
    first = select(func.min(keys.c.number)).where(keys.c.core == core).scalar_subquery()
    other = select(keys, literal(1).label("place")).where(keys.c.number == first)
    both = union_all(asked, other).order_by("place").limit(1)
    row = connection.execute(both).one_or_none()
    return None if row is None else (_key(row), row.place == 0)


def with_pin_tag(connection: Connection, core: int, tag: bytes, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Give label, id and tags of the keys that one PIN opens."""
    query = select(keys.c.label, keys.c.id, keys.c.tags).where(keys.c.core == core, keys.c.pin_tag == tag).limit(limit)
    return [(row.label, row.id, _tags(row.tags)) for row in connection.execute(query)]


def page(
    connection: Connection,
    core: int,
    after: int,
    limit: int,
    selected: Iterable[tuple[Selector, str]] = ((Selector.LABEL, "*"),),
    tag: str | None = None,
    object_id: str | None = None,
) -> list[tuple[int, Key]]:
    """Give up to `limit` keys whose number is above `after`, each with its number.

    Args:
        selected: narrows to keys that one of these fits, roughly (SQLite's LIKE knows no case): the caller checks each
            key again.
        tag: narrows to keys with this tag.
        object_id: narrows to keys with this one.
    """
    place = _Place(core, after, limit)
    query = select(keys).where(keys.c.core == core, keys.c.number > after)
    query = query.where(_selected(place, selected))
    if object_id is not None:
        query = query.where(keys.c.object_id == object_id)
    if tag is not None:
        mine = and_(key_tags.c.key == keys.c.id, key_tags.c.core == core, key_tags.c.tag == tag)
        query = query.join(key_tags, mine).where(key_tags.c.number > after).order_by(key_tags.c.number)
    else:
        query = query.order_by(keys.c.number)
    return [(row.number, _key(row)) for row in connection.execute(query.limit(limit))]


def remove(connection: Connection, key: Key) -> None:
    """Remove a key with all its versions."""
    connection.execute(delete(keys).where(keys.c.id == key.id))
    cores.touch(connection, key.core)
    changed(connection)


class _Place(NamedTuple):
    """Where a page begins, and how many keys it has at most."""

    core: int
    after: int
    limit: int


def _selected(place: _Place, selected: Iterable[tuple[Selector, str]]) -> ColumnElement[bool]:
    """Give what a row has to be; without a `*` in any label this looks into indices alone."""
    there = set(selected)
    wild = [value for selector, value in there if selector is Selector.LABEL and "*" in value]
    numbers = [_numbers(place, selector, value) for selector, value in there if value not in wild]
    either = [keys.c.label.like(_like(value), escape="\\") for value in wild]
    if numbers:
        either.append(keys.c.number.in_(union_all(*numbers)))
    return or_(false(), *either)


def _numbers(place: _Place, selector: Selector, value: str) -> Select[tuple[int]]:
    if selector is Selector.TAG:
        tagged = (key_tags.c.core == place.core, key_tags.c.tag == value, key_tags.c.number > place.after)
        page = select(key_tags.c.number).where(*tagged).order_by(key_tags.c.number).limit(place.limit)
        return select(page.subquery().c.number)  # more of them cannot be on this page
    column = keys.c.id if selector is Selector.ID else keys.c.label
    return select(keys.c.number).where(keys.c.core == place.core, column == value)


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


def _one(connection: Connection, *where: ColumnElement[bool]) -> Key | None:
    row = connection.execute(select(keys).where(*where)).one_or_none()
    return None if row is None else _key(row)


def _tags(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


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
        tags=_tags(row.tags),
        object_id=row.object_id,
    )
