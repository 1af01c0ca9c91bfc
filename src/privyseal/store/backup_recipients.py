"""Queries for the recipients of backups."""

from sqlalchemy import Connection, Row, delete, insert, select

from privyseal.model.backups import BackupRecipient
from privyseal.store.tables import backup_recipients
from privyseal.store.times import from_micros, to_micros


def add(connection: Connection, recipient: BackupRecipient) -> BackupRecipient:
    """Keep a recipient; it gets the next number. Raises ConflictError when the name is taken."""
    connection.execute(
        insert(backup_recipients).values(
            name=recipient.name,
            kind=recipient.kind,
            public_key=recipient.public_key,
            salt=recipient.salt,
            created=to_micros(recipient.created),
        )
    )
    return next(one for one in every(connection) if one.name == recipient.name)


def every(connection: Connection) -> list[BackupRecipient]:
    """Give all recipients by number."""
    return [
        _recipient(row) for row in connection.execute(select(backup_recipients).order_by(backup_recipients.c.number))
    ]


def remove(connection: Connection, name: str) -> bool:
    """Remove a recipient; says whether there was one."""
    return connection.execute(delete(backup_recipients).where(backup_recipients.c.name == name)).rowcount == 1


def _recipient(row: Row[tuple[object, ...]]) -> BackupRecipient:
    return BackupRecipient(row.number, row.name, row.kind, row.public_key, row.salt, from_micros(row.created))
