"""`privyseal pkcs11`: where the PKCS#11 module is on this host."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import click

import privyseal
from privyseal.cli import output
from privyseal.cli.commands import Group
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import Failure
from privyseal.client.host.places import MODULE_FILE


@click.group(cls=Group)
def command() -> None:
    """Find the PKCS#11 module."""


@command.command("path", examples=["privyseal pkcs11 path", 'pkcs11-tool --module "$(privyseal pkcs11 path)" -T'])
@pass_session
def path(session: Session) -> None:
    """Print the path of the PKCS#11 module: $PRIVYSEAL_PKCS11_MODULE, else privyseal-pkcs11's, else in build/."""
    found = str(find(os.environ))
    if not output.document(session, {"path": found}):
        click.echo(found)


def find(environment: Mapping[str, str]) -> Path:
    """Where the module is.

    Raises:
        Failure: it is in none of the places.
    """
    named = environment.get("PRIVYSEAL_PKCS11_MODULE")
    checkout = Path(privyseal.__file__).parents[2]
    places = [Path(named)] if named else [*_installed(), checkout / "build" / MODULE_FILE]
    for place in places:
        if place.is_file():
            return place.absolute()
    raise Failure(
        f"there is no PKCS#11 module at {' or '.join(map(str, places))}",
        "pip install privyseal-pkcs11, or make demo in the repository",
    )


def _installed() -> list[Path]:
    """Where the wheel `privyseal-pkcs11` has put it, if that is installed."""
    package = find_spec("privyseal_pkcs11")
    return [Path(folder) / MODULE_FILE for folder in (package.submodule_search_locations or [])] if package else []
