"""Queries for the record. Events are numbered from 1 without gaps, in the order in which they become durable.

Every signature waits for this, so a group of events goes to the database as one JSON array in one statement. Many
statements would hand Python's lock back and forth as often, and SQLAlchemy's own cost more than the rest.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, select

from privyseal.audit.tree import Edge, Kept, leaf_hash
from privyseal.model.event import Event, Outcome, encode, leaf
from privyseal.store.store import Cursor
from privyseal.store.tables import MADE, events


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its number."""

    number: int
    event: Event


def append(connection: Connection, new: Sequence[Event]) -> int:
    """Write events in a transaction that does more; gives the number of the first, the others follow it."""
    with _cursor(connection) as cursor:
        return write(cursor, cursor.head().edge, new)


def hold(connection: Connection) -> None:
    """Let nobody else number events until this transaction ends.

    Whoever changes rows and then appends calls it first: on PostgreSQL one transaction that has the rows and wants the
    record, and one that has the record and wants the rows, would wait for each other.
    """
    with _cursor(connection) as cursor:
        cursor.head()


def write(cursor: Cursor, edge: Edge, new: Sequence[Event]) -> int:
    """Write events behind the edge of the tree and extend it; gives the first one's number.

    The only place that numbers events.
    """
    first = edge.size + 1
    encoded = [encode(event) for event in new]
    kept: list[Kept] = []
    for number, body in enumerate(encoded, first):
        kept += edge.append(leaf_hash(leaf(number, body)))
    cursor.insert("events", _COLUMNS, first, b"[" + b",".join(encoded) + b"]")
    cursor.extend_tree(edge, kept)
    return first


def leaves(connection: Connection, first: int, last: int) -> list[bytes]:
    """Give the leaves of the events from `first` to `last` as the database has them."""
    query = select(events).where(events.c.number.between(first, last)).order_by(events.c.number)
    return [leaf(row.number, encode(_event(row))) for row in connection.execute(query)]


def page(connection: Connection, after: int, limit: int) -> list[Recorded]:
    """Give up to `limit` events whose number is above `after`."""
    query = select(events).where(events.c.number > after).order_by(events.c.number).limit(limit)
    return [Recorded(row.number, _event(row)) for row in connection.execute(query)]


def get(connection: Connection, number: int) -> Event | None:
    """Give one event."""
    row = connection.execute(select(events).where(events.c.number == number)).one_or_none()
    return None if row is None else _event(row)


def made(connection: Connection, core: int, key: str, before: int) -> list[Recorded]:
    """Give the events before a number that say which public half a key got, one for each version, the oldest first."""
    mine = and_(events.c.key == key, events.c.number < before, events.c.core == core)
    query = select(events).where(mine, MADE).order_by(events.c.number)
    return [Recorded(row.number, _event(row)) for row in connection.execute(query)]


def append_missing(connection: Connection, keeper: str, signatures: Sequence[Event]) -> None:
    """Write those of a keeper's signatures that are not among the newest events; the record waits meanwhile."""
    with _cursor(connection) as cursor:
        edge = cursor.head().edge  # what is read from here on stays as it is
        known = _recent_uses(connection, edge.size, keeper)
        if missing := [one for one in signatures if one.use not in known]:
            write(cursor, edge, missing)


def _cursor(connection: Connection) -> closing[Cursor]:
    return closing(Cursor(connection.connection.cursor(), connection.dialect.name))


def _recent_uses(connection: Connection, last: int, keeper: str) -> set[int | None]:
    recent = events.c.number > last - _RECENT
    return set(connection.execute(select(events.c.use).where(recent, events.c.keeper == keeper)).scalars())


_RECENT = 200_000  # events: those of half a minute at the highest speeds that were measured


def _event(row: Row[tuple[object, ...]]) -> Event:
    return Event(
        time=row.time,
        node=row.node,
        user=row.user,
        operation=row.operation,
        core=row.core,
        key=row.key,
        mechanism=row.mechanism,
        input=row.input,
        outcome=Outcome(row.outcome),
        reason=row.reason,
        keeper=row.keeper,
        use=row.use,
    )


_COLUMNS = {  # after `number`, in the order of `Event`'s fields; PostgreSQL wants the types
    "time": "bigint",
    "node": "text",
    "user": "text",
    "operation": "text",
    "core": "bigint",
    "key": "text",
    "mechanism": "text",
    "input": "text",
    "outcome": "text",
    "reason": "text",
    "keeper": "text",
    "use": "bigint",
}
