"""`privyseal rule`: who may do what with which keys. Nothing is allowed without a rule."""

from collections.abc import Callable
from typing import Any

import click

from privyseal.cli import output
from privyseal.cli.commands import CORE, Group, core_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import warn
from privyseal.client.records import Rule

_OPERATIONS_HELP = (
    "What it allows, separated by commas: key:read key:sign key:encrypt key:decrypt key:derive "
    "key:wrap key:unwrap key:generate key:import key:manage key:export key:destroy object:read object:create "
    "object:destroy."
)
_KEYS_HELP = "Label of the keys it is about; * stands for any run of characters."


def _selectors(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which keys a rule is about."""
    for option in (
        click.option("--tag", metavar="TAG", help="Or a tag that they have: a word or NAME=VALUE."),
        click.option("--key-id", metavar="ID", help="Or the id of the one key that it is about."),
        click.option("--keys", metavar="PATTERN", help=_KEYS_HELP),
    ):
        function = option(function)
    return function


@click.group(cls=Group)
def command() -> None:
    """Say who may do what with which keys. Nothing is allowed without a rule."""


@command.command(
    "create",
    examples=[
        "privyseal rule create --user alice --core 1 --operations key:read,key:sign --keys 'release*'",
        "privyseal rule create --group signers --operations key:sign --tag env=prod",
        "privyseal rule create --user bob --operations key:manage --key-id f90fb8e79e60a1b2",
    ],
)
@click.option("--user", metavar="NAME", help="Who may.")
@click.option("--group", metavar="NAME", help="Or whose members may.")
@core_option()
@click.option("--operations", required=True, metavar="LIST", help=_OPERATIONS_HELP)
@_selectors
@pass_session
def create(
    session: Session,
    user: str | None,
    group: str | None,
    core: int | str | None,
    operations: str,
    keys: str | None,
    key_id: str | None,
    tag: str | None,
) -> None:
    """Allow a user, or everybody in a group, to do something with keys."""
    if (user is None) == (group is None):
        raise click.UsageError("give exactly one of --user and --group")
    if [keys, key_id, tag].count(None) != 2:  # noqa: PLR2004 - all but one
        raise click.UsageError("give exactly one of --keys, --key-id and --tag")
    with appliance(session) as there:
        where = there.configuration.core if core is None else core
        made = there.create_rule(
            user=user, group=group, core=where, operations=_listed(operations), keys=keys, key_id=key_id, tag=tag
        )
    _show(session, made)


@command.command(
    "list",
    examples=[
        "privyseal rule list",
        "privyseal rule list --user alice --core 1",
        "privyseal rule list --group signers",
    ],
)
@click.option("--user", metavar="NAME", help="Only rules of this user and of the user's groups.")
@click.option("--group", metavar="NAME", help="Only rules of this group.")
@click.option("--core", type=CORE, metavar="CORE", help="Only rules in this core.")
@pass_session
def list_rules(session: Session, user: str | None, group: str | None, core: int | str | None) -> None:
    """List the access rules."""
    with appliance(session) as there:
        rules = there.rules(user=user, core=core, group=group)
    if not output.document(session, {"rules": [rule.document for rule in rules]}):
        rows = [(rule.number, _who(rule), rule.core, rule.operations, _which(rule)) for rule in rules]
        output.table(("RULE", "WHO", "CORE", "OPERATIONS", "KEYS"), rows)


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
@_selectors
@pass_session
def update(
    session: Session, number: int, operations: str | None, keys: str | None, key_id: str | None, tag: str | None
) -> None:
    """Change what is given and leave the rest."""
    listed = None if operations is None else _listed(operations)
    with appliance(session) as there:
        _show(session, there.update_rule(number, operations=listed, keys=keys, key_id=key_id, tag=tag))


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


def _who(rule: Rule) -> str:
    return f"group {rule.group}" if rule.user is None else rule.user


def _which(rule: Rule) -> str | None:
    if rule.key_id is not None:
        return f"id {rule.key_id}"
    return rule.keys if rule.tag is None else f"tag {rule.tag}"


def _show(session: Session, rule: Rule) -> None:
    if output.document(session, rule.document):
        return
    for warning in () if session.quiet else rule.warnings:
        warn(warning)
    output.record(
        {
            "rule": rule.number,
            **({"group": rule.group} if rule.user is None else {"user": rule.user}),
            "core": rule.core,
            "operations": rule.operations,
            "keys": _which(rule),
            "created": rule.created,
        }
    )
