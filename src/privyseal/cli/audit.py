"""`privyseal audit`: the record of every operation, refusal and change."""

import click

from privyseal.cli import output, proofs
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import Event


@click.group(cls=Group)
def command() -> None:
    """Read the record, and check that nobody has rewritten it."""


for each in (proofs.checkpoint, proofs.export, proofs.key, proofs.proof, proofs.verify):
    command.add_command(each)


@command.command(
    "events",
    examples=[
        "privyseal audit events",
        "privyseal audit events --after 4711 --limit 20",
        "privyseal audit events --json",
    ],
)
@click.option("--after", default=0, metavar="NUMBER", help="Begin behind the event with this number.")
@click.option("--limit", type=click.IntRange(min=1), metavar="COUNT", help="At most so many; default: all.")
@pass_session
def events(session: Session, after: int, limit: int | None) -> None:
    """List events in the order in which they were recorded; for administrators and auditors."""
    with appliance(session) as there:
        found = list(there.events(after=after, limit=limit))
    following = found[-1].number if found and len(found) == limit else None
    if not output.document(session, {"events": [event.document for event in found], "next": following}):
        headings = ("EVENT", "TIME", "USER", "OPERATION", "CORE", "KEY", "MECHANISM", "OUTCOME", "REASON")
        output.table(headings, map(_row, found))


def _row(event: Event) -> tuple[object, ...]:
    return (
        event.number,
        event.time,
        event.user,
        event.operation,
        event.core,
        event.key,
        event.mechanism,
        event.outcome,
        event.reason,
    )
