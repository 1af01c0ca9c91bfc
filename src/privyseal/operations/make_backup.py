"""Make a backup while the appliance signs: one state of the database, sealed as a stream for those who can open it.

The keeper seals the domain key and the file key for each recipient; this process sees the file key only, and what it
encrypts with it is what it has in its database anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from privyseal.errors import ConflictError
from privyseal.model.access import Operation
from privyseal.model.backups import BackupRecipient
from privyseal.model.event import Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import backup_recipients, dump
from privyseal.store.times import now_micros
from privyseal.wire import backups, frames
from privyseal.wire.backups import Header, Recipient

_END = None


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup about to be sent: roughly how long it will be, in bytes, and its pieces."""

    length: int
    pieces: AsyncIterator[bytes]


async def make_backup(appliance: Appliance, caller: Caller, act: Act) -> Backup:
    """Begin a backup. Raises ConflictError when nobody could open it, AccessRefusedError, ApplianceLockedError."""
    require_role(caller, Operation.BACKUP_CREATE)
    recipients = await look(appliance, backup_recipients.every)
    if not recipients:
        raise ConflictError(
            "nobody could open a backup; an administrator says who with `privyseal backup recipient add`"
        )
    keys = tuple(one.public_key for one in recipients)
    sealed = await appliance.keeper.ask(frames.SealBackup(keys), frames.SealedBackup)
    reason = f"for {', '.join(one.name for one in recipients)}"
    event = act.event(appliance, caller.user.name, Outcome.DONE, reason=reason)
    number = await appliance.recorder.record([event], caller.snapshot.generation)
    named = tuple(map(_recipient, recipients, sealed.sealed))
    length = await look(appliance, dump.estimate)
    pieces = _in_thread(_written(appliance, named, sealed.file_key, number))
    return Backup(length, pieces)


def _recipient(recipient: BackupRecipient, sealed: bytes) -> Recipient:
    return Recipient(recipient.kind, recipient.name, recipient.public_key, recipient.salt, sealed)


def _written(
    appliance: Appliance, recipients: tuple[Recipient, ...], file_key: bytes, last_event: int
) -> Iterator[bytes]:
    with appliance.store.frozen() as connection:
        header = Header(appliance.node, now_micros(), dump.revision(connection), last_event, recipients)
        yield from backups.write(header, file_key, _plain(connection, appliance))


def _plain(connection: Connection, appliance: Appliance) -> Iterator[bytes]:
    for file in appliance.kept_files:
        yield dump.file(file.name, file.read_bytes())
    yield from dump.write(connection)


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Take one piece after another in a thread; the database's connection is closed when whoever reads goes away."""
    try:
        while (piece := await asyncio.to_thread(next, pieces, _END)) is not _END:
            yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            await asyncio.shield(asyncio.to_thread(close))
