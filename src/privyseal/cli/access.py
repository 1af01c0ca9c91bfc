"""`privyseal access`: why somebody may or may not."""

import click

from privyseal.cli import output
from privyseal.cli.commands import Group, core_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session


@click.group(cls=Group)
def command() -> None:
    """Say why a user may or may not do something."""


@command.command(
    "explain",
    examples=[
        "privyseal access explain --user alice --core 1 --operation key:sign --key release",
        "privyseal access explain --user alice --operation user:manage",
    ],
)
@click.option("--user", required=True, metavar="NAME", help="Whom it is about.")
@core_option()
@click.option("--operation", required=True, metavar="NAME", help="For example key:sign.")
@click.option("--key", metavar="KEY", help="The key's id or label.")
@click.option("--credential", metavar="ID", help="The credential that is used; left out, the password.")
@pass_session
def explain(  # the words of the question, one by one
    session: Session, user: str, core: int | str | None, operation: str, key: str | None, credential: str | None
) -> None:
    """Say whether a user may do something, why, and which command would change it. The exit status is 0 either way."""
    with appliance(session) as there:
        where = there.configuration.core if core is None else core
        answer = there.explain_access(user=user, core=where, operation=operation, key=key, credential=credential)
    if output.document(session, answer.document):
        return
    verdict = output.style("allowed", colour="green") if answer.allowed else output.style("refused", colour="red")
    click.echo(f"{verdict}: {output.text(answer.reason)}")
    for condition in answer.conditions:
        click.echo(f"also: {output.text(condition)}")
    if answer.group:
        click.echo(f"group: {output.text(answer.group)}")
    if answer.missing_rule:
        click.echo(f"hint: {output.text(answer.missing_rule)}")
