"""Queries for the rotation of the domain key. There is a row while one is under way, in one of two phases.

begun       the slots hold both domain keys; the keeper may not seal with the new one yet
resealing   everything new is sealed with the new one, and older records are sealed anew, one group after the other
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from privyseal.store import sealed
from privyseal.store.tables import domain_rotation
from privyseal.store.times import from_micros, now, to_micros

BEGUN, RESEALING = "begun", "resealing"
LEASE_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation under way. `damaged` names a record that does not open; while there is one, no key is given up."""

    name: str
    user: str
    phase: str
    source: int
    position: int
    done: int
    total: int
    damaged: str
    started: datetime


def get(connection: Connection) -> Rotation | None:
    """Give the rotation that is under way."""
    row = connection.execute(select(domain_rotation)).one_or_none()
    if row is None:
        return None
    place = (row.phase, row.source, row.position, row.done, row.total, row.damaged)
    return Rotation(row.name, row.user, *place, from_micros(row.started))


def begin(connection: Connection, name: str, user: str) -> None:
    """Note that a rotation has begun. Raises ConflictError when there is one already."""
    values = {"name": name, "user": user, "phase": BEGUN, "source": 0, "position": 0, "done": 0, "damaged": ""}
    more = {"driver": "", "lease": 0, "started": to_micros(now()), "total": sealed.count(connection)}
    connection.execute(insert(domain_rotation).values(id=1, **values, **more))


def lease(connection: Connection, driver: str) -> bool:
    """Become or stay the one worker that drives it; False while another does."""
    present = to_micros(now())
    free = (domain_rotation.c.driver == driver) | (domain_rotation.c.lease < present)
    values = {"driver": driver, "lease": present + LEASE_SECONDS * 1_000_000}
    return connection.execute(update(domain_rotation).where(free).values(**values)).rowcount == 1


def move(connection: Connection, **values: object) -> None:
    """Note how far it is."""
    connection.execute(update(domain_rotation).values(**values))


def end(connection: Connection) -> None:
    """Note that it is over."""
    connection.execute(delete(domain_rotation))
