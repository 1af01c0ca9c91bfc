"""`privyseal restore`: a backup becomes an appliance again; or what a running one has lost comes back out of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from privyseal.cli import inputs, output, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import fail, warn

_PIECE = 1024 * 1024


@command_of(
    examples=[
        "privyseal restore monday.backup --data /var/lib/privyseal --passphrase-file passphrase",
        "privyseal restore monday.backup --data appliance --private-key offsite.key",
        "privyseal restore monday.backup --merge --dry-run --passphrase-file passphrase",
    ]
)
@click.argument("file")
@click.option("--data", metavar="DIR", help="The new appliance's directory.")
@click.option("--database", metavar="URL", help="Of an empty PostgreSQL database; default: SQLite in the data folder.")
@click.option("--merge", is_flag=True, help="Put back into the running appliance what it has lost since.")
@click.option("--dry-run", is_flag=True, help="With --merge: only say what would come back.")
@click.option("--passphrase-file", metavar="FILE", help="The backup passphrase, or - for stdin; else you are asked.")
@click.option("--private-key", metavar="FILE", help="An X25519 private key in PEM, instead of the passphrase.")
@pass_session
def command(
    session: Session,
    *,
    file: str,
    data: str | None,
    database: str | None,
    passphrase_file: str | None,
    private_key: str | None,
    merge: bool,
    dry_run: bool,
) -> int:
    """Make an appliance out of a backup. Its keys sign with the same PINs, and its record goes on where it ended.

    The whole file is checked before anything is written. Start the appliance afterwards with `privyseal serve`.
    With --merge the appliance goes on running and gets back what it has lost: keys, cores, users, groups, rules.
    """
    if merge == (data is not None) or (dry_run and not merge) or (database and merge):
        raise click.UsageError("say with --data DIR where the new appliance shall be, or --merge [--dry-run]")
    if private_key:
        secret = inputs.text(private_key)
    else:
        secret = secrets.passphrase(passphrase_file, "Backup passphrase", new=False)
    if data is not None:
        return _restore(session, Path(file), Path(data), database, secret)
    return _merge(session, Path(file), secret, dry_run=dry_run)


def _restore(session: Session, file: Path, data: Path, database: str | None, secret: str) -> int:
    from privyseal.errors import PrivysealError  # noqa: PLC0415 - as the next line
    from privyseal.supervisor import restore_into  # noqa: PLC0415 - its libraries are for appliances, not for hosts

    try:
        with file.open("rb") as stream, output.progress(session, "Restore", 2 * file.stat().st_size) as moved:
            header = restore_into(data, database, stream, secret, moved)
    except PrivysealError as error:
        return fail(str(error))
    output.document(session, {"node": header.node, "last_event": header.last_event})
    output.note(session, f"{data}: the appliance '{header.node}' as it was at event {header.last_event}")
    return 0


def _merge(session: Session, file: Path, secret: str, *, dry_run: bool) -> int:
    size = file.stat().st_size
    with appliance(session) as there, file.open("rb") as stream, output.progress(session, "Merge", size) as moved:
        merged = there.merge_backup(_pieces(stream, moved), secret, dry_run=dry_run)
    if output.document(session, merged.document):
        return 0
    counts = {"cores": merged.cores, "users": merged.users, "groups": merged.groups}
    for kind, names in counts.items():
        if names:
            output.note(session, f"{kind}: {', '.join(names)}")
    for key in merged.keys:
        output.note(session, f"key {key['label']} in core {key['core']}")
    for conflict in merged.conflicts:
        warn(conflict)
    counted = merged.members + merged.rules + merged.quorums + merged.objects
    total = sum(map(len, counts.values())) + len(merged.keys) + counted
    verb = "would come back" if dry_run else "came back"
    output.note(session, f"{total} thing(s) {verb} from the backup of '{merged.node}', event {merged.last_event}")
    return 0


def _pieces(stream: BinaryIO, moved: Callable[[int], None]) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece
        moved(len(piece))
