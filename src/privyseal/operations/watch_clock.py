"""A clock that was set back is an event: from then on the record's times say less than its numbers."""

from sqlalchemy import select

from privyseal.model.event import Event, Outcome
from privyseal.store import appliance, events
from privyseal.store.store import Store
from privyseal.store.tables import events as table
from privyseal.store.times import now_micros

NOBODY = "appliance"
"""Who does what no user asked for."""


def latest_event(store: Store) -> float:
    """Give the last event's time, seconds since the epoch; 0 if there is none."""
    with store.read() as connection:
        found = connection.execute(select(table.c.time).order_by(table.c.number.desc()).limit(1)).scalar_one_or_none()
    return (found or 0) / 1e6


def record_set_back(store: Store, seconds: float) -> int:
    """Write down that the clock was set back; gives the event's number."""
    with store.write() as connection:
        event = Event(
            time=now_micros(),
            node=appliance.node(connection) or "",
            user=NOBODY,
            operation="clock:set-back",
            outcome=Outcome.FAILED,
            reason=f"the clock is {seconds:.1f} s behind where it was",
        )
        return events.append(connection, [event])
