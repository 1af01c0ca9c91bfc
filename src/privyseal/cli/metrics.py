"""`privyseal metrics`: what monitoring reads, for a person or a text file collector."""

import click

from privyseal.cli import output
from privyseal.cli.commands import command as command_of
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session


@command_of(examples=["privyseal --user watcher metrics", "privyseal --quiet metrics"])
@pass_session
def command(session: Session) -> None:
    """Print what the appliance measures of itself, in Prometheus' text format."""
    with appliance(session) as there:
        metrics = there.metrics()
    if not output.document(session, {"metrics": metrics}):
        click.echo(metrics, nl=False)
