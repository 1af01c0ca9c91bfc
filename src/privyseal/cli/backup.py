"""`privyseal backup`: one file that holds the whole appliance, sealed for those who may open it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click

from privyseal.cli import inputs, output, secrets
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import Failure


@click.group(cls=Group)
def command() -> None:
    """Make backups, and say who can open them.

    A backup is made while the appliance signs. Who makes one cannot read it: it is sealed for the recipients that an
    administrator has named.
    """


@command.command("create", examples=["privyseal backup create -o monday.backup"])
@click.option("--output", "-o", "target", required=True, metavar="FILE", help="A new file.")
@pass_session
def create(session: Session, target: str) -> None:
    """Make a backup; for administrators and the role backup."""
    path, partial = Path(target), Path(f"{target}.part")
    if path.exists():
        raise Failure(f"{target} is there already", "choose another name with -o FILE")
    with appliance(session) as there, there.backup() as download, _removed_if_it_fails(partial):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file, output.progress(session, "Backup", download.length) as moved:
            for piece in download.pieces:
                file.write(piece)
                moved(len(piece))
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        partial.rename(path)
    output.document(session, {"file": target, "bytes": size})
    output.note(session, f"{target}: {size} bytes")


@contextlib.contextmanager
def _removed_if_it_fails(partial: Path) -> Iterator[None]:
    """Leave no half of a backup behind: it would only take the room that there was too little of."""
    try:
        yield
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@command.group("recipient", cls=Group)
def recipient() -> None:
    """Say who can open the backups that are made from now on."""


@recipient.command(
    "add",
    examples=[
        "privyseal backup recipient add safe --passphrase-file passphrase",
        "privyseal backup recipient add offsite --public-key offsite.pem",
    ],
)
@click.argument("name")
@click.option("--passphrase-file", metavar="FILE", help="File with a passphrase, or - for stdin; else you are asked.")
@click.option("--public-key", metavar="FILE", help="An X25519 public key in PEM, instead of a passphrase.")
@pass_session
def add(session: Session, name: str, passphrase_file: str | None, public_key: str | None) -> None:
    """Let a passphrase, or the owner of a key, open backups. Keep it apart from the backups."""
    if passphrase_file and public_key:
        raise click.UsageError("give --passphrase-file or --public-key, not both")
    pem = inputs.text(public_key) if public_key else None
    passphrase = None if pem is not None else secrets.passphrase(passphrase_file, "New backup passphrase", new=True)
    with appliance(session) as there:
        made = there.add_backup_recipient(name, passphrase=passphrase, public_key=pem)
    if not output.document(session, made.document):
        output.record({"recipient": made.name, "kind": made.kind, "created": made.created})


@recipient.command("list", examples=["privyseal backup recipient list"])
@pass_session
def list_recipients(session: Session) -> None:
    """List who can open backups."""
    with appliance(session) as there:
        found = there.backup_recipients()
    if not output.document(session, {"recipients": [one.document for one in found]}):
        output.table(("RECIPIENT", "KIND", "CREATED"), [(one.name, one.kind, one.created) for one in found])


@recipient.command("remove", examples=["privyseal backup recipient remove safe"])
@click.argument("name")
@pass_session
def remove(session: Session, name: str) -> None:
    """Seal no further backup for somebody. What was made before can be opened as before."""
    with appliance(session) as there:
        there.remove_backup_recipient(name)
    output.note(session, f"recipient {name} is removed")
