"""`privyseal key`, second part: what happens to a key from its policy to its end, and keys that come from elsewhere."""

import sys
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives import serialization

from privyseal.cli import output, policies, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.commands import core_option, pin_file_option, tag_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.shown import show_key
from privyseal.client.private_keys import PassphraseNeededError, read_private_key
from privyseal.client.records import encoded, take_time
from privyseal.client.verification import load_public_key


@command_of(
    name="update",
    examples=[
        "privyseal key update release --label release-2026",
        "privyseal key update release --tag env=prod --no-tag beta",
    ],
)
@click.argument("key")
@core_option()
@click.option("--label", metavar="TEXT", help="A new label, unique in its core.")
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Put it on: a word or NAME=VALUE, in place of NAME's."
)
@click.option("--no-tag", "no_tags", multiple=True, metavar="TAG", help="Take it off: the whole tag, or its name.")
@pass_session
def update(
    session: Session,
    key: str,
    core: int | str | None,
    label: str | None,
    tags: tuple[str, ...],
    no_tags: tuple[str, ...],
) -> None:
    """Change a key's label and tags. Rules go by them: look with privyseal access explain what that changes."""
    if label is None and not tags and not no_tags:
        raise click.UsageError("give --label, --tag or --no-tag")
    with appliance(session) as there:
        record = there.core(core).key(key).update(label=label, add_tags=tags, remove_tags=no_tags)
    show_key(session, record)


@command_of(
    name="policy",
    examples=[
        "privyseal key policy release --max-uses 1000 --not-after 2027-12-31",
        "privyseal key policy release --policy policy.json --pin-file release.pin",
    ],
)
@click.argument("key")
@core_option()
@pin_file_option
@policies.options
@click.option("--not-exportable", is_flag=True, default=None, help="It never leaves again; nothing takes that back.")
@pass_session
def policy(
    session: Session,
    /,
    key: str,
    core: int | str | None,
    pin_file: str | None,
    *,
    not_exportable: bool | None,
    **words: Any,
) -> None:
    """Show what a key may be used for, or change it; a key with a PIN needs its PIN for that."""
    wanted = policies.wanted(**words, exportable=False if not_exportable else None)
    with appliance(session) as there:
        record = there.core(core).key(key).record()
        if wanted:
            pin = secrets.pin_of(record, pin_file)
            record = there.core(core).key(record.id, pin=pin).change_policy(wanted)
    show_key(session, record)


@command_of(
    name="rotate",
    examples=[
        "privyseal key rotate release --pin-file release.pin",
        "privyseal key rotate release --pin-file release.pin --new-pin-file new.pin",
        "privyseal key rotate stamps --every 90",
        "privyseal key rotate stamps --never",
    ],
)
@click.argument("key")
@core_option()
@pin_file_option
@click.option("--new-pin-file", metavar="FILE", help="File with a new PIN; default: the PIN stays.")
@click.option("--every", type=int, metavar="DAYS", help="Let the appliance do it at this age; for keys without a PIN.")
@click.option("--never", is_flag=True, help="Let the appliance do it no more.")
@pass_session
def rotate(
    session: Session,
    key: str,
    core: int | str | None,
    pin_file: str | None,
    new_pin_file: str | None,
    every: int | None,
    *,
    never: bool,
) -> None:
    """Make a key's next version under the same label; older ones go on verifying (--version) and sign no more."""
    if (never and every is not None) or ((never or every is not None) and (pin_file or new_pin_file)):
        raise click.UsageError("--every, --never and the PIN files exclude each other")
    if pin_file == new_pin_file == secrets.STDIN:
        raise click.UsageError("PIN and new PIN cannot both come from stdin")
    with appliance(session) as there:
        record = there.core(core).key(key).record()
        if never or every is not None:
            record = there.core(core).key(record.id).rotate_after(every)
        else:
            opened = there.core(core).key(record.id, pin=secrets.pin_of(record, pin_file))
            new_pin = None if new_pin_file is None else secrets.from_file(new_pin_file)
            with output.waiting(session, f"The appliance makes the next version of {record.label}"):
                record = opened.rotate(new_pin=new_pin)
    show_key(session, record)


@command_of(name="versions", examples=["privyseal key versions release"])
@click.argument("key")
@core_option()
@pass_session
def versions(session: Session, key: str, core: int | str | None) -> None:
    """List a key's versions; the last is the current one."""
    with appliance(session) as there:
        found = there.core(core).key(key).versions()
    if not output.document(session, {"versions": [each.document for each in found]}):
        rows = [(each.version, take_time(each.document, "version_created"), each.pin) for each in found]
        output.table(("VERSION", "CREATED", "PIN"), rows)


@command_of(name="disable", examples=["privyseal key disable release"])
@click.argument("key")
@core_option()
@pass_session
def disable(session: Session, key: str, core: int | str | None) -> None:
    """Let a key refuse use until it is enabled again."""
    with appliance(session) as there:
        record = there.core(core).key(key).disable()
    if not output.document(session, record.document):
        output.note(session, f"key {key} is disabled")


@command_of(name="enable", examples=["privyseal key enable release"])
@click.argument("key")
@core_option()
@pass_session
def enable(session: Session, key: str, core: int | str | None) -> None:
    """Let a disabled key be used again."""
    with appliance(session) as there:
        record = there.core(core).key(key).enable()
    if not output.document(session, record.document):
        output.note(session, f"key {key} is enabled")


@command_of(
    name="delete",
    examples=[
        "privyseal key delete old-release",
        "privyseal key delete old-release --days 90 --yes",
        "privyseal key delete old-release --now",
    ],
)
@click.argument("key")
@core_option()
@click.option(
    "--days", type=int, metavar="N", help="Days until then, 7 to 365; default: 30, or what the core asks for."
)
@click.option("--now", is_flag=True, help="At once, for administrators in a core whose destroy days are 0.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask. Without a terminal nobody is asked.")
@pass_session
def delete(session: Session, key: str, core: int | str | None, days: int | None, *, now: bool, yes: bool) -> None:
    """Let a key refuse use at once and be destroyed some days later. Until then privyseal key restore undoes it."""
    if now and days is not None:
        raise click.UsageError("--now and --days exclude each other")
    if not yes and sys.stdin.isatty():
        end = " now? Nothing can bring it back" if now else " after a while? It refuses use from now on"
        click.confirm(f"Destroy key {key!r}{end}", abort=True, err=True)
    with appliance(session) as there:
        if now:
            there.core(core).key(key).destroy_now()
            output.note(session, f"key {key} is destroyed")
            return
        record = there.core(core).key(key).delete(days=days)
    if not output.document(session, record.document):
        when = output.text(record.destroy_at)
        output.note(session, f"key {key} will be destroyed on {when}; until then: privyseal key restore {key}")


@command_of(name="restore", examples=["privyseal key restore old-release"])
@click.argument("key")
@core_option()
@pass_session
def restore(session: Session, key: str, core: int | str | None) -> None:
    """Take back that a key shall be destroyed."""
    with appliance(session) as there:
        record = there.core(core).key(key).restore()
    if not output.document(session, record.document):
        output.note(session, f"key {key} is restored")


@command_of(
    name="import",
    examples=[
        "privyseal key import server.key --label web --pin-file web.pin",
        "privyseal key import old.p12 --label web --passphrase-file old.pass --pin-file web.pin",
    ],
)
@click.argument("file")
@core_option()
@click.option("--label", required=True, metavar="TEXT", help="The key's name, unique in its core.")
@click.option("--passphrase-file", metavar="FILE", help="File with the passphrase of FILE; else you are asked.")
@click.option("--pin-file", metavar="FILE", help="File with its PIN, or - for stdin. A lost PIN is a lost key.")
@click.option("--no-pin", is_flag=True, help="A key without a PIN, where the core allows it.")
@tag_option
@policies.options
@click.option(
    "--exportable", is_flag=True, default=None, help="It may leave the appliance wrapped; decided now, for ever."
)
@pass_session
def take_in(
    session: Session,
    /,
    file: str,
    core: int | str | None,
    label: str,
    passphrase_file: str | None,
    pin_file: str | None,
    tags: tuple[str, ...],
    *,
    no_pin: bool,
    **words: Any,
) -> None:
    """Take in the private key in FILE (PEM, DER, PKCS #12): opened and wrapped here, so that only the keeper reads it.

    The key is marked as imported for ever: it was in a file, and who has a copy of that file has the key.
    """
    wanted = policies.wanted(**words)
    pkcs8 = _private_key(file, passphrase_file)
    pin = secrets.new_pin(pin_file, label, no_pin=no_pin)
    with appliance(session) as there, output.waiting(session, f"The appliance takes in the key {label}"):
        key = there.core(core).import_key(label, pkcs8, pin=pin, policy=wanted, tags=tags)
    show_key(session, key)


@command_of(
    name="export",
    examples=["privyseal key export moving --to other-appliance.pem -o moving.wrapped --pin-file moving.pin"],
)
@click.argument("key")
@core_option()
@pin_file_option
@click.option("--to", required=True, metavar="FILE", help="RSA public key, 3072 bits or more, that shall read it.")
@click.option("--output", "-o", "target", required=True, metavar="FILE", help="Where the wrapped key goes.")
@pass_session
def export(session: Session, key: str, core: int | str | None, pin_file: str | None, to: str, target: str) -> None:
    """Wrap a key that was made exportable (RSA-OAEP with SHA-256 and AES-KWP, as PKCS #11's CKM_RSA_AES_KEY_WRAP)."""
    public_key = load_public_key(Path(to).read_bytes()).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with appliance(session) as there:
        record = there.core(core).key(key).record()
        opened = there.core(core).key(record.id, pin=secrets.pin_of(record, pin_file))
        exported = opened.export(public_key)
    Path(target).write_bytes(exported.wrapped)
    if not output.document(session, {"wrapped": encoded(exported.wrapped), "event": exported.event}):
        output.note(session, f"{target}: key {record.label!r}, wrapped, event {exported.event}")


def _private_key(file: str, passphrase_file: str | None) -> bytes:
    """The private key in a file, with its passphrase where it needs one."""
    content = Path(file).read_bytes()
    if passphrase_file is not None:
        return read_private_key(content, secrets.from_file(passphrase_file))
    try:
        return read_private_key(content)
    except PassphraseNeededError:
        passphrase = secrets.ask(f"Passphrase of {file}")
        if passphrase is None:
            raise click.UsageError(f"{file} is encrypted: give --passphrase-file FILE") from None
        return read_private_key(content, passphrase)


COMMANDS = (update, policy, rotate, versions, disable, enable, delete, restore, take_in, export)
"""What `privyseal key` has of these."""
