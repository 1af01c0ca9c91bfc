"""`privyseal key`: keys are made and kept on the appliance; what leaves it is public."""

from pathlib import Path
from typing import Any

import click

from privyseal.cli import key_life, output, policies, secrets
from privyseal.cli.commands import Group, core_option, tag_option, version_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.shown import show_key


@click.group(cls=Group)
def command() -> None:
    """Make, list, change and destroy keys. KEY is a key's id or label."""


@command.command(
    "create",
    examples=[
        "privyseal key create --core 1 --label release --type ec:P-256 --pin-file release.pin",
        "privyseal key create --label release --type rsa:4096",
        "privyseal key create --label release --type ec:P-256 --tag env=prod --tag team=web",
        "privyseal key create --label ca --type ec:P-384 --hashes SHA-384 --no-raw-digest --not-after 2036-01-01",
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
    "ec:brainpoolP384r1 ec:brainpoolP512r1 ed25519 ed448 ml-dsa-44 ml-dsa-65 ml-dsa-87 "
    "ml-kem-768 ml-kem-1024 x25519 x448 aes:128 aes:192 aes:256 secret:128 … secret:512",
)
@click.option("--pin-file", metavar="FILE", help="File with its PIN, or - for stdin. A lost PIN is a lost key.")
@click.option("--no-pin", is_flag=True, help="A key without a PIN, where the core allows it.")
@tag_option
@policies.options
@click.option(
    "--exportable", is_flag=True, default=None, help="It may leave the appliance wrapped; decided now, for ever."
)
@pass_session
def create(
    session: Session,
    /,
    core: int | str | None,
    label: str,
    key_type: str,
    pin_file: str | None,
    tags: tuple[str, ...],
    *,
    no_pin: bool,
    **policy: Any,
) -> None:
    """Make a key. A lost PIN is a lost key: nobody can use the key without it."""
    wanted = policies.wanted(**policy)
    pin = secrets.new_pin(pin_file, label, no_pin=no_pin)
    with appliance(session) as there, output.waiting(session, f"The appliance makes the key {label}"):
        key = there.core(core).create_key(label, key_type, pin=pin, policy=wanted, tags=tags)
    show_key(session, key)


@command.command(
    "list",
    examples=["privyseal key list", "privyseal key list --core 2 --json", "privyseal key list --tag env=prod"],
)
@core_option()
@click.option("--tag", metavar="TAG", help="Only keys with this tag.")
@pass_session
def list_keys(session: Session, core: int | str | None, tag: str | None) -> None:
    """List the keys that you may see."""
    with appliance(session) as there:
        keys = list(there.core(core).keys(tag=tag))
    if not output.document(session, {"keys": [key.document for key in keys], "next": None}):
        rows = [(key.label, key.type, key.pin, key.state, key.rights, key.id) for key in keys]
        output.table(("KEY", "TYPE", "PIN", "STATE", "YOU MAY", "ID"), rows)


@command.command("show", examples=["privyseal key show release", "privyseal key show release --version 1"])
@click.argument("key")
@core_option()
@version_option()
@pass_session
def show(session: Session, key: str, core: int | str | None, version: int | None) -> None:
    """Show one key."""
    with appliance(session) as there:
        show_key(session, there.core(core).key(key).record(version=version))


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
@version_option()
@click.option("--output", "-o", "target", metavar="FILE", help="Where to; default: stdout.")
@pass_session
def public(session: Session, key: str, core: int | str | None, version: int | None, target: str | None) -> None:
    """Print a key's public half as PEM; with --json the key's record, which holds it as DER."""
    with appliance(session) as there:
        there_key = there.core(core).key(key)
        if session.as_json:
            output.document(session, there_key.record(version=version).document)
            return
        pem = there_key.public_pem(version=version)
    if target:
        Path(target).write_bytes(pem)
    else:
        click.echo(pem, nl=False)


@command.command("unlock", examples=["privyseal key unlock release"])
@click.argument("key")
@core_option()
@pass_session
def unlock(session: Session, key: str, core: int | str | None) -> None:
    """Let people try a key's PIN again that is locked after too many wrong ones."""
    with appliance(session) as there:
        there.core(core).key(key).unlock()
    output.note(session, f"key {key} is unlocked")


for _each in key_life.COMMANDS:
    command.add_command(_each)
