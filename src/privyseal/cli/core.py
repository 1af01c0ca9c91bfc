"""`privyseal core`: independent partitions of the appliance."""

from typing import Any

import click

from privyseal.cli import output
from privyseal.cli.commands import CORE, Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import Core

_DESTROY_DAYS = click.option(
    "--destroy-days",
    type=int,
    metavar="N",
    help="Least days before a deleted key is destroyed, 7 to 365; 0 lets administrators destroy keys at once.",
)
_PIN_DELAY_FROM = click.option(
    "--pin-delay-from", type=int, metavar="N", help="Wrong PINs after which the next one has to wait, 1 to 100."
)
_PIN_LOCK_AT = click.option(
    "--pin-lock-at",
    type=int,
    metavar="N",
    help="Wrong PINs after which an administrator has to unlock the user or the key, 1 to 100.",
)


@click.group(cls=Group)
def command() -> None:
    """Make, list and change cores: independent partitions, each a PKCS#11 token."""


@command.command("create", examples=["privyseal core create test", "privyseal core create lab --pin-optional"])
@click.argument("name")
@click.option(
    "--pin-required/--pin-optional", default=True, help="Whether every key must have a PIN; default: it must."
)
@_DESTROY_DAYS
@_PIN_DELAY_FROM
@_PIN_LOCK_AT
@pass_session
def create(session: Session, /, name: str, **settings: Any) -> None:
    """Make a core."""
    with appliance(session) as there:
        _show(session, there.create_core(name, **settings))


@command.command("list", examples=["privyseal core list", "privyseal core list --json"])
@pass_session
def list_cores(session: Session) -> None:
    """List the cores in which you may do something."""
    with appliance(session) as there:
        cores = there.cores()
    if not output.document(session, {"cores": [core.document for core in cores]}):
        rows = [(core.number, core.name, core.keys, core.pin_required, core.token_label, core.serial) for core in cores]
        output.table(("CORE", "NAME", "KEYS", "PIN REQUIRED", "TOKEN", "SERIAL"), rows)


@command.command("show", examples=["privyseal core show 1", "privyseal core show test"])
@click.argument("core", type=CORE)
@pass_session
def show(session: Session, core: int | str) -> None:
    """Show one core."""
    with appliance(session) as there:
        _show(session, there.core(core).record())


@command.command(
    "update", examples=["privyseal core update 1 --pin-lock-at 5", "privyseal core update 2 --pin-optional"]
)
@click.argument("core", type=CORE)
@click.option("--name", metavar="NAME", help="New name.")
@click.option("--pin-required/--pin-optional", default=None, help="Whether every new key must have a PIN.")
@click.option("--manufacturer", metavar="TEXT", help="Manufacturer that PKCS#11 hosts see.")
@click.option("--model", metavar="TEXT", help="Model that PKCS#11 hosts see.")
@click.option("--token-label", metavar="TEXT", help="Token label that PKCS#11 hosts see.")
@_DESTROY_DAYS
@_PIN_DELAY_FROM
@_PIN_LOCK_AT
@pass_session
def update(session: Session, /, core: int | str, **changes: Any) -> None:
    """Change what is given and leave the rest."""
    with appliance(session) as there:
        _show(session, there.core(core).update(**changes))


@command.command("delete", examples=["privyseal core delete test"])
@click.argument("core", type=CORE)
@pass_session
def delete(session: Session, core: int | str) -> None:
    """Delete a core that holds no key."""
    with appliance(session) as there:
        there.core(core).delete()
    output.note(session, f"core {core} is deleted")


def _show(session: Session, core: Core) -> None:
    if output.document(session, core.document):
        return
    output.record(
        {
            "core": core.number,
            "name": core.name,
            "keys": core.keys,
            "PIN required": core.pin_required,
            "PIN length": f"{core.pin_min} to {core.pin_max}",
            "wrong PINs": f"the next one waits after {core.pin_delay_from}, locked after {core.pin_lock_at}",
            "token label": core.token_label,
            "serial": core.serial,
            "destroy days": core.destroy_days,
            "created": core.created,
        }
    )
