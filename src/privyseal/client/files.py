"""Hashing files where they are: whatever their size, only a digest travels, and memory use stays the same."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from privyseal.client.errors import InvalidInputError
from privyseal.model.mechanisms import Hash

DEFAULT_HASH = "SHA-256"
HASHES = {each.value: each.python_name for each in Hash}
"""The appliance's names of hashes and what `hashlib` calls them."""

MAX_MESSAGE = 1024 * 1024
_CHUNK = 1024 * 1024

Progress = Callable[[int], None]
"""Called with the number of bytes that were hashed since the last call."""


def hash_file(path: Path, hash_name: str = DEFAULT_HASH, progress: Progress | None = None) -> bytes:
    """The digest of a file.

    Args:
        path: the file.
        hash_name: one of `HASHES`.
        progress: called after each piece of at most 1 MiB.

    Raises:
        InvalidInputError: there is no such hash.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hash_stream(file, hash_name, progress)


def hash_stream(stream: BinaryIO, hash_name: str = DEFAULT_HASH, progress: Progress | None = None) -> bytes:
    """The digest of what a binary stream yields up to its end; arguments and errors as for `hash_file`."""
    if hash_name not in HASHES:
        raise InvalidInputError(f"there is no hash {hash_name!r}; choose one of {', '.join(HASHES)}")
    state = hashlib.new(HASHES[hash_name])
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
        if progress:
            progress(len(chunk))
    return state.digest()


def read_message(stream: BinaryIO) -> bytes:
    """What a binary stream yields, for a key that signs messages as a whole.

    Raises:
        InvalidInputError: it is larger than the appliance accepts, 1 MiB.
    """
    message = stream.read(MAX_MESSAGE + 1)
    if len(message) > MAX_MESSAGE:
        raise InvalidInputError(
            "an Ed25519 or Ed448 key signs the whole message, at most 1 MiB; sign larger files with an EC or RSA key"
        )
    return message
