"""The domain key and what is derived from it. It lives in the keeper's memory only; slots hold it sealed.

Every derivation has a label of its own (RFC 5869, `info`), so that no two uses ever share a key.
"""

import hashlib
import hmac
import os
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_LENGTH = 32
NONCE_LENGTH = 12


class DamagedError(Exception):
    """A sealed thing does not open: altered, moved to another place, or sealed under another key."""


def derive(secret: bytes, info: bytes) -> bytes:
    """Derive 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(hashes.SHA256(), KEY_LENGTH, None, info).derive(secret)


def seal(key: bytes, plain: bytes, place: bytes) -> bytes:
    """Seal with AES-256-GCM, bound to its place. Gives nonce, ciphertext and tag in one."""
    nonce = os.urandom(NONCE_LENGTH)
    return nonce + AESGCM(key).encrypt(nonce, plain, place)


def unseal(key: bytes, sealed: bytes, place: bytes) -> bytes:
    """Open what `seal` wrote for the same place; raises DamagedError."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], place)
    except (InvalidTag, ValueError) as error:
        raise DamagedError("the record does not open") from error


class TicketKey:
    """What is left of a domain key that was replaced: it opens that one's tickets and nothing else."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        """Say nothing of the secret."""
        return "TicketKey(…)"

    def seal(self, plain: bytes) -> bytes:
        """Seal a ticket's content."""
        return seal(self._key, plain, b"ticket")

    def unseal(self, sealed: bytes) -> bytes:
        """Open a ticket; raises DamagedError."""
        return unseal(self._key, sealed, b"ticket")


class DomainKey:
    """The root of all secrets of an appliance: 256 random bits that nobody sees."""

    def __init__(self, secret: bytes, tag_key: bytes | None = None) -> None:
        if len(secret) != KEY_LENGTH:
            raise DamagedError("a domain key has 32 bytes")
        self._secret = secret
        self._tickets = TicketKey(derive(secret, b"privyseal ticket v1"))
        self._pin_tag = tag_key or derive(secret, b"privyseal pin tag v1")

    def __repr__(self) -> str:
        """Say nothing of the secret."""
        return "DomainKey(…)"

    @classmethod
    def generate(cls) -> "DomainKey":
        """Make a new one."""
        return cls(os.urandom(KEY_LENGTH), os.urandom(KEY_LENGTH))

    def successor(self) -> "DomainKey":
        """Make the domain key that replaces this one. PIN tags stay: without the PINs nobody could make them anew."""
        return DomainKey(os.urandom(KEY_LENGTH), self._pin_tag)

    @property
    def name(self) -> str:
        """Give a public name for this domain key, from which nothing of it can be found out."""
        return derive(self._secret, b"privyseal domain key name v1")[:16].hex()

    def mark(self, what: bytes) -> bytes:
        """Say that something is this domain key's own."""
        return hmac.digest(derive(self._secret, b"privyseal slot mark v1"), what, hashlib.sha256)

    def is_kin(self, other: "DomainKey") -> bool:
        """Say whether both are of one appliance: however often its domain key is rotated, PIN tags stay."""
        return hmac.compare_digest(self._pin_tag, other._pin_tag)  # noqa: SLF001 - one of our own kind

    def seal_merge(self, secrets: bytes) -> bytes:
        """Seal a backup's domain keys for the worker that merges it: it hands them back with each group of records."""
        return seal(derive(self._secret, b"privyseal merge v1"), secrets, b"merge")

    def unseal_merge(self, sealed: bytes) -> bytes:
        """Open what `seal_merge` gave; raises DamagedError."""
        return unseal(derive(self._secret, b"privyseal merge v1"), sealed, b"merge")

    def key_for(self, key_id: str, version: int) -> bytes:
        """Give the sealing key of one version of one key."""
        return derive(self._secret, f"privyseal key v1 {key_id} {version}".encode())

    def for_tickets(self) -> TicketKey:
        """Give what opens this domain key's tickets, and nothing else."""
        return self._tickets

    def seal_ticket(self, plain: bytes) -> bytes:
        """Seal a ticket's content."""
        return self._tickets.seal(plain)

    def unseal_ticket(self, sealed: bytes) -> bytes:
        """Open a ticket; raises DamagedError."""
        return self._tickets.unseal(sealed)

    def pin_tag(self, core: int, pin_key: bytes) -> bytes:
        """Give the 16 bytes under which the store finds the keys of a core that one PIN opens.

        Who has the database learns which keys share a PIN, and nothing about the PIN without this key.
        """
        return hmac.digest(self._pin_tag, core.to_bytes(4, "big") + pin_key, hashlib.sha256)[:16]

    def parts(self) -> tuple[bytes, bytes]:
        """Give the domain key and the PIN tags' key, for a slot to seal and for nothing else."""
        return self._secret, self._pin_tag


@dataclass(frozen=True, slots=True)
class Secrets:
    """What an unlock slot holds: the domain key, and while that is being replaced its successor."""

    current: DomainKey
    following: DomainKey | None = None

    def encode(self) -> bytes:
        """Write them down for a slot to seal."""
        secret, tag_key = self.current.parts()
        return msgspec.msgpack.encode((secret, tag_key, self.following.parts()[0] if self.following else None))

    @classmethod
    def decode(cls, data: bytes) -> "Secrets":
        """Read what a slot held."""
        secret, tag_key, following = msgspec.msgpack.decode(data, type=tuple[bytes, bytes, bytes | None])
        return cls(DomainKey(secret, tag_key), DomainKey(following, tag_key) if following else None)
