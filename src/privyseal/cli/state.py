"""`privyseal state`: unprovisioned, locked or operational."""

import click

from privyseal.cli import output
from privyseal.cli.commands import command as command_of
from privyseal.cli.failures import LOCKED
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session


@command_of(examples=["privyseal state", "privyseal state --quiet && echo ready"])
@pass_session
def command(session: Session) -> int:
    """Print the appliance's state: unprovisioned, locked or operational. The exit status is 4 unless operational."""
    with appliance(session, anonymous=True) as there:
        now = there.unlocking()
    if not output.document(session, now.document) and not session.quiet:
        shares = f", {now.have} of {now.needed} shares are here" if now.have else ""
        click.echo(output.text(now.state + shares))
    return 0 if now.state == "operational" else LOCKED
