"""`privyseal credential`: tokens that stand for a user, for less than the user may and for a limited time."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from privyseal.cli import output
from privyseal.cli.commands import CORE, Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import Credential

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.group(cls=Group)
def command() -> None:
    """Make, list and revoke tokens that stand for users."""


class _Duration(click.ParamType[timedelta]):
    """How long: a number with s, m, h or d behind it."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,8})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no duration such as 90d or 12h", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


@command.command(
    "create",
    examples=[
        "privyseal credential create --name ci --operations key:sign --core 1 --keys 'release*' -o ci.token",
        "privyseal credential create --user alice --name laptop --expires 30d -o laptop.token",
    ],
)
@click.option("--name", required=True, metavar="NAME", help="What it is called.")
@click.option("--user", metavar="NAME", help="For whom; default: for yourself.")
@click.option("--operations", metavar="LIST", help="Only these, separated by commas; default: all that the user may.")
@click.option("--core", type=CORE, metavar="CORE", help="Only in this core.")
@click.option("--keys", metavar="PATTERN", help="Only with keys of this label; * stands for any run of characters.")
@click.option("--expires", type=_Duration(), default="90d", metavar="TIME", help="90d, 12h, ...; at most 366d.  [90d]")
@click.option("-o", "--output", "file", required=True, metavar="FILE", help="Write the token here, a new file.")
@pass_session
def create(session: Session, /, file: str, expires: timedelta, operations: str | None, **scope: Any) -> None:
    """Make a token that a host uses in a password's place. It is shown once, into a file."""
    listed = None if operations is None else [each.strip() for each in operations.split(",") if each.strip()]
    with appliance(session) as there, _new_file(Path(file)) as descriptor:
        try:
            made = there.create_credential(operations=listed, expires_in=int(expires.total_seconds()), **scope)
        except BaseException:
            Path(file).unlink()  # nothing is in it
            raise
        descriptor.write(made.token + "\n")
    _show(session, made.credential)
    output.note(session, f"the token is in {file}; name it in PRIVYSEAL_CREDENTIAL_FILE or as credential_file")


@command.command("list", examples=["privyseal credential list", "privyseal credential list --user alice"])
@click.option("--user", metavar="NAME", help="Only this user's; you may list your own.")
@pass_session
def list_credentials(session: Session, user: str | None) -> None:
    """List the credentials."""
    with appliance(session) as there:
        found = there.credentials(user=user)
    if not output.document(session, {"credentials": [one.document for one in found]}):
        rows = [(one.id, one.user, one.name, one.state, one.expires, one.last_used) for one in found]
        output.table(("CREDENTIAL", "USER", "NAME", "STATE", "EXPIRES", "LAST USED"), rows)


@command.command("show", examples=["privyseal credential show 90f4c1d2a3b4c5d6"])
@click.argument("id_", metavar="ID")
@pass_session
def show(session: Session, id_: str) -> None:
    """Show a credential, without its token."""
    with appliance(session) as there:
        _show(session, there.credential(id_))


@command.command("revoke", examples=["privyseal credential revoke 90f4c1d2a3b4c5d6"])
@click.argument("id_", metavar="ID")
@pass_session
def revoke(session: Session, id_: str) -> None:
    """End a credential at once."""
    with appliance(session) as there:
        there.revoke_credential(id_)
    output.note(session, f"credential {id_} is revoked")


def _new_file(path: Path) -> Any:
    """Open a new file for its owner alone, before anything is asked for: a token that cannot be kept is lost."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def _show(session: Session, one: Credential) -> None:
    if output.document(session, one.document):
        return
    output.record(
        {
            "credential": one.id,
            "user": one.user,
            "name": one.name,
            "operations": "all that the user may" if one.operations is None else one.operations,
            "core": "every one" if one.core is None else one.core,
            "keys": one.keys,
            "state": one.state,
            "created": one.created,
            "expires": one.expires,
            "last used": one.last_used,
        }
    )
