"""`privyseal approval`: what waits for the approval of several people."""

import click

from privyseal.cli import output
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import Approval


@click.group(cls=Group)
def command() -> None:
    """See, approve and refuse what waits for approval.

    Whoever asked does the same again once enough have agreed; an approval is for exactly what was asked, once.
    """


@command.command("list", examples=["privyseal approval list", "privyseal approval list --all --json"])
@click.option("--all", "everything", is_flag=True, help="Those that were used, refused or have expired, too.")
@pass_session
def list_approvals(session: Session, *, everything: bool) -> None:
    """List the requests that wait, the newest first."""
    with appliance(session) as there:
        found = list(there.approvals(open_only=not everything))
    if not output.document(session, {"approvals": [one.document for one in found]}):
        rows = [
            (one.number, one.state, one.operation, one.requester, f"{len(one.approved)} of {one.needed}", one.expires)
            for one in found
        ]
        output.table(("REQUEST", "STATE", "OPERATION", "ASKED BY", "AGREED", "EXPIRES"), rows)


@command.command("show", examples=["privyseal approval show 7"])
@click.argument("number", type=int)
@pass_session
def show(session: Session, number: int) -> None:
    """Show what exactly is asked, and who has agreed."""
    with appliance(session) as there:
        _show(session, there.approval(number))


@command.command("approve", examples=["privyseal approval approve 7"])
@click.argument("number", type=int)
@pass_session
def approve(session: Session, number: int) -> None:
    """Agree to a request."""
    with appliance(session) as there:
        _show(session, there.approve(number))


@command.command("refuse", examples=["privyseal approval refuse 7"])
@click.argument("number", type=int)
@pass_session
def refuse(session: Session, number: int) -> None:
    """Refuse a request, which ends it."""
    with appliance(session) as there:
        _show(session, there.refuse(number))


def _show(session: Session, approval: Approval) -> None:
    if output.document(session, approval.document):
        return
    output.record(
        {
            "request": approval.number,
            "state": approval.state,
            "asked by": approval.requester,
            "operation": approval.operation,
            "core": approval.core,
            "key": approval.key,
            "agreed": f"{len(approval.approved)} of {approval.needed}",
            "approved by": approval.approved,
            "refused by": approval.refused,
            "approvers": approval.approvers,
            "created": approval.created,
            "expires": approval.expires,
        }
    )
    for line in approval.what.splitlines():
        click.echo(f"  {output.text(line)}")
