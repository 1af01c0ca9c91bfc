"""`privyseal doctor`: walks from this host to a verified signature, says which link is broken and how to mend it."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from privyseal.cli import failures, output, pkcs11, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import Failure
from privyseal.client.host import doctor
from privyseal.client.host.chain import Link, Patient, State

_COLOURS = {State.OK: "green", State.FAILED: "red", State.SKIPPED: None}


@command_of(
    examples=[
        "privyseal doctor",
        "privyseal doctor --key release --pin-file release.pin",
        "privyseal doctor --json",
    ]
)
@click.option("--key", metavar="LABEL", help="Key to sign with; default: the first that the user may sign with.")
@click.option(
    "--pin-file", metavar="FILE", help="File with the key's PIN, or - for stdin; without it nothing is signed."
)
@pass_session
def command(session: Session, *, key: str | None, pin_file: str | None) -> int:
    """Walk the chain from this host to a signature, and at the first broken link say what to type.

    It reads the configuration file that PKCS#11 programs read. With a PIN it makes one signature, which is on record.
    The exit status is 0 when no link is broken, 3 when the signature does not verify, 4 when the appliance is locked,
    5 when it refuses, else 1.
    """
    patient = Patient(
        environment=os.environ,
        named=Path(session.config) if session.config else None,
        label=key,
        pin=secrets.from_file(pin_file) if pin_file else None,
        module=_module(),
    )
    links = list(_told(session, doctor.examine(patient)))
    broken = next((link for link in links if link.state is State.FAILED), None)
    told = [{"link": each.name, "state": each.state.value, "saw": each.saw, "type": each.mend} for each in links]
    output.document(session, {"ok": broken is None, "links": told})
    if broken is None:
        return 0
    return failures.status(broken.error) if broken.error else 1


def _told(session: Session, links: Iterator[Link]) -> Iterator[Link]:
    """Print each link as soon as it has been looked at."""
    width = max(len(name) for name, _ in doctor.LINKS)
    for link in links:
        if not session.as_json and not (session.quiet and link.state is not State.FAILED):
            state = output.style(link.state.value.ljust(7), colour=_COLOURS[link.state])
            click.echo(f"{state}  {link.name.ljust(width)}  {output.text(link.saw)}")
            if link.mend:
                click.echo(f"{'':9}{'type:'.ljust(width)}  {output.text(link.mend)}")
        yield link


def _module() -> Path | None:
    try:
        return pkcs11.find(os.environ)
    except Failure:
        return None
