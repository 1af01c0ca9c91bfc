"""`privyseal sign`: a detached signature of a file, as openssl verifies it. Only a digest travels."""

import sys
from pathlib import Path

import click

from privyseal.cli import inputs, output, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.commands import core_option, key_option, pin_file_option, version_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.cores import KeyClient
from privyseal.client.errors import AccessRefusedError, KeyNotFoundError
from privyseal.client.files import HASHES
from privyseal.client.records import Key


@command_of(
    examples=[
        "privyseal sign app.tar --key release",
        "privyseal sign app.tar --key release --pin-file release.pin --hash SHA-384 -o app.sig",
        "openssl dgst -sha256 -verify release.pem -signature app.tar.sig app.tar",
    ]
)
@click.argument("file")
@key_option
@core_option()
@pin_file_option
@click.option(
    "--hash", "hash_name", type=click.Choice(list(HASHES)), help="Default: SHA-256. Not for Ed25519, Ed448, ML-DSA."
)
@click.option(
    "--mechanism", metavar="NAME", help="ECDSA, RSA-PKCS1, RSA-PSS, EdDSA or ML-DSA; default: the key type's own."
)
@version_option()
@click.option("--output", "-o", "target", metavar="FILE", help="Default: FILE.sig; - is stdout.")
@pass_session
def command(
    session: Session,
    *,
    file: str,
    key: str,
    core: int | str | None,
    pin_file: str | None,
    hash_name: str | None,
    mechanism: str | None,
    version: int | None,
    target: str | None,
) -> None:
    """Sign FILE (- is stdin) and write the signature to FILE.sig.

    The file is hashed here, whatever its size, and the appliance signs the digest. Ed25519, Ed448 and ML-DSA sign the
    file itself, which may then have up to 1 MiB; so do keys whose policy refuses foreign digests. A lost PIN is a lost
    key.
    """
    target = target or inputs.beside(file, ".sig", "the signature")
    if inputs.STDIN == file == pin_file:
        raise click.UsageError("file and PIN cannot both come from stdin")
    with appliance(session) as there:
        record = _look_up(session, there.core(core).key(key), file, version)
        opened = there.core(core).key(record.id, pin=secrets.pin_of(record, pin_file))
        signed = inputs.signed_part(session, file, hash_name, record)
        signature = opened.sign(**signed, mechanism=mechanism, version=version)
    shown = output.document(session, signature.document)
    if target != inputs.STDOUT:
        Path(target).write_bytes(signature.signature)
        output.note(session, f"{target}: signed with key {record.label!r}, event {signature.event}")
    elif not shown:
        sys.stdout.buffer.write(signature.signature)
        sys.stdout.buffer.flush()


def _look_up(session: Session, key: KeyClient, file: str, version: int | None) -> Key:
    """The key's record. Whoever may not even read it is told by the appliance which rule signing would take."""
    try:
        return key.record(version=version)
    except (AccessRefusedError, KeyNotFoundError):
        key.sign(**inputs.hashed_part(session, file, None))
        raise
