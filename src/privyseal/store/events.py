"""Queries for the record. Events are numbered from 1 without gaps, in the order in which they become durable.

Every signature waits for this, so a group of events goes to the database as one JSON array in one statement. Many
statements would hand Python's lock back and forth as often, and SQLAlchemy's own cost more than the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select

from privyseal.model.event import Event, Outcome
from privyseal.store.store import Cursor
from privyseal.store.tables import events


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its number."""

    number: int
    event: Event


def append(connection: Connection, new: Sequence[Event]) -> int:
    """Write events in a transaction that does more; gives the number of the first, the others follow it."""
    cursor = Cursor(connection.connection.cursor(), connection.dialect.name)
    try:
        return write(cursor, cursor.head().last_event, new)
    finally:
        cursor.close()


def write(cursor: Cursor, last: int, new: Sequence[Event]) -> int:
    """Write events after the one numbered `last`; gives the first one's number. The only place that numbers events."""
    cursor.insert("events", _COLUMNS, last + 1, msgspec.json.encode(new))
    return last + 1


def page(connection: Connection, after: int, limit: int) -> list[Recorded]:
    """Give up to `limit` events whose number is above `after`."""
    query = select(events).where(events.c.number > after).order_by(events.c.number).limit(limit)
    return [
        Recorded(
            row.number,
            Event(
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
            ),
        )
        for row in connection.execute(query)
    ]


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
}
