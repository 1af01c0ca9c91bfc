"""The domain key and what is derived from it. It lives in the keeper's memory only; slots hold it sealed.

Every derivation has a label of its own (RFC 5869, `info`), so that no two uses ever share a key.
"""

import hashlib
import hmac
import os

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


class DomainKey:
    """The root of all secrets of an appliance: 256 random bits that nobody sees."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_LENGTH:
            raise DamagedError("a domain key has 32 bytes")
        self._secret = secret
        self._ticket = derive(secret, b"privyseal ticket v1")
        self._pin_tag = derive(secret, b"privyseal pin tag v1")

    def __repr__(self) -> str:
        """Say nothing of the secret."""
        return "DomainKey(…)"

    @classmethod
    def generate(cls) -> "DomainKey":
        """Make a new one."""
        return cls(os.urandom(KEY_LENGTH))

    @classmethod
    def from_slot(cls, slot: bytes, secret: bytes) -> "DomainKey":
        """Open an unlock slot with what belongs to it; raises DamagedError."""
        return cls(unseal(derive(secret, _SLOT), slot, _SLOT))

    def to_slot(self, secret: bytes) -> bytes:
        """Seal the domain key for an unlock slot."""
        return seal(derive(secret, _SLOT), self._secret, _SLOT)

    def for_backup(self) -> bytes:
        """Give the secret itself, which leaves the keeper only sealed for those who can open backups."""
        return self._secret

    def key_for(self, key_id: str, version: int) -> bytes:
        """Give the sealing key of one version of one key."""
        return derive(self._secret, f"privyseal key v1 {key_id} {version}".encode())

    def seal_ticket(self, plain: bytes) -> bytes:
        """Seal a ticket's content."""
        return seal(self._ticket, plain, b"ticket")

    def unseal_ticket(self, sealed: bytes) -> bytes:
        """Open a ticket; raises DamagedError."""
        return unseal(self._ticket, sealed, b"ticket")

    def pin_tag(self, core: int, pin_key: bytes) -> bytes:
        """Give the 16 bytes under which the store finds the keys of a core that one PIN opens.

        Who has the database learns which keys share a PIN, and nothing about the PIN without this key.
        """
        return hmac.digest(self._pin_tag, core.to_bytes(4, "big") + pin_key, hashlib.sha256)[:16]


_SLOT = b"privyseal unlock slot v1"
