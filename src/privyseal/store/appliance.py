"""The appliance's own row, its unlock slots, and the tickets that a logout ended."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from privyseal.store.tables import appliance, ended_tickets, unlock_slots
from privyseal.store.times import from_micros, now, to_micros

KEY_FILE, PASSPHRASE, SHARES = "key-file", "passphrase", "shares"


@dataclass(frozen=True, slots=True)
class UnlockSlot:
    """One way to open the domain key: `kind` says what with."""

    number: int
    kind: str
    sealed: bytes
    created: datetime


def create(connection: Connection, node: str) -> None:
    """Make the row that says that this database belongs to a provisioned appliance."""
    connection.execute(insert(appliance).values(id=1, node=node, generation=1, created=to_micros(now())))


def node(connection: Connection) -> str | None:
    """Give the node's name, None when the appliance is not provisioned."""
    return connection.execute(select(appliance.c.node)).scalar_one_or_none()


def add_slot(connection: Connection, kind: str, sealed: bytes) -> int:
    """Keep a sealed domain key; gives the slot's number."""
    query = insert(unlock_slots).values(kind=kind, sealed=sealed, created=to_micros(now()))
    return int(connection.execute(query.returning(unlock_slots.c.number)).scalar_one())


def remove_slot(connection: Connection, number: int) -> None:
    """Remove a slot."""
    connection.execute(delete(unlock_slots).where(unlock_slots.c.number == number))


def replace_slot(connection: Connection, number: int, sealed: bytes) -> None:
    """Keep another domain key in a slot."""
    connection.execute(update(unlock_slots).where(unlock_slots.c.number == number).values(sealed=sealed))


def replace_key_file_slot(connection: Connection, sealed: bytes) -> None:
    """Put a slot for this place's key file where those of other places were."""
    connection.execute(delete(unlock_slots).where(unlock_slots.c.kind == KEY_FILE))
    add_slot(connection, KEY_FILE, sealed)


def slots(connection: Connection) -> list[UnlockSlot]:
    """Give all unlock slots in the order in which they were made."""
    query = select(unlock_slots).order_by(unlock_slots.c.number)
    return [UnlockSlot(row.number, row.kind, row.sealed, from_micros(row.created)) for row in connection.execute(query)]


def end_ticket(connection: Connection, ticket: str, expires: int) -> None:
    """Remember an ended ticket until it would have expired; forget those that have."""
    seconds = to_micros(now()) // 1_000_000
    connection.execute(delete(ended_tickets).where(ended_tickets.c.expires < seconds))
    connection.execute(delete(ended_tickets).where(ended_tickets.c.id == ticket))
    connection.execute(insert(ended_tickets).values(id=ticket, expires=expires))


def all_ended_tickets(connection: Connection) -> tuple[str, ...]:
    """Give the ids of the tickets that must not work any more."""
    return tuple(connection.execute(select(ended_tickets.c.id)).scalars())
