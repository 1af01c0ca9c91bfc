"""Make an appliance out of a backup: all of the file is read and checked before anything is written.

This works on a data directory that nobody serves, as the first start does, because an appliance without users has
nobody who could be asked who he is: whoever can write the directory may restore into it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from privyseal.errors import ConflictError, InvalidBackupError, UnavailableError
from privyseal.keeper.client import RecordDamagedError, ask_once
from privyseal.model.backups import PASSPHRASE
from privyseal.model.event import Event, Outcome
from privyseal.operations.provision import ADMINISTRATOR, Place, is_provisioned
from privyseal.store import appliance, dump, events
from privyseal.store.store import Store, changed, head_revision
from privyseal.store.times import from_micros, now_micros
from privyseal.tls import TLSFiles, write_private
from privyseal.wire import backups, frames
from privyseal.wire.backups import BackupError, Header, Recipient

_FILES = frozenset({"ca.pem", "ca.key"})
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup that is whole, and whose secret fits.

    Attributes:
        place: what the chunks are bound to; start: where they begin in the file.
        slot_secret: what this place's key file will hold; slot: the domain key sealed under it.
    """

    header: Header
    file_key: bytes
    place: bytes
    start: int
    slot_secret: bytes
    slot: bytes


def check(keeper: Path, file: BinaryIO, secret: str, slot_secret: bytes, progress: Progress) -> Checked:
    """Read the whole of a backup and write nothing.

    Args:
        keeper: the socket of a keeper that holds no domain key; it takes the backup's.
        secret: a passphrase, or an X25519 private key in PEM.
        progress: told of each piece that was read, in bytes.

    Raises:
        InvalidBackupError: the file is none, is not whole, was altered, the secret does not open it, or its tables
            are of another version.
    """
    try:
        checked = _open(keeper, file, secret, slot_secret)
        require_whole(checked.header, plain(file, checked.file_key, checked.place, checked.start, progress))
    except (BackupError, dump.DumpError) as error:
        raise InvalidBackupError(str(error)) from error
    return checked


def require_whole(header: Header, pieces: Iterator[dump.Rows | dump.File]) -> None:
    """Read a backup to its end. Raises BackupError, DumpError; InvalidBackupError for another version's tables."""
    for piece in pieces:
        if isinstance(piece, dump.File) and piece.name not in _FILES:
            raise BackupError(f"a file {piece.name!r} does not belong into a backup")
    if header.schema != head_revision():
        raise InvalidBackupError(
            f"the backup has tables of revision {header.schema} and this version has {head_revision()}; restore it "
            "with the version that made it, then upgrade"
        )


@contextmanager
def marked(place: Place) -> Iterator[None]:
    """Mark a place while something is restored into it; the mark stays if that does not come to its end."""
    write_private(place.restoring, b"`privyseal restore` did not come to its end here\n")
    try:
        yield
    except ConflictError:  # an appliance is there, and nothing of it was touched
        place.restoring.unlink()
        raise
    place.restoring.unlink()


def restore(store: Store, place: Place, file: BinaryIO, checked: Checked, progress: Progress) -> None:
    """Fill an empty appliance from a backup that was checked. The database is written in one transaction.

    The files come first: without the database nobody misses them. Raises ConflictError when there is an appliance here
    already.
    """
    if is_provisioned(store):
        raise ConflictError(f"there is an appliance in {place.data} already; restore into an empty directory")
    write_private(place.key_file, checked.slot_secret)
    header = checked.header
    reason = f"from a backup of {header.node} of {from_micros(header.created).isoformat()}"
    event = Event(
        time=now_micros(),
        node=header.node,
        user=ADMINISTRATOR,
        operation="appliance:restore",
        outcome=Outcome.DONE,
        reason=reason,
    )
    with store.write() as connection:
        for piece in plain(file, checked.file_key, checked.place, checked.start, progress):
            if isinstance(piece, dump.File):
                _keep(place, piece)
            else:
                dump.insert_rows(connection, piece)
        dump.count_on(connection)
        appliance.replace_key_file_slot(connection, checked.slot)
        changed(connection)
        events.append(connection, [event])


def _open(keeper: Path, file: BinaryIO, secret: str, slot_secret: bytes) -> Checked:
    header, place = backups.read_header(file)
    for recipient in fitting(header, secret):
        request = frames.OpenBackup(recipient.sealed, secret, recipient.salt, slot_secret)
        try:
            answer = ask_once(keeper, request, frames.OpenedBackup)
        except (RecordDamagedError, UnavailableError):  # this secret is for another recipient
            continue
        return Checked(header, answer.file_key, place, file.tell(), slot_secret, answer.slot)
    raise nobody(header)


def nobody(header: Header) -> BackupError:
    """Make the error for a secret that opens nothing."""
    names = ", ".join(f"{one.name} ({one.kind})" for one in header.recipients)
    return BackupError(f"the secret does not open this backup; it was made for {names}")


def fitting(header: Header, secret: str) -> Iterator[Recipient]:
    """Give the recipients that a secret may be of: a private key in PEM, else a passphrase."""
    is_key = "PRIVATE KEY" in secret
    return (one for one in header.recipients if (one.kind != PASSPHRASE) == is_key)


def plain(
    file: BinaryIO, file_key: bytes, place: bytes, start: int, progress: Progress
) -> Iterator[dump.Rows | dump.File]:
    """Give the rows and files of a backup. Raises BackupError, DumpError."""
    file.seek(start)

    def told() -> Iterator[bytes]:
        for piece in backups.read(file, file_key, place):
            yield piece
            progress(len(piece))

    return dump.read(told())


def _keep(place: Place, file: dump.File) -> None:
    """Keep a file of the TLS authority. A certificate that lies there is of another one: it goes."""
    files = TLSFiles(place.data / "tls")
    files.ca.parent.mkdir(mode=0o700, exist_ok=True)
    files.certificate.unlink(missing_ok=True)
    write_private(files.ca.parent / file.name, file.content)
