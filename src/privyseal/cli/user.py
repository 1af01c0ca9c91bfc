"""`privyseal user`: accounts of people and machines."""

from pathlib import Path

import click

from privyseal.cli import inputs, output, secrets
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import User

ROLES = click.Choice(["administrator", "operator", "auditor", "backup", "metrics"])
_PASSWORD_HELP = "File with the password, or - for stdin; without it you are asked twice."  # noqa: S105  no password


@click.group(cls=Group)
def command() -> None:
    """Make, list and change users."""


@command.command(
    "create",
    examples=[
        "privyseal user create alice --role operator",
        "privyseal user create build-host --role operator --password-file build-host.password",
    ],
)
@click.argument("name")
@click.option("--role", type=ROLES, required=True, help="What the user is here for. Administrators cannot sign.")
@click.option("--password-file", metavar="FILE", help=_PASSWORD_HELP)
@pass_session
def create(session: Session, name: str, role: str, password_file: str | None) -> None:
    """Make a user. Nothing is allowed to an operator without an access rule (privyseal rule create)."""
    password = secrets.new_password(password_file, name)
    with appliance(session) as there:
        _show(session, there.create_user(name, role=role, password=password))


@command.command("list", examples=["privyseal user list"])
@pass_session
def list_users(session: Session) -> None:
    """List the users."""
    with appliance(session) as there:
        users = there.users()
    if not output.document(session, {"users": [user.document for user in users]}):
        rows = [(user.name, user.role, user.locked, user.created) for user in users]
        output.table(("USER", "ROLE", "LOCKED", "CREATED"), rows)


@command.command("show", examples=["privyseal user show alice"])
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """Show one user."""
    with appliance(session) as there:
        _show(session, there.user(name))


@command.command(
    "update",
    examples=[
        "privyseal user update alice --role auditor",
        "privyseal user update alice --password-file alice.password",
        "privyseal user update alice --password",
    ],
)
@click.argument("name")
@click.option("--role", type=ROLES, help="The new role.")
@click.option("--password", "ask_password", is_flag=True, help="Ask for a new password.")
@click.option("--password-file", metavar="FILE", help="File with the new password, or - for stdin.")
@pass_session
def update(session: Session, name: str, role: str | None, password_file: str | None, *, ask_password: bool) -> None:
    """Change what is given and leave the rest."""
    password = secrets.new_password(password_file, name) if ask_password or password_file else None
    with appliance(session) as there:
        _show(session, there.update_user(name, role=role, password=password))


@command.command("delete", examples=["privyseal user delete alice"])
@click.argument("name")
@pass_session
def delete(session: Session, name: str) -> None:
    """Delete a user."""
    with appliance(session) as there:
        there.delete_user(name)
    output.note(session, f"user {name} is deleted")


@command.command("unlock", examples=["privyseal user unlock alice"])
@click.argument("name")
@pass_session
def unlock(session: Session, name: str) -> None:
    """Let a user try again who is locked after too many wrong passwords or PINs."""
    with appliance(session) as there:
        there.unlock_user(name)
    output.note(session, f"user {name} is unlocked")


@command.group("certificate", cls=Group)
def certificate() -> None:
    """Certificates with which users log in instead of a password (mutual TLS)."""


@certificate.command("add", examples=["privyseal user certificate add build-host build-host.pem"])
@click.argument("user", metavar="NAME")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@pass_session
def add_certificate(session: Session, user: str, file: Path) -> None:
    """Let a user log in with the certificate in a PEM file, and with this one only. Its private key is not sent."""
    pem = inputs.text(file)
    with appliance(session) as there:
        made = there.add_certificate(user, pem)
    if not output.document(session, made.document):
        output.record(
            {
                "user": made.user,
                "certificate": made.fingerprint,
                "subject": made.subject,
                "valid from": made.not_before,
                "valid until": made.not_after,
                "state": made.state,
            }
        )


@certificate.command("list", examples=["privyseal user certificate list build-host"])
@click.argument("user", metavar="NAME")
@pass_session
def list_certificates(session: Session, user: str) -> None:
    """List a user's certificates."""
    with appliance(session) as there:
        found = there.certificates(user)
    if not output.document(session, {"certificates": [one.document for one in found]}):
        rows = [(one.fingerprint, one.subject, one.state, one.not_before, one.not_after) for one in found]
        output.table(("CERTIFICATE", "SUBJECT", "STATE", "VALID FROM", "VALID UNTIL"), rows)


@certificate.command("remove", examples=["privyseal user certificate remove build-host sha256:5f70…"])
@click.argument("user", metavar="NAME")
@click.argument("fingerprint")
@pass_session
def remove_certificate(session: Session, user: str, fingerprint: str) -> None:
    """End the use of a certificate at once, also on open connections."""
    with appliance(session) as there:
        there.remove_certificate(user, fingerprint)
    output.note(session, f"the certificate logs {user} in no more")


def _show(session: Session, user: User) -> None:
    if not output.document(session, user.document):
        output.record({"user": user.name, "role": user.role, "locked": user.locked, "created": user.created})
