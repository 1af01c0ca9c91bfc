"""Queries for the record. Events are numbered from 1 without gaps, in the order in which they become durable.

Writing goes to the driver directly: every signature waits for it, and SQLAlchemy costs two thirds of a group's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from privyseal.model.event import Event, Outcome
from privyseal.store.store import Cursor
from privyseal.store.tables import events
from privyseal.store.times import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its number."""

    number: int
    event: Event


def append(connection: Connection, new: Sequence[Event]) -> int:
    """Write events in a transaction that does more; gives the number of the first, the others follow it."""
    cursor = connection.connection.cursor()
    try:
        return write(Cursor(cursor, connection.dialect.name), new)
    finally:
        cursor.close()


def write(cursor: Cursor, new: Sequence[Event]) -> int:
    """Write events and give the number of the first; the others follow it. The only place that numbers events."""
    cursor.lock_record()
    first = int(cursor.value(_LAST) or 0) + 1
    cursor.many(_INSERT, [_row(first + index, event) for index, event in enumerate(new)])
    return first


def page(connection: Connection, after: int, limit: int) -> list[Recorded]:
    """Give up to `limit` events whose number is above `after`."""
    query = select(events).where(events.c.number > after).order_by(events.c.number).limit(limit)
    return [
        Recorded(
            row.number,
            Event(
                time=from_micros(row.time),
                node=row.node,
                user=row.user,
                operation=row.operation,
                outcome=Outcome(row.outcome),
                core=row.core,
                key=row.key,
                mechanism=row.mechanism,
                input=row.input,
                reason=row.reason,
            ),
        )
        for row in connection.execute(query)
    ]


_COLUMNS = ("number", "time", "node", "user", "operation", "core", "key", "mechanism", "input", "outcome", "reason")
_LAST = "SELECT max(number) FROM events"
_QUOTED = ", ".join(f'"{name}"' for name in _COLUMNS)
_INSERT = f"INSERT INTO events ({_QUOTED}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - our own names


def _row(number: int, event: Event) -> tuple[object, ...]:
    return (
        number,
        to_micros(event.time),
        event.node,
        event.user,
        event.operation,
        event.core,
        event.key,
        event.mechanism,
        event.input,
        event.outcome.value,
        event.reason,
    )
