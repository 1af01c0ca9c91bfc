"""`privyseal quorum`: what needs the approval of several people."""

import click

from privyseal.cli import output
from privyseal.cli.commands import CORE, Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session


@click.group(cls=Group)
def command() -> None:
    """Say what needs the approval of several people, and of whom."""


@command.command(
    "create",
    examples=[
        "privyseal quorum create --operation key:sign --core 1 --key release --needed 2 --approvers bob,carol,dave",
        "privyseal quorum create --operation user:create --needed 1 --approvers bob,carol",
    ],
)
@click.option("--operation", required=True, metavar="WORD", help="For example key:sign, key:destroy, rule:create.")
@click.option("--core", type=CORE, metavar="CORE", help="Only in this core; default: everywhere.")
@click.option("--key", metavar="KEY", help="Only with this key, by id or label; default: with every key.")
@click.option("--needed", type=int, required=True, metavar="M", help="How many have to agree.")
@click.option("--approvers", required=True, metavar="LIST", help="Users, separated by commas.")
@pass_session
def create(
    session: Session, *, operation: str, core: int | str | None, key: str | None, needed: int, approvers: str
) -> None:
    """Let an operation need the approval of M of the named users."""
    names = [each.strip() for each in approvers.split(",") if each.strip()]
    with appliance(session) as there:
        made = there.create_quorum(operation=operation, needed=needed, approvers=names, core=core, key=key)
    if not output.document(session, made.document):
        output.record(
            {
                "quorum": made.number,
                "operation": made.operation,
                "core": made.core,
                "key": made.key,
                "needed": f"{made.needed} of {len(made.approvers)}",
                "approvers": made.approvers,
            }
        )


@command.command("list", examples=["privyseal quorum list"])
@pass_session
def list_quorums(session: Session) -> None:
    """List the quorums."""
    with appliance(session) as there:
        found = there.quorums()
    if not output.document(session, {"quorums": [one.document for one in found]}):
        rows = [(one.number, one.operation, one.core, one.key, one.needed, one.approvers) for one in found]
        output.table(("QUORUM", "OPERATION", "CORE", "KEY", "NEEDED", "APPROVERS"), rows)


@command.command("delete", examples=["privyseal quorum delete 3"])
@click.argument("number", type=int)
@pass_session
def delete(session: Session, number: int) -> None:
    """Take a quorum away. Those who are in it have to agree."""
    with appliance(session) as there:
        there.delete_quorum(number)
    output.note(session, f"quorum {number} is deleted")
