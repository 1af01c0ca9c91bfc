"""Queries for the record. Events are numbered from 1 without gaps, in the order in which they become durable."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from privyseal.model.event import Event, Outcome
from privyseal.store.store import lock_record
from privyseal.store.tables import events
from privyseal.store.times import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its number."""

    number: int
    event: Event


def append(connection: Connection, new: Sequence[Event]) -> int:
    """Write events and give the number of the first; the others follow it. The only place that numbers events."""
    lock_record(connection)
    first = (connection.execute(_LAST).scalar() or 0) + 1
    connection.execute(_INSERT, [_row(first + index, event) for index, event in enumerate(new)])
    return int(first)


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


_LAST = select(func.max(events.c.number))
_INSERT = insert(events)


def _row(number: int, event: Event) -> dict[str, object]:
    return {
        "number": number,
        "time": to_micros(event.time),
        "node": event.node,
        "user": event.user,
        "operation": event.operation,
        "core": event.core,
        "key": event.key,
        "mechanism": event.mechanism,
        "input": event.input,
        "outcome": event.outcome.value,
        "reason": event.reason,
    }
