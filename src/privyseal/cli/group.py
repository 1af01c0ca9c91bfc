"""`privyseal group`: users for whom the same rules shall hold."""

import click

from privyseal.cli import output
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client import records


@click.group(cls=Group)
def command() -> None:
    """Put users into groups, to give them rules together (privyseal rule create --group)."""


@command.command(
    "create",
    examples=["privyseal group create signers", "privyseal group create signers --member alice --member bob"],
)
@click.argument("name")
@click.option("--member", "members", multiple=True, metavar="USER", help="A user in it; may be given several times.")
@pass_session
def create(session: Session, name: str, members: tuple[str, ...]) -> None:
    """Make a group. Its members may nothing more until a rule names it."""
    with appliance(session) as there:
        _show(session, there.create_group(name, members=members))


@command.command("list", examples=["privyseal group list"])
@pass_session
def list_groups(session: Session) -> None:
    """List the groups; who is no administrator sees the own ones."""
    with appliance(session) as there:
        found = there.groups()
    if not output.document(session, {"groups": [group.document for group in found]}):
        output.table(("GROUP", "MEMBERS"), [(group.name, group.members) for group in found])


@command.command("show", examples=["privyseal group show signers"])
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """Show one group."""
    with appliance(session) as there:
        _show(session, there.group(name))


@command.command("add", examples=["privyseal group add signers alice"])
@click.argument("name")
@click.argument("user")
@pass_session
def add(session: Session, name: str, user: str) -> None:
    """Put a user into a group: its rules hold for the user from now on."""
    with appliance(session) as there:
        _show(session, there.add_member(name, user))


@command.command("remove", examples=["privyseal group remove signers alice"])
@click.argument("name")
@click.argument("user")
@pass_session
def remove(session: Session, name: str, user: str) -> None:
    """Take a user out of a group: its rules hold for the user no more."""
    with appliance(session) as there:
        _show(session, there.remove_member(name, user))


@command.command("delete", examples=["privyseal group delete signers"])
@click.argument("name")
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete a group and the rules that name it; its members stay users."""
    with appliance(session) as there:
        there.delete_group(name)
    output.note(session, f"group {name} is deleted")


def _show(session: Session, group: records.Group) -> None:
    if not output.document(session, group.document):
        output.record({"group": group.name, "members": group.members, "created": group.created})
