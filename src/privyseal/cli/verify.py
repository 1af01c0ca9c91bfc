"""`privyseal verify`: does this signature fit? With a public key at hand no appliance is asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from privyseal.cli import inputs, output
from privyseal.cli.commands import command as command_of
from privyseal.cli.commands import core_option, version_option
from privyseal.cli.failures import DOES_NOT_VERIFY
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client import verification
from privyseal.client.errors import InvalidSignatureError
from privyseal.client.files import DEFAULT_HASH, HASHES


@command_of(
    examples=[
        "privyseal verify app.tar --signature app.tar.sig --key release",
        "privyseal verify app.tar --signature app.tar.sig --public-key release.pem",
    ]
)
@click.argument("file")
@click.option("--signature", metavar="FILE", help="Default: FILE.sig.")
@click.option("--key", metavar="KEY", help="The key's id or label; the appliance verifies.")
@click.option("--public-key", metavar="FILE", help="PEM or DER; this host verifies, without an appliance.")
@core_option()
@click.option(
    "--hash", "hash_name", type=click.Choice(list(HASHES)), help="Default: SHA-256. Not for Ed25519, Ed448, ML-DSA."
)
@click.option(
    "--mechanism", metavar="NAME", help="ECDSA, RSA-PKCS1, RSA-PSS, EdDSA or ML-DSA; default: the key type's own."
)
@version_option()
@pass_session
def command(
    session: Session, /, *, file: str, signature: str | None, key: str | None, public_key: str | None, **how: Any
) -> int:
    """Check a signature of FILE (- is stdin): print `Verified OK`, or `Verification failure` with exit status 3."""
    if (key is None) == (public_key is None):
        raise click.UsageError("give either --key or --public-key")
    if signature is None and file == inputs.STDIN:
        raise click.UsageError("give --signature FILE when the data comes from stdin")
    content = Path(signature or f"{file}.sig").read_bytes()
    try:
        if public_key:
            del how["core"], how["version"]
            return _verdict(session, _verify_here(session, file, content, public_key, **how))
        return _verdict(session, _verify_there(session, file, content, key or "", **how))
    except InvalidSignatureError as error:
        return _verdict(session, {"valid": False} | ({} if error.event is None else {"event": error.event}))


def _verify_here(
    session: Session, file: str, signature: bytes, public_key: str, *, hash_name: str | None, mechanism: str | None
) -> dict[str, Any]:
    key = verification.load_public_key(Path(public_key).read_bytes())
    whole = verification.signs_messages(key)
    part = inputs.message(file, hash_name) if whole else inputs.hashed_part(session, file, hash_name)
    signed = part["digest"] if "digest" in part else part["data"]
    verification.verify(key, signature, signed, hash_name=part.get("hash_name", DEFAULT_HASH), mechanism=mechanism)
    return {"valid": True}


def _verify_there(
    session: Session,
    file: str,
    signature: bytes,
    key: str,
    *,
    core: int | str | None,
    hash_name: str | None,
    mechanism: str | None,
    version: int | None,
) -> dict[str, Any]:
    with appliance(session) as there:
        record = there.core(core).key(key).record()
        whole = record.signs_messages
        part = inputs.message(file, hash_name) if whole else inputs.hashed_part(session, file, hash_name)
        event = there.core(core).key(record.id).verify(signature, **part, mechanism=mechanism, version=version)
    return {"valid": True, "event": event}


def _verdict(session: Session, answer: Mapping[str, Any]) -> int:
    """Say it as openssl does."""
    if not output.document(session, answer):
        click.echo("Verified OK" if answer["valid"] else "Verification failure")
    return 0 if answer["valid"] else DOES_NOT_VERIFY
