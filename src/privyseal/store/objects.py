"""Queries for stored objects. Each is by an index."""

from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from privyseal.model.objects import ObjectClass, StoredObject
from privyseal.store import cores
from privyseal.store.tables import objects
from privyseal.store.times import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list; None means every one."""

    object_class: ObjectClass | None = None
    label: str | None = None
    object_id: str | None = None


def add(connection: Connection, made: StoredObject) -> StoredObject:
    """Keep a new object, and give it back."""
    connection.execute(
        insert(objects).values(id=made.id, core=made.core, created=to_micros(made.created), **_row(made))
    )
    cores.touch(connection, made.core)
    return made


def change(connection: Connection, changed: StoredObject) -> StoredObject:
    """Keep what of an object can change, and give it back."""
    connection.execute(update(objects).where(objects.c.id == changed.id).values(_row(changed)))
    cores.touch(connection, changed.core)
    return changed


def remove(connection: Connection, gone: StoredObject) -> None:
    """Remove an object."""
    connection.execute(delete(objects).where(objects.c.id == gone.id))
    cores.touch(connection, gone.core)


def by_id(connection: Connection, core: int, object_id: str) -> StoredObject | None:
    """Give the object with this id of ours, if it is in the core."""
    row = connection.execute(select(objects).where(objects.c.id == object_id, objects.c.core == core)).one_or_none()
    return None if row is None else _object(row)


def page(connection: Connection, core: int, after: int, limit: int, where: Filter) -> list[tuple[int, StoredObject]]:
    """Give up to `limit` objects whose number is above `after`, each with its number."""
    query = select(objects).where(objects.c.core == core, objects.c.number > after).order_by(objects.c.number)
    if where.object_class is not None:
        query = query.where(objects.c["class"] == where.object_class.value)
    if where.label is not None:
        query = query.where(objects.c.label == where.label)
    if where.object_id is not None:
        query = query.where(objects.c.object_id == where.object_id)
    return [(row.number, _object(row)) for row in connection.execute(query.limit(limit))]


def count(connection: Connection, core: int) -> int:
    """Count a core's objects."""
    return int(connection.execute(select(func.count()).select_from(objects).where(objects.c.core == core)).scalar_one())


def _row(one: StoredObject) -> dict[str, object]:
    return {
        "class": one.object_class.value,
        "label": one.label,
        "object_id": one.object_id,
        "value": one.value,
        "application": one.application,
        "oid": one.oid,
    }


def _object(row: Row[tuple[object, ...]]) -> StoredObject:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return StoredObject(
        id=row.id,
        core=row.core,
        object_class=ObjectClass(values["class"]),
        label=row.label,
        object_id=row.object_id,
        value=row.value,
        created=from_micros(row.created),
        application=row.application,
        oid=row.oid,
    )
