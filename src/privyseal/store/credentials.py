"""Queries for credentials."""

from datetime import datetime

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from privyseal.model.access import Operation
from privyseal.model.credentials import Credential
from privyseal.store.store import changed
from privyseal.store.tables import credentials
from privyseal.store.times import from_micros, to_micros


def add(connection: Connection, credential: Credential) -> None:
    """Keep a new credential."""
    operations = credential.operations
    connection.execute(
        insert(credentials).values(
            id=credential.id,
            user=credential.user,
            name=credential.name,
            operations=None if operations is None else ",".join(sorted(one.value for one in operations)),
            core=credential.core,
            keys=credential.keys,
            digest=credential.digest,
            created=to_micros(credential.created),
            expires=to_micros(credential.expires),
        )
    )
    changed(connection)


def get(connection: Connection, id_: str) -> Credential | None:
    """Give a credential by its public id."""
    row = connection.execute(select(credentials).where(credentials.c.id == id_)).one_or_none()
    return None if row is None else _credential(row)


def every(connection: Connection, user: str | None = None) -> list[Credential]:
    """Give all credentials, or those of a user, by creation."""
    query = select(credentials).order_by(credentials.c.created, credentials.c.id)
    if user is not None:
        query = query.where(credentials.c.user == user)
    return [_credential(row) for row in connection.execute(query)]


def revoke(connection: Connection, id_: str, when: datetime) -> None:
    """End a credential; a second time changes nothing."""
    one = (credentials.c.id == id_) & credentials.c.revoked.is_(None)
    connection.execute(update(credentials).where(one).values(revoked=to_micros(when)))
    changed(connection)


def forget(connection: Connection, ended_before: datetime) -> None:
    """Remove credentials that ended before a time."""
    limit = to_micros(ended_before)
    connection.execute(delete(credentials).where(or_(credentials.c.revoked < limit, credentials.c.expires < limit)))


def used(connection: Connection, id_: str, when: int) -> None:
    """Note the last use, microseconds since the epoch. No decision rests on it, so the generation stays."""
    earlier = or_(credentials.c.last_used.is_(None), credentials.c.last_used < when)
    connection.execute(update(credentials).where((credentials.c.id == id_) & earlier).values(last_used=when))


def _credential(row: Row[tuple[object, ...]]) -> Credential:
    words = row.operations
    return Credential(
        id=row.id,
        user=row.user,
        name=row.name,
        operations=None if words is None else frozenset(Operation(word) for word in words.split(",")),
        core=row.core,
        keys=row.keys,
        digest=bytes(row.digest),
        created=from_micros(row.created),
        expires=from_micros(row.expires),
        revoked=None if row.revoked is None else from_micros(row.revoked),
        last_used=None if row.last_used is None else from_micros(row.last_used),
    )
