"""`privyseal restore`: a backup becomes an appliance again, in a directory that nobody serves."""

from pathlib import Path

import click

from privyseal.cli import output, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import fail


@command_of(
    examples=[
        "privyseal restore monday.backup --data /var/lib/privyseal --passphrase-file passphrase",
        "privyseal restore monday.backup --data appliance --private-key offsite.key",
    ]
)
@click.argument("file")
@click.option("--data", metavar="DIR", required=True, help="The new appliance's directory.")
@click.option("--database", metavar="URL", help="Of an empty PostgreSQL database; default: SQLite in the data folder.")
@click.option("--passphrase-file", metavar="FILE", help="The backup passphrase, or - for stdin; else you are asked.")
@click.option("--private-key", metavar="FILE", help="An X25519 private key in PEM, instead of the passphrase.")
@pass_session
def command(
    session: Session,
    *,
    file: str,
    data: str,
    database: str | None,
    passphrase_file: str | None,
    private_key: str | None,
) -> int:
    """Make an appliance out of a backup. Its keys sign with the same PINs, and its record goes on where it ended.

    The whole file is checked before anything is written. Start the appliance afterwards with `privyseal serve`.
    """
    from privyseal.errors import PrivysealError  # noqa: PLC0415 - as the next line
    from privyseal.supervisor import restore_into  # noqa: PLC0415 - its libraries are for appliances, not for hosts

    if private_key:
        secret = Path(private_key).read_text()
    else:
        secret = secrets.passphrase(passphrase_file, "Backup passphrase", new=False)
    path = Path(file)
    try:
        with path.open("rb") as stream, output.progress(session, "Restore", 2 * path.stat().st_size) as moved:
            header = restore_into(Path(data), database, stream, secret, moved)
    except PrivysealError as error:
        return fail(str(error))
    output.document(session, {"node": header.node, "last_event": header.last_event})
    output.note(session, f"{data}: the appliance '{header.node}' as it was at event {header.last_event}")
    return 0
