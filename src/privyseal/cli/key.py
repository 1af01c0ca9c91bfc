"""`privyseal key`: keys are made and kept on the appliance; what leaves it is public."""

import sys
from pathlib import Path

import click

from privyseal.cli import output, secrets
from privyseal.cli.commands import Group, core_option
from privyseal.cli.connect import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import Key


@click.group(cls=Group)
def command() -> None:
    """Make, list and destroy keys. KEY is a key's id or label."""


@command.command(
    "create",
    examples=[
        "privyseal key create --core 1 --label release --type ec:P-256 --pin-file release.pin",
        "privyseal key create --label release --type rsa:4096",
    ],
)
@core_option()
@click.option("--label", required=True, metavar="TEXT", help="The key's name, unique in its core.")
@click.option(
    "--type",
    "key_type",
    required=True,
    metavar="TYPE",
    help="rsa:2048 rsa:3072 rsa:4096 rsa:8192 ec:P-256 ec:P-384 ec:P-521 ec:secp256k1 ec:brainpoolP256r1 "
    "ec:brainpoolP384r1 ec:brainpoolP512r1 ed25519 ed448",
)
@click.option("--pin-file", metavar="FILE", help="File with its PIN, or - for stdin. A lost PIN is a lost key.")
@click.option("--no-pin", is_flag=True, help="A key without a PIN, where the core allows it.")
@pass_session
def create(
    session: Session, core: int | str | None, label: str, key_type: str, pin_file: str | None, *, no_pin: bool
) -> None:
    """Make a key. A lost PIN is a lost key: nobody can use the key without it."""
    pin = secrets.new_pin(pin_file, label, no_pin=no_pin)
    with appliance(session) as there, output.waiting(session, f"The appliance makes the key {label}"):
        key = there.core(core).create_key(label, key_type, pin=pin)
    _show(session, key)


@command.command("list", examples=["privyseal key list", "privyseal key list --core 2 --json"])
@core_option()
@pass_session
def list_keys(session: Session, core: int | str | None) -> None:
    """List the keys that you may see."""
    with appliance(session) as there:
        keys = list(there.core(core).keys())
    if not output.document(session, {"keys": [key.document for key in keys], "next": None}):
        rows = [(key.label, key.type, key.pin, key.operations, key.id) for key in keys]
        output.table(("KEY", "TYPE", "PIN", "YOU MAY", "ID"), rows)


@command.command("show", examples=["privyseal key show release"])
@click.argument("key")
@core_option()
@pass_session
def show(session: Session, key: str, core: int | str | None) -> None:
    """Show one key."""
    with appliance(session) as there:
        _show(session, there.core(core).key(key).record())


@command.command("uri", examples=["privyseal key uri release"])
@click.argument("key")
@core_option()
@pass_session
def uri(session: Session, key: str, core: int | str | None) -> None:
    """Print a key's PKCS#11 URI (RFC 7512)."""
    with appliance(session) as there:
        answer = there.core(core).key(key).uri()
    if not output.document(session, {"uri": answer}):
        click.echo(answer)


@command.command(
    "public",
    examples=["privyseal key public release > release.pem", "privyseal key public release -o release.pem"],
)
@click.argument("key")
@core_option()
@click.option("--output", "-o", "target", metavar="FILE", help="Where to; default: stdout.")
@pass_session
def public(session: Session, key: str, core: int | str | None, target: str | None) -> None:
    """Print a key's public half as PEM; with --json the key's record, which holds it as DER."""
    with appliance(session) as there:
        there_key = there.core(core).key(key)
        if session.as_json:
            output.document(session, there_key.record().document)
            return
        pem = there_key.public_pem()
    if target:
        Path(target).write_bytes(pem)
    else:
        click.echo(pem, nl=False)


@command.command("delete", examples=["privyseal key delete old-release", "privyseal key delete old-release --yes"])
@click.argument("key")
@core_option()
@click.option("--yes", "-y", is_flag=True, help="Do not ask. Without a terminal nobody is asked.")
@pass_session
def delete(session: Session, key: str, core: int | str | None, *, yes: bool) -> None:
    """Destroy a key. Nothing can bring it back."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Destroy key {key!r}? Nothing can bring it back", abort=True, err=True)
    with appliance(session) as there:
        there.core(core).key(key).delete()
    output.note(session, f"key {key} is destroyed")


@command.command("unlock", examples=["privyseal key unlock release"])
@click.argument("key")
@core_option()
@pass_session
def unlock(session: Session, key: str, core: int | str | None) -> None:
    """Let people try a key's PIN again that is locked after too many wrong ones."""
    with appliance(session) as there:
        there.core(core).key(key).unlock()
    output.note(session, f"key {key} is unlocked")


def _show(session: Session, key: Key) -> None:
    if output.document(session, key.document):
        return
    output.record(
        {
            "key": key.label,
            "id": key.id,
            "core": key.core,
            "type": key.type,
            "PIN": key.pin,
            "mechanisms": key.mechanisms,
            "you may": key.operations,
            "created": key.created,
            "URI": key.uri,
        }
    )
