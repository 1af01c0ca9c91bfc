"""`privyseal unlock`: with a passphrase, a key file, or one share after the other."""

from pathlib import Path

import click

from privyseal.cli import output, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.failures import LOCKED
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.unlocking import Unlocking


@command_of(
    examples=[
        "privyseal unlock",
        "privyseal unlock --passphrase-file FILE",
        "privyseal unlock --share-file my.share",
        "privyseal unlock --key-file unlock.key",
    ]
)
@click.option(
    "--passphrase-file", metavar="FILE", help="The passphrase, or - for stdin; without any file you are asked."
)
@click.option("--share-file", metavar="FILE", help="One share, or - for stdin.")
@click.option("--share", "asks_share", is_flag=True, help="Ask for one share at the terminal.")
@click.option("--key-file", metavar="FILE", help="The key file.")
@pass_session
def command(
    session: Session, passphrase_file: str | None, share_file: str | None, key_file: str | None, *, asks_share: bool
) -> int:
    """Unlock the appliance. No user is needed. The exit status is 4 while more shares are needed."""
    if sum(map(bool, (passphrase_file, share_file, key_file, asks_share))) > 1:
        raise click.UsageError("give one of --passphrase-file, --share-file, --share and --key-file")
    with appliance(session, anonymous=True) as there:
        if key_file:
            done = there.unlock(key_file=Path(key_file).read_bytes())
        elif share_file or asks_share:
            done = there.unlock(share=_secret(share_file, "Share"))
        else:
            done = there.unlock(passphrase=_secret(passphrase_file, "Passphrase of the appliance"))
    return _say(session, done)


def _secret(file: str | None, prompt: str) -> str:
    found = secrets.from_file(file) if file else secrets.ask(prompt)
    if found is None:
        raise click.UsageError(
            "there is no terminal to ask at: give --passphrase-file or --share-file FILE, or - for stdin"
        )
    return found


def _say(session: Session, done: Unlocking) -> int:
    if not output.document(session, done.document):
        waits = f"share {done.have} of {done.needed} is here; the appliance is still locked"
        output.note(session, "the appliance is operational" if done.state == "operational" else waits)
    return 0 if done.state == "operational" else LOCKED
