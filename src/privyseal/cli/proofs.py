"""`privyseal audit checkpoint|export|key|proof|verify`: what shows that nobody has rewritten the record.

`verify` asks no appliance: it needs a file, and better a key and checkpoints that were kept elsewhere.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from privyseal.cli import output
from privyseal.cli.commands import command as command_of
from privyseal.cli.failures import DOES_NOT_VERIFY
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import fail, printable, warn

_RECEIPT_MAX = 1024 * 1024
_TRUSTED_THE_FILE = "the audit key was taken from the file itself; --key FILE says which one it has to be"


@command_of(name="key", examples=["privyseal audit key > audit.key", "privyseal audit key --json"])
@pass_session
def key(session: Session) -> None:
    """Print the public half of the key that signs checkpoints; keep it where the appliance cannot change it."""
    with appliance(session) as there:
        found = there.audit_key()
    if not output.document(session, {"key": found}):
        click.echo(printable(found))


@command_of(
    name="checkpoint", examples=["privyseal audit checkpoint >> checkpoints", "privyseal audit checkpoint --json"]
)
@pass_session
def checkpoint(session: Session) -> None:
    """Print a signed checkpoint of the record; keep it elsewhere, for `privyseal audit verify --checkpoint`."""
    with appliance(session) as there:
        found = there.checkpoint()
    if not output.document(session, found.document):
        click.echo(found.note)


@command_of(
    name="proof",
    examples=["privyseal audit proof 4711 -o receipt.json", "privyseal audit verify receipt.json --key audit.key"],
)
@click.argument("event", metavar="NUMBER", type=click.IntRange(min=1))
@click.option("--output", "-o", "target", metavar="FILE", help="Where to write it; default: stdout.")
@pass_session
def proof(session: Session, event: int, target: str | None) -> None:
    """Write the receipt of an event: it shows anybody that this signature is in the record."""
    with appliance(session) as there:
        text = json.dumps(dict(there.receipt(event)), indent=2, ensure_ascii=False) + "\n"
    if target is None:
        click.echo(text, nl=False)
    else:
        Path(target).write_text(text, encoding="utf-8")
        output.note(session, f"wrote {target}")


@command_of(name="export", examples=["privyseal audit export -o record.jsonl"])
@click.option("--output", "-o", "target", required=True, metavar="FILE", help="Where to write it; - is stdout.")
@pass_session
def export(session: Session, target: str) -> None:
    """Write the whole record with a checkpoint, for `privyseal audit verify`."""
    if target == "-":
        for line in _exported(session):
            sys.stdout.buffer.write(line)
        return
    path = Path(target)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        for line in _exported(session):
            file.write(line)
    part.replace(path)
    output.note(session, f"wrote {target}")


def _exported(session: Session) -> Iterator[bytes]:
    """The lines of the record, with a bar on the way."""
    with appliance(session) as there, output.counting(session, "Exporting") as progress:
        for total, line in there.export_record():
            progress(total)
            yield line + b"\n"


@command_of(
    name="verify",
    examples=[
        "privyseal audit verify record.jsonl --key audit.key --checkpoint checkpoints",
        "privyseal audit verify receipt.json --key audit.key --public-key release.pem",
    ],
)
@click.argument("file")
@click.option("--checkpoint", "kept", multiple=True, metavar="FILE", help="Checkpoints kept elsewhere; repeatable.")
@click.option("--key", "key_file", metavar="FILE", help="The audit key that has to have signed.")
@click.option(
    "--known-gap", "gaps", multiple=True, metavar="KEEPER:NUMBER", help="A missing signature that is explained."
)
@click.option("--public-key", metavar="FILE", help="PEM or DER; a receipt has to be about this key.")
@pass_session
def verify(
    session: Session,
    file: str,
    kept: tuple[str, ...],
    key_file: str | None,
    gaps: tuple[str, ...],
    public_key: str | None,
) -> int:
    """Check an export of the record, or a receipt; exit status 3 when it does not verify. No appliance is asked."""
    from privyseal.wire.notes import NoteError, VerifierKey  # noqa: PLC0415 - cryptography takes its time to load

    try:
        key = VerifierKey.read(Path(key_file).read_text(encoding="utf-8")) if key_file else None
        if key is None and not session.quiet:
            warn(_TRUSTED_THE_FILE)
        document = _receipt(Path(file))
        if document is not None:
            return _verify_receipt(session, document, key, public_key)
        if public_key is not None:
            raise click.UsageError("--public-key goes with a receipt, and this is none")
        return _verify_export(session, Path(file), key, kept, frozenset(map(_gap, gaps)))
    except NoteError as error:
        return _verdict(session, {"valid": False, "findings": [str(error)]})


def _receipt(path: Path) -> bytes | None:
    """What is in the file if that is a receipt."""
    with path.open("rb") as file:
        content = file.read(_RECEIPT_MAX)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    is_receipt = isinstance(document, dict) and str(document.get("format")).startswith("privyseal-receipt")
    return content if is_receipt else None


def _verify_receipt(session: Session, document: bytes, key: Any, public_key: str | None) -> int:
    from privyseal.audit.verify import verify_receipt  # noqa: PLC0415 - as above
    from privyseal.wire.notes import NoteError  # noqa: PLC0415 - as above

    found = verify_receipt(document, key)
    if public_key is not None and _fingerprint(public_key) not in found.public_keys:
        raise NoteError(f"the receipt is not about the key in {public_key}")
    answer = {
        "valid": True,
        "event": found.event,
        "public_keys": found.public_keys,
        "events": found.checkpoint.size,
        "origin": found.checkpoint.origin,
    }
    if output.document(session, answer):
        return 0
    shown = {"time": datetime.fromtimestamp(found.event["time"] / 1_000_000, UTC)}
    told = {"public_key": ", ".join(found.public_keys)} if found.public_keys else {}
    output.record({name: value for name, value in (found.event | shown | told).items() if value is not None})
    return _verdict(session, answer)


def _fingerprint(path: str) -> str:
    """The SHA-256 of a public key as the record has it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - as above

    from privyseal.client.verification import load_public_key  # noqa: PLC0415 - as above

    key = load_public_key(Path(path).read_bytes())
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _verify_export(session: Session, path: Path, key: Any, kept: tuple[str, ...], gaps: frozenset[Any]) -> int:
    from privyseal.audit.verify import verify_export  # noqa: PLC0415 - as above
    from privyseal.wire.notes import split  # noqa: PLC0415 - as above

    notes = [note for name in kept for note in split(Path(name).read_text(encoding="utf-8"))]
    with path.open("rb") as file:
        report = verify_export(file, key, notes, gaps)
    return _verdict(
        session,
        {
            "valid": not report.findings,
            "events": report.events,
            "signatures": report.signatures,
            "origin": report.checkpoint.origin,
            "not_given_out": report.not_given_out,
            "checkpoints": report.kept,
            "findings": report.findings,
            "notes": report.notes,
        },
    )


def _gap(words: str) -> tuple[str, int]:
    keeper, _, number = words.partition(":")
    if not number.isdecimal():
        raise click.UsageError("give --known-gap KEEPER:NUMBER as `privyseal audit verify` printed it")
    return keeper, int(number)


def _verdict(session: Session, answer: Mapping[str, Any]) -> int:
    """Say it as `privyseal verify` does, with what was found."""
    if not output.document(session, answer):
        for each in answer.get("notes", ()):
            warn(each)
        if answer["valid"]:
            kept_back = f", {answer['not_given_out']} signatures not given out" if answer.get("not_given_out") else ""
            click.echo(f"Verified OK: {answer['events']} events of {printable(answer['origin'])}{kept_back}")
        else:
            click.echo("Verification failure")
            for each in answer["findings"]:
                fail(each)
    return 0 if answer["valid"] else DOES_NOT_VERIFY
