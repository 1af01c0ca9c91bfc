"""`privyseal object`: certificates, public keys and data that PKCS #11 hosts share. They are no secret."""

import sys
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from privyseal.cli import output
from privyseal.cli.commands import Group, core_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.errors import InvalidInputError
from privyseal.client.objects import StoredObject

CLASSES = ("certificate", "public-key", "data")


@click.group(cls=Group)
def command() -> None:
    """Keep, list and remove certificates, public keys and data. ID is what `privyseal object list` shows."""


@command.command(
    "create",
    examples=[
        "privyseal object create release.pem --class certificate --label release --object-id f90fb8e79e60a1b2",
        "privyseal object create notes.txt --class data --label notes",
    ],
)
@click.argument("file")
@core_option()
@click.option("--class", "object_class", type=click.Choice(CLASSES), required=True, help="What it is.")
@click.option("--label", default="", metavar="TEXT", help="Its name.")
@click.option("--object-id", default="", metavar="HEX", help="CKA_ID; that of the key that it goes with.")
@pass_session
def create(session: Session, file: str, core: int | str | None, object_class: str, label: str, object_id: str) -> None:
    """Keep what is in FILE; certificates and public keys in PEM or DER."""
    value = _der(Path(file).read_bytes(), object_class)
    with appliance(session) as there:
        made = there.core(core).objects.create(object_class, value, label=label, object_id=object_id)
    _show(session, made)


@command.command("list", examples=["privyseal object list", "privyseal object list --class certificate --json"])
@core_option()
@click.option("--class", "object_class", type=click.Choice(CLASSES), help="Only these.")
@click.option("--label", metavar="TEXT", help="Only those with this label.")
@pass_session
def list_objects(session: Session, core: int | str | None, object_class: str | None, label: str | None) -> None:
    """List the objects that you may see."""
    with appliance(session) as there:
        found = list(there.core(core).objects.find(object_class=object_class, label=label))
    if not output.document(session, {"objects": [one.document for one in found], "next": None}):
        rows = [(one.label, one.object_class, one.object_id or None, len(one.value), one.id) for one in found]
        output.table(("OBJECT", "CLASS", "OBJECT ID", "BYTES", "ID"), rows)


@command.command("show", examples=["privyseal object show 4f2f6cbc0a1b2c3d", "privyseal object show 4f2f… -o c.der"])
@click.argument("id")
@core_option()
@click.option("--output", "-o", "target", metavar="FILE", help="Write its value there; - is stdout.")
@pass_session
def show(session: Session, id: str, core: int | str | None, target: str | None) -> None:  # noqa: A002 - its name
    """Show one object, or write its value."""
    with appliance(session) as there:
        found = there.core(core).objects.get(id)
    if target == "-":
        sys.stdout.buffer.write(found.value)
    elif target:
        Path(target).write_bytes(found.value)
    else:
        _show(session, found)


@command.command("delete", examples=["privyseal object delete 4f2f6cbc0a1b2c3d"])
@click.argument("id")
@core_option()
@pass_session
def delete(session: Session, id: str, core: int | str | None) -> None:  # noqa: A002 - as above
    """Remove an object. Keys are not touched."""
    with appliance(session) as there:
        there.core(core).objects.delete(id)
    output.note(session, f"object {id} is removed")


def _show(session: Session, one: StoredObject) -> None:
    if not output.document(session, one.document):
        output.record(
            {
                "object": one.label,
                "id": one.id,
                "class": one.object_class,
                "object id": one.object_id or None,
                "bytes": len(one.value),
                "created": one.created,
            }
        )


def _der(content: bytes, object_class: str) -> bytes:
    """What PEM holds as DER; anything else as it is."""
    if object_class == "data" or not content.lstrip().startswith(b"-----BEGIN"):
        return content
    der = serialization.Encoding.DER
    try:
        if object_class == "certificate":
            return x509.load_pem_x509_certificate(content).public_bytes(der)
        key = serialization.load_pem_public_key(content)
    except ValueError:
        raise InvalidInputError(f"this is no {object_class} in PEM form") from None
    return key.public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo)
