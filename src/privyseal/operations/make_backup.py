"""Make a backup while the appliance signs: one state of the database, sealed as a stream for those who can open it.

The domain key may be rotated meanwhile. So it is sealed after the state is seen, and it has to be the same one as
before: then no domain key was given up in between, and the backup has every one that a record in it is sealed with.

The keeper seals the domain key and the file key for each recipient; this process sees the file key only, and what it
encrypts with it is what it has in its database anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from privyseal.errors import ConflictError
from privyseal.keeper.client import ask_once
from privyseal.model.access import Operation
from privyseal.model.backups import BackupRecipient
from privyseal.model.event import Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import backup_recipients, dump, rotation
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
    before = await appliance.keeper.ask(frames.SealBackup(()), frames.SealedBackup)
    reason = f"for {', '.join(one.name for one in recipients)}"
    event = act.event(appliance, caller.user.name, Outcome.DONE, reason=reason)
    number = await appliance.recorder.record([event], caller.snapshot.generation)
    length = await look(appliance, dump.estimate)
    return Backup(length, _in_thread(_written(appliance, recipients, before.domain, number)))


def _recipient(recipient: BackupRecipient, sealed: bytes) -> Recipient:
    return Recipient(recipient.kind, recipient.name, recipient.public_key, recipient.salt, sealed)


def _written(
    appliance: Appliance, recipients: Sequence[BackupRecipient], domain: str, last_event: int
) -> Iterator[bytes]:
    """Give the file, from one state of the database; another one if the domain key was another before it."""
    keys = tuple(one.public_key for one in recipients)
    while True:
        with appliance.store.frozen() as connection:
            schema, rotating = dump.revision(connection), rotation.get(connection)  # from here on it sees this state
            request = frames.SealBackup(keys, None if rotating is None else rotating.name)
            sealed = ask_once(appliance.keeper.path, request, frames.SealedBackup)
            if sealed.domain == domain:
                named = tuple(map(_recipient, recipients, sealed.sealed))
                header = Header(appliance.node, now_micros(), schema, last_event, named)
                yield from backups.write(header, sealed.file_key, _plain(connection, appliance))
                return
            domain = sealed.domain


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
