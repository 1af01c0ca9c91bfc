"""`privyseal state`: unprovisioned, locked or operational."""

import click

from privyseal.cli import output
from privyseal.cli.commands import command as command_of
from privyseal.cli.connect import appliance
from privyseal.cli.failures import LOCKED
from privyseal.cli.session import Session, pass_session


@command_of(examples=["privyseal state", "privyseal state --quiet && echo ready"])
@pass_session
def command(session: Session) -> int:
    """Print the appliance's state: unprovisioned, locked or operational. The exit status is 4 unless operational."""
    with appliance(session, anonymous=True) as there:
        state = there.state()
    if not output.document(session, {"state": state}) and not session.quiet:
        click.echo(output.text(state))
    return 0 if state == "operational" else LOCKED
