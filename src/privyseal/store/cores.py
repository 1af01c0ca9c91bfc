"""Queries for cores."""

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from privyseal.model.cores import Core
from privyseal.store.store import changed
from privyseal.store.tables import cores, keys
from privyseal.store.times import from_micros, to_micros


def add(connection: Connection, core: Core) -> Core:
    """Keep a core; its number is the next free one. Raises ConflictError when the name is taken."""
    number = (connection.execute(select(func.max(cores.c.number))).scalar() or 0) + 1
    connection.execute(
        insert(cores).values(
            number=number,
            name=core.name,
            pin_required=core.pin_required,
            pin_salt=core.pin_salt,
            serial=core.serial,
            token_label=core.token_label,
            manufacturer=core.manufacturer,
            model=core.model,
            revision=core.revision,
            created=to_micros(core.created),
            destroy_days=core.destroy_days,
            pin_delay_from=core.pin_delay_from,
            pin_lock_at=core.pin_lock_at,
        )
    )
    changed(connection)
    return get(connection, number)


def get(connection: Connection, number: int) -> Core:
    """Give a core that is known to be there."""
    return _core(connection.execute(select(cores).where(cores.c.number == number)).one())


def find(connection: Connection, number: int) -> Core | None:
    """Give a core if it is there."""
    row = connection.execute(select(cores).where(cores.c.number == number)).one_or_none()
    return None if row is None else _core(row)


def every(connection: Connection) -> list[Core]:
    """Give all cores by number."""
    return [_core(row) for row in connection.execute(select(cores).order_by(cores.c.number))]


def change(connection: Connection, number: int, values: dict[str, object]) -> Core:
    """Set some columns of a core. Raises ConflictError when the new name is taken."""
    if values:
        connection.execute(update(cores).where(cores.c.number == number).values(**values))
    changed(connection)
    return get(connection, number)


def remove(connection: Connection, number: int) -> None:
    """Remove a core; raises ConflictError when it still holds a key."""
    connection.execute(delete(cores).where(cores.c.number == number))
    changed(connection)


def count_keys(connection: Connection, number: int) -> int:
    """Count a core's keys."""
    query = select(func.count()).select_from(keys).where(keys.c.core == number)
    return int(connection.execute(query).scalar_one())


def touch(connection: Connection, number: int) -> None:
    """Say that a core's keys have changed."""
    connection.execute(update(cores).where(cores.c.number == number).values(revision=cores.c.revision + 1))


def _core(row: Row[tuple[object, ...]]) -> Core:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    return Core(**{**values, "created": from_micros(values["created"])})
