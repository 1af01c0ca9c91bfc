"""`privyseal rule`: who may do what with which keys. Nothing is allowed without a rule."""

import click

from privyseal.cli import output
from privyseal.cli.commands import CORE, Group, core_option
from privyseal.cli.connect import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import Rule

_OPERATIONS_HELP = "What it allows, separated by commas: key:read, key:sign, key:generate, key:destroy."
_KEYS_HELP = "Label of the keys it is about; * stands for any run of characters."


@click.group(cls=Group)
def command() -> None:
    """Say who may do what with which keys. Nothing is allowed without a rule."""


@command.command(
    "create",
    examples=["privyseal rule create --user alice --core 1 --operations key:read,key:sign --keys 'release*'"],
)
@click.option("--user", required=True, metavar="NAME", help="Who may.")
@core_option()
@click.option("--operations", required=True, metavar="LIST", help=_OPERATIONS_HELP)
@click.option("--keys", required=True, metavar="PATTERN", help=_KEYS_HELP)
@pass_session
def create(session: Session, user: str, core: int | str | None, operations: str, keys: str) -> None:
    """Allow a user to do something with keys."""
    with appliance(session) as there:
        where = there.configuration.core if core is None else core
        _show(session, there.create_rule(user=user, core=where, operations=_listed(operations), keys=keys))


@command.command("list", examples=["privyseal rule list", "privyseal rule list --user alice --core 1"])
@click.option("--user", metavar="NAME", help="Only rules of this user.")
@click.option("--core", type=CORE, metavar="CORE", help="Only rules in this core.")
@pass_session
def list_rules(session: Session, user: str | None, core: int | str | None) -> None:
    """List the access rules."""
    with appliance(session) as there:
        rules = there.rules(user=user, core=core)
    if not output.document(session, {"rules": [rule.document for rule in rules]}):
        rows = [(rule.number, rule.user, rule.core, rule.operations, rule.keys) for rule in rules]
        output.table(("RULE", "USER", "CORE", "OPERATIONS", "KEYS"), rows)


@command.command("show", examples=["privyseal rule show 3"])
@click.argument("number", type=int)
@pass_session
def show(session: Session, number: int) -> None:
    """Show one access rule."""
    with appliance(session) as there:
        _show(session, there.rule(number))


@command.command("update", examples=["privyseal rule update 3 --keys 'release-2027*'"])
@click.argument("number", type=int)
@click.option("--operations", metavar="LIST", help=_OPERATIONS_HELP)
@click.option("--keys", metavar="PATTERN", help=_KEYS_HELP)
@pass_session
def update(session: Session, number: int, operations: str | None, keys: str | None) -> None:
    """Change what is given and leave the rest."""
    listed = None if operations is None else _listed(operations)
    with appliance(session) as there:
        _show(session, there.update_rule(number, operations=listed, keys=keys))


@command.command("delete", examples=["privyseal rule delete 3"])
@click.argument("number", type=int)
@pass_session
def delete(session: Session, number: int) -> None:
    """Take back what a rule allowed."""
    with appliance(session) as there:
        there.delete_rule(number)
    output.note(session, f"rule {number} is deleted")


def _listed(operations: str) -> list[str]:
    return [each.strip() for each in operations.split(",") if each.strip()]


def _show(session: Session, rule: Rule) -> None:
    if output.document(session, rule.document):
        return
    output.record(
        {
            "rule": rule.number,
            "user": rule.user,
            "core": rule.core,
            "operations": rule.operations,
            "keys": rule.keys,
            "created": rule.created,
        }
    )
