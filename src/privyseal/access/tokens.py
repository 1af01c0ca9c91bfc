"""Bearer tokens (RFC 6750): `privyseal_`, the credential's id, 256 random bits, and a checksum.

The beginning lets scanners of source code and logs find a token that leaked, and the checksum tells a mistyped one
from a wrong one. Only a hash is stored; a plain one, because nobody tries 2^256 secrets.
"""

import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass

from privyseal.errors import UnauthenticatedError

PREFIX = "privyseal_"
SCHEME = "bearer "
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID = 16
_SECRET = 43  # digits to the base 62 that hold 256 bits
_CHECKSUM = 6  # that hold a CRC-32
_LENGTH = len(PREFIX) + _ID + _SECRET + _CHECKSUM
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class Token:
    """A new token: its public id, the text that its holder gets once, and what is stored of it."""

    id: str
    text: str
    digest: bytes

    def __repr__(self) -> str:
        """Show the id alone."""
        return f"Token({self.id!r})"


def new_token() -> Token:
    """Make a token."""
    id_ = secrets.token_bytes(_ID // 2).hex()
    body = f"{PREFIX}{id_}{_base62(secrets.randbits(256), _SECRET)}"
    text = body + _checksum(body)
    return Token(id_, text, digest_of(text))


def bearer(header: str) -> str | None:
    """Give the token of an `Authorization: Bearer` value; None when it is anything else."""
    return header[len(SCHEME) :].strip() if header[: len(SCHEME)].lower() == SCHEME else None


def id_of(token: str) -> str:
    """Give the public id that a token names; whatever stands there in a text that is none."""
    return token[len(PREFIX) : len(PREFIX) + _ID]


def digest_of(token: str) -> bytes:
    """Give what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


def fits(token: str, digest: bytes | None) -> bool:
    """Compare a token with what is stored, in constant time; None stands for no credential."""
    return hmac.compare_digest(digest_of(token), digest or _NO_DIGEST) and digest is not None


def check_form(token: str) -> None:
    """Tell what is wrong with the text itself; raises UnauthenticatedError, which says nothing about any credential."""
    if not token.startswith(PREFIX):
        raise UnauthenticatedError(f"the bearer token is not a Privyseal credential, which begins with {PREFIX}")
    if len(token) != _LENGTH:
        raise UnauthenticatedError(f"the credential is cut off or has more behind it: it has {_LENGTH} characters")
    body, checksum = token[:-_CHECKSUM], token[-_CHECKSUM:]
    if not hmac.compare_digest(_checksum(body).encode(), checksum.encode()):
        raise UnauthenticatedError("the credential is mistyped: its checksum does not fit")


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
