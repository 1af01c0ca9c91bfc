"""Passwords: Argon2id once, then a keyed hash in memory. A password that was changed is never recognised again."""

import base64
import hashlib
import os
import threading
from dataclasses import dataclass

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from privyseal.errors import InvalidRequestError

PASSWORD_MIN = 12
PASSWORD_MAX = 256
_AT_ONCE = threading.BoundedSemaphore(2)  # 64 MiB each, and the cores are for signatures
_NOBODY = (  # what is verified when there is no such user, so that time does not tell
    "$argon2id$v=19$m=65536,t=3,p=1$MTIzNDU2Nzg5MDEyMzQ1Ng$7wPhmPOR+IcMMaKLqK5Fn3s0zCIoXe8C0mwDMgWWKnc"
)


@dataclass(frozen=True, slots=True)
class Basic:
    """A user name and a password as they came in. Its `repr` shows neither."""

    name: str
    password: str

    def __repr__(self) -> str:
        """Show nothing."""
        return "Basic(…)"


def parse_basic(header: str) -> Basic | None:
    """Read an `Authorization: Basic` value (RFC 7617); None when it is anything else."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:  # not ASCII, not base64 or not UTF-8
        return None
    return Basic(name, password) if colon else None


def check_strength(password: str, field: str = "password") -> None:
    """Refuse a password that is too short or too long; raises InvalidRequestError."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise InvalidRequestError.of(field, f"a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters")


def hash_password(password: str) -> str:
    """Make the PHC string that is stored (Argon2id, 64 MiB, 3 passes: RFC 9106, section 4).

    One lane, because several lanes starve each other when derivations run at the same time: see `keeper.pins.stretch`.
    """
    argon2 = Argon2id(salt=os.urandom(16), length=32, iterations=3, lanes=1, memory_cost=64 * 1024)
    return argon2.derive_phc_encoded(password.encode())


def verify_password(password: str, stored: str | None) -> bool:
    """Check a password in constant time; `stored` is None for an unknown user, which takes as long."""
    try:
        with _AT_ONCE:
            Argon2id.verify_phc_encoded(password.encode(), stored or _NOBODY)
    except InvalidKey:
        return False
    return stored is not None


class Recognised:
    """Headers that were verified, by a keyed hash, each with the stored password that it was verified against."""

    def __init__(self, size: int = 10_000) -> None:
        self._key = os.urandom(32)
        self._size = size
        self._known: dict[bytes, tuple[str, str]] = {}

    def lookup(self, header: bytes) -> tuple[str, str] | None:
        """Give user name and stored password that this header was verified with, or None."""
        return self._known.get(self._name(header))

    def remember(self, header: bytes, user: str, stored: str) -> None:
        """Remember a verified header; forget all when there are too many."""
        if len(self._known) >= self._size:
            self._known.clear()
        self._known[self._name(header)] = (user, stored)

    def _name(self, header: bytes) -> bytes:
        return hashlib.blake2b(header, key=self._key, digest_size=32).digest()  # RFC 7693; OpenSSL's HMAC costs 10x
