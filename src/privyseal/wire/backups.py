"""The form of a backup: a header that anybody may read, and a stream of sealed chunks behind it.

    the line "privyseal backup 1"
    length (4 bytes, big endian), header (msgpack of `Header`)
    length (4 bytes), chunk (AES-256-GCM)          as often as needed; the last one says that it is the last

Each chunk is sealed under the file key with its number and a mark for the last one as nonce, and the SHA-256 of all
that stands before the chunks as associated data (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár,
CRYPTO 2015). So chunks can be neither left out, put in, exchanged nor taken from another file, and the end cannot be
cut off. The file key is in the header, sealed for each recipient: see `keeper.backups`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"privyseal backup 1\n"
CHUNK = 1024 * 1024
_TAG = 16
_HEADER_MAX = 1024 * 1024


class BackupError(Exception):
    """The file is no backup, is not whole, or was altered; the message says which."""


class Recipient(msgspec.Struct, frozen=True):
    """Who can open a backup.

    Attributes:
        kind: `passphrase` or `public-key`.
        name: the administrator's word for it.
        public_key: 32 bytes, X25519 (RFC 7748); a passphrase stands for the private half.
        salt: what the passphrase is stretched with; empty for a public key.
        sealed: HPKE (RFC 9180) of the file key and the appliance's secrets.
    """

    kind: str
    name: str
    public_key: bytes
    salt: bytes
    sealed: bytes


class Header(msgspec.Struct, frozen=True):
    """What can be read of a backup without opening it.

    Attributes:
        node: the appliance that made it.
        created: microseconds since the epoch, UTC.
        schema: the revision of the tables.
        last_event: the number of the last event in it.
    """

    node: str
    created: int
    schema: str
    last_event: int
    recipients: tuple[Recipient, ...]


def write(header: Header, file_key: bytes, plain: Iterable[bytes]) -> Iterator[bytes]:
    """Give the file in pieces, while `plain` is being read."""
    head = msgspec.msgpack.encode(header)
    start = MAGIC + len(head).to_bytes(4, "big") + head
    yield start
    place, cipher = hashlib.sha256(start).digest(), AESGCM(file_key)
    waiting = b""
    number = 0
    for chunk in _cut(plain):
        if number:
            yield _framed(cipher.encrypt(_nonce(number, last=False), waiting, place))
        waiting, number = chunk, number + 1
    yield _framed(cipher.encrypt(_nonce(max(number, 1), last=True), waiting, place))


def read_header(file: BinaryIO) -> tuple[Header, bytes]:
    """Read the header; gives it with the associated data of the chunks. Raises BackupError."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupError("this is no backup of a Privyseal appliance, or one of a newer version")
    length = file.read(4)
    size = int.from_bytes(length, "big")
    head = file.read(size) if size <= _HEADER_MAX else b""
    try:
        header = msgspec.msgpack.decode(head, type=Header)
    except ValueError as error:  # msgspec.DecodeError, and UnicodeDecodeError for a text that is none
        raise BackupError("the header is damaged") from error
    return header, hashlib.sha256(MAGIC + length + head).digest()


def read(file: BinaryIO, file_key: bytes, place: bytes) -> Iterator[bytes]:
    """Give the plain chunks behind the header. Raises BackupError at the first one that is not as it was written."""
    cipher, number = AESGCM(file_key), 0
    following = _next_chunk(file)
    while following is not None:
        sealed, following = following, _next_chunk(file)
        number += 1
        try:
            yield cipher.decrypt(_nonce(number, last=following is None), sealed, place)
        except InvalidTag as error:
            raise BackupError(f"chunk {number} is damaged, or the file was cut off behind it") from error
    if not number:
        raise BackupError("the file is cut off behind its header")


def _next_chunk(file: BinaryIO) -> bytes | None:
    length = file.read(4)
    if not length:
        return None
    size = int.from_bytes(length, "big")
    chunk = file.read(size) if _TAG <= size <= CHUNK + _TAG else b""
    if len(length) != 4 or len(chunk) != size:  # noqa: PLR2004 - the length of a length
        raise BackupError("the file is cut off, or damaged")
    return chunk


def _cut(plain: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for piece in plain:
        held += piece
        while len(held) > CHUNK:
            yield bytes(held[:CHUNK])
            del held[:CHUNK]
    yield bytes(held)


def _framed(chunk: bytes) -> bytes:
    return len(chunk).to_bytes(4, "big") + chunk


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
