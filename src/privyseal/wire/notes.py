"""Signed notes and checkpoints, as C2SP's signed-note and tlog-checkpoint write them.

A checkpoint says how many events the record has, the root of the tree over them, and what the keeper that signed it has
counted. Its text is read in exactly one form: what is read is written again and compared.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ORIGIN = "privyseal/"
"""What the origin of a record begins with; the id of its audit key follows."""

_ED25519 = b"\x01"
_KEY_ID_LENGTH = 4
_PUBLIC_LENGTH = 32
_ROOT_LENGTH = 32
_SIGNATURE = "\u2014 "
_NAME = re.compile(r"[^\s+]+")
_KEEPER = re.compile(r"keeper ([0-9a-f]{16}) (0|[1-9][0-9]{0,18}) ([0-9a-f]{64})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class NoteError(ValueError):
    """What should be a note, a checkpoint or a key is none, or its signature does not verify."""


@dataclass(frozen=True, slots=True)
class Uses:
    """What a keeper counted: the random id of its run, how many signatures it made, and the hash over all of them."""

    keeper: str
    count: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How long the record is, and the root of its tree; `time` is seconds since the epoch by the keeper's clock."""

    origin: str
    size: int
    root: bytes
    uses: Uses
    time: int


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half of a note key: its name and 32 bytes of Ed25519."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_LENGTH]

    def __str__(self) -> str:
        """Write `name+hash+base64`, as people keep it."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def read(cls, text: str) -> "VerifierKey":
        """Read what `str` writes; raises NoteError."""
        name, _, rest = text.strip().partition("+")
        _, _, encoded = rest.partition("+")
        key = cls(name, _decoded(encoded)[1:])
        if not _NAME.fullmatch(name) or len(key.public) != _PUBLIC_LENGTH or str(key) != text.strip():
            raise NoteError("this is no verifier key; it looks like privyseal/…+…+…")
        return key


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Write what is signed: origin, size and root, then our extension lines."""
    uses = checkpoint.uses
    lines = [checkpoint.origin, str(checkpoint.size), base64.b64encode(checkpoint.root).decode()]
    lines += [f"time {checkpoint.time}", f"keeper {uses.keeper} {uses.count} {uses.chain.hex()}"]
    return "".join(f"{line}\n" for line in lines)


def sign(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Sign a text, which ends with a line end, into a note."""
    key = VerifierKey(name, private.public_key().public_bytes_raw())
    signature = base64.b64encode(key.id + private.sign(text.encode())).decode()
    return f"{text}\n{_SIGNATURE}{name} {signature}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """Give the text of a note that this key signed; raises NoteError. Signatures of others are passed over."""
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    lines = signatures.splitlines()
    if not lines or not note.endswith("\n") or not all(line.startswith(_SIGNATURE) for line in lines):
        raise NoteError("this is no signed note")
    for line in lines:
        name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
        signature = _decoded(encoded)
        if name == key.name and signature[:_KEY_ID_LENGTH] == key.id:
            _verify(key, signature[_KEY_ID_LENGTH:], text)
            return text
    raise NoteError(f"the note is not signed by {key.name}")


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Give the checkpoint in a note that this key signed; raises NoteError."""
    return read_checkpoint(open_note(note, key), key.name)


def read_checkpoint(text: str, origin: str) -> Checkpoint:
    """Read a checkpoint's text, in the one form in which it is written; raises NoteError."""
    lines = text.splitlines()
    try:
        size, root, time, keeper = lines[1:]
        uses = _KEEPER.fullmatch(keeper)
        if uses is None or not _NUMBER.fullmatch(size) or not _NUMBER.fullmatch(time.removeprefix("time ")):
            raise NoteError("this is no checkpoint of a Privyseal record")
        counted = Uses(uses[1], int(uses[2]), bytes.fromhex(uses[3]))
        found = Checkpoint(lines[0], int(size), _decoded(root), counted, int(time.removeprefix("time ")))
    except ValueError as error:
        raise NoteError("this is no checkpoint of a Privyseal record") from error
    if found.origin != origin or len(found.root) != _ROOT_LENGTH or checkpoint_text(found) != text:
        raise NoteError("this is no checkpoint of this record")
    return found


def split(notes: str) -> Iterator[str]:
    """Give the notes of a file to which one after the other was appended."""
    lines = notes.splitlines()
    start, signed = 0, False
    for index, line in enumerate(lines):
        if signed and not line.startswith(_SIGNATURE):
            yield _joined(lines[start:index])
            start, signed = index, False
        signed = signed or line.startswith(_SIGNATURE)
    if any(lines[start:]):
        yield _joined(lines[start:])


def use_hash(chain: bytes, entry: bytes) -> bytes:
    """Give the keeper's running hash after one more signature."""
    return hashlib.sha256(chain + entry).digest()


def use_entry(use: int, core: int, key: str, mechanism: str, digest: str) -> bytes:
    """Write a signature down as the running hash takes it in; `digest` is SHA-256 of its input, hexadecimal."""
    return f"{use} {core} {key} {mechanism} {digest}\n".encode()


def first_hash(keeper: str) -> bytes:
    """Give the running hash of a keeper that has made no signature yet."""
    return hashlib.sha256(f"privyseal uses v1 {keeper}\n".encode()).digest()


def _joined(lines: Sequence[str]) -> str:
    first = next((index for index, line in enumerate(lines) if line), 0)
    return "".join(f"{line}\n" for line in lines[first:])


def _verify(key: VerifierKey, signature: bytes, text: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature as error:
        raise NoteError(f"the signature of {key.name} does not verify") from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteError("this is not base64") from error
