"""`privyseal domain-key`: the key under which all others are sealed."""

import sys
import time

import click

from privyseal.cli import output
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.appliance import Appliance
from privyseal.client.unlocking import DomainKeyStatus

_POLL_SECONDS = 0.5


@click.group(cls=Group)
def command() -> None:
    """Rotate the domain key, under which all keys are sealed."""


@command.command("rotate", examples=["privyseal domain-key rotate", "privyseal domain-key rotate --no-wait"])
@click.option("--wait/--no-wait", default=True, help="Whether to wait until it is done; default: wait.")
@pass_session
def rotate(session: Session, *, wait: bool) -> None:
    """Make a new domain key and seal every key with it, while signatures go on. No PIN or passphrase is needed."""
    with appliance(session) as there:
        status = there.rotate_domain_key()
        if wait:
            status = _follow(session, there, status)
    if status.rotating or session.as_json:
        _show(session, status)
    else:
        output.note(session, "the domain key is rotated: every key is sealed with the new one")


@command.command("status", examples=["privyseal domain-key status"])
@pass_session
def status(session: Session) -> None:
    """Say how far a rotation is."""
    with appliance(session) as there:
        _show(session, there.domain_key())


def _follow(session: Session, there: Appliance, status: DomainKeyStatus) -> DomainKeyStatus:
    """Show a bar until it is done, or until something holds it up."""
    hidden = session.quiet or session.as_json or not sys.stderr.isatty()
    with click.progressbar(length=max(status.total, 1), label="Sealing", file=sys.stderr, hidden=hidden) as bar:
        while status.rotating and status.damaged is None:
            bar.update(status.done - bar.pos)
            time.sleep(_POLL_SECONDS)
            status = there.domain_key()
        bar.update(bar.length - bar.pos if bar.length else 0)
    return status


def _show(session: Session, status: DomainKeyStatus) -> None:
    if output.document(session, status.document):
        return
    if not status.rotating:
        output.note(session, "the domain key is not being rotated: every key is sealed with it")
    elif status.damaged:
        output.note(session, f"{status.damaged} does not open, so the old domain key stays; destroy or restore it")
    else:
        output.note(session, f"the domain key is being rotated: {status.done} of {status.total} records are done")
