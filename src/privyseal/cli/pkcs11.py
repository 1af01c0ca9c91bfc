"""`privyseal pkcs11`: where the PKCS#11 module is on this host."""

import os
from collections.abc import Mapping
from pathlib import Path

import click

import privyseal
from privyseal.cli import output
from privyseal.cli.commands import Group
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import Failure

MODULE = "privyseal-pkcs11.so"


@click.group(cls=Group)
def command() -> None:
    """Find the PKCS#11 module."""


@command.command("path", examples=["privyseal pkcs11 path", 'pkcs11-tool --module "$(privyseal pkcs11 path)" -T'])
@pass_session
def path(session: Session) -> None:
    """Print the path of the PKCS#11 module: $PRIVYSEAL_PKCS11_MODULE, else beside this package, else in build/."""
    found = str(find(os.environ))
    if not output.document(session, {"path": found}):
        click.echo(found)


def find(environment: Mapping[str, str]) -> Path:
    """Where the module is.

    Raises:
        Failure: it is in none of the places.
    """
    package = Path(privyseal.__file__).parent
    named = environment.get("PRIVYSEAL_PKCS11_MODULE")
    places = [Path(named)] if named else [package / MODULE, package.parents[1] / "build" / MODULE]
    for place in places:
        if place.is_file():
            return place.absolute()
    raise Failure(
        f"there is no PKCS#11 module at {' or '.join(map(str, places))}", "make demo builds it in the repository"
    )
