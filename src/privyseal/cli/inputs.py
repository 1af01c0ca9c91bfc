"""The file that is signed or verified: hashed where it is, or read whole for keys that sign messages."""

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

STDIN = "-"


class SignedPart(TypedDict, total=False):
    """What of a file goes to the appliance, as arguments of `KeyClient.sign` and `verify`."""

    digest: bytes
    data: bytes
    hash_name: str


def signed_part(session: Session, file: str, hash_name: str | None, *, whole: bool) -> SignedPart:
    """The digest of a file, or the file itself for a key that signs whole messages.

    Args:
        session: decides whether a bar is shown.
        file: its name, or `-` for stdin.
        hash_name: None means SHA-256.
        whole: whether the key signs whole messages.

    Raises:
        UsageError: a hash is named for a key that signs whole messages.
        InvalidInputError: the file is too large for such a key.
        OSError: the file cannot be read.
    """
    if whole and hash_name:
        raise click.UsageError("Ed25519 and Ed448 keys sign the file itself: leave --hash out")
    with _opened(file) as (stream, size):
        if whole:
            return {"data": read_message(stream)}
        name = hash_name or DEFAULT_HASH
        with output.hashing(session, size) as progress:
            return {"digest": hash_stream(stream, name, progress), "hash_name": name}


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
