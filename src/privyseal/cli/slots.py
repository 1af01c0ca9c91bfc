"""What a new unlock slot opens with, as options, and how it is handed out: for provisioning and for later slots."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from privyseal.cli import output, secrets
from privyseal.cli.session import Session
from privyseal.cli.words import Failure
from privyseal.client.unlocking import NewUnlockSlot

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SHARES = re.compile(r"(\d{1,2})of(\d{1,2})")
SHARES_WARNING = "Each share goes to another person. They are shown once; too few of them are a locked appliance."
_KINDS = "passphrase, key-file, or shares as 2of3."


def slot_options(function: _Function) -> _Function:
    """`--passphrase-file` and `--key-file`, for slots of these kinds."""
    for option in (
        click.option("--key-file", metavar="FILE", help="Where to write a new key file."),
        click.option(
            "--passphrase-file", metavar="FILE", help="The new passphrase, or - for stdin; else you are asked."
        ),
    ):
        function = option(function)
    return function


def kind_argument(function: _Function) -> _Function:
    """The kind of slot."""
    return click.option("--with", "kind", required=True, metavar="KIND", help=_KINDS)(function)


def wanted(kind: str, passphrase_file: str | None, key_file: str | None) -> dict[str, Any]:
    """What the appliance is asked for. Raises UsageError for words that do not go together."""
    shares = _SHARES.fullmatch(kind)
    if shares:
        return {"kind": "shares", "needed": int(shares[1]), "total": int(shares[2])}
    if kind not in ("passphrase", "key-file"):
        raise click.UsageError(f"say with --with what unlocks: {_KINDS}")
    if kind == "passphrase":
        return {"kind": kind, "passphrase": _passphrase(passphrase_file)}
    if not key_file:
        raise click.UsageError("say with --key-file FILE where to write the key file")
    if Path(key_file).exists():
        raise Failure(f"{key_file} exists already", "name another file: this one may be all that unlocks something")
    return {"kind": kind}


def _passphrase(file: str | None) -> str:
    found = secrets.from_file(file) if file else secrets.ask("New passphrase of the appliance", twice=True)
    if found is None:
        raise click.UsageError("there is no terminal to ask at: give --passphrase-file FILE, or - for stdin")
    return found


def hand_out(session: Session, made: NewUnlockSlot, key_file: str | None) -> None:
    """Write the key file or show the shares."""
    if made.key_file is not None and key_file:
        _write(Path(key_file), made.key_file)
    if output.document(session, {name: value for name, value in made.document.items() if name != "key_file"}):
        return
    for share in made.shares:
        click.echo(share)
    if made.shares:
        click.echo(SHARES_WARNING, err=True)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
