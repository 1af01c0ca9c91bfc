"""The file that a command works on: hashed where it is, or read whole; and where what is made of it goes."""

import contextlib
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypedDict

import click

from privyseal.cli import output
from privyseal.cli.session import Session
from privyseal.client.files import DEFAULT_HASH, hash_stream, read_message
from privyseal.client.records import Key

STDIN = "-"
STDOUT = "-"


class SignedPart(TypedDict, total=False):
    """What of a file goes to the appliance, as arguments of `KeyClient.sign` and `verify`."""

    digest: bytes
    data: bytes
    hash_name: str


def signed_part(session: Session, file: str, hash_name: str | None, key: Key) -> SignedPart:
    """The digest of a file, or the file itself for a key that signs whole messages or wants to hash by itself.

    Args:
        session: decides whether a bar is shown.
        file: its name, or `-` for stdin.
        hash_name: None means SHA-256.
        key: its record.

    Raises:
        UsageError: a hash is named for a key that signs whole messages.
        InvalidInputError: the file is too large for a key to which it goes whole.
        OSError: the file cannot be read.
    """
    if key.wants_data and not key.signs_messages:
        with _opened(file) as (stream, _):
            return {"data": read_message(stream), "hash_name": hash_name or DEFAULT_HASH}
    return message(file, hash_name) if key.signs_messages else hashed_part(session, file, hash_name)


def message(file: str, hash_name: str | None) -> SignedPart:
    """The file itself, for Ed25519, Ed448 and ML-DSA; raises as `signed_part`."""
    if hash_name:
        raise click.UsageError("Ed25519, Ed448 and ML-DSA keys sign the file itself: leave --hash out")
    with _opened(file) as (stream, _):
        return {"data": read_message(stream)}


def hashed_part(session: Session, file: str, hash_name: str | None) -> SignedPart:
    """The digest of a file, for all other keys."""
    with _opened(file) as (stream, size):
        name = hash_name or DEFAULT_HASH
        with output.hashing(session, size) as progress:
            return {"digest": hash_stream(stream, name, progress), "hash_name": name}


def beside(file: str, suffix: str, made: str) -> str:
    """Where what is made of a file goes when nobody says so: beside it, and for stdin to stdout.

    Args:
        file: its name, or `-`.
        suffix: of the new file's name.
        made: what it is, for the message.

    Raises:
        UsageError: stdout is a terminal, which is no place for it.
    """
    if file != STDIN:
        return f"{file}{suffix}"
    if sys.stdout.isatty():
        raise click.UsageError(f"say with -o FILE where {made} of stdin goes")
    return STDOUT


def text(file: str | Path) -> str:
    """What is in a text file. What is no text becomes characters that whoever reads it refuses in words of his own."""
    return Path(file).read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int]]:
    """The file with its size, which is 0 for what has none, such as a pipe."""
    if file == STDIN:
        yield sys.stdin.buffer, 0
        return
    path = Path(file)
    with path.open("rb") as stream:
        status = path.stat()
        yield stream, status.st_size if stat.S_ISREG(status.st_mode) else 0
