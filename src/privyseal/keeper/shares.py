"""Shares: a secret of which any *m* of *n* parts give the whole, and fewer say nothing (Shamir, CACM 22, 1979).

Each byte is the value at 0 of a random polynomial over GF(256) with the polynomial of AES (FIPS 197, section 4.2).
Nothing here looks up a table or takes a branch by a secret. A share reads as its number and 18 groups of four letters:
its set, how many are needed, its number, its value and a checksum.
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

_POLYNOMIAL = 0x11B
_SET, _VALUE, _CHECKSUM = 5, 32, 6
_LENGTH = _SET + 2 + _VALUE + _CHECKSUM  # 45 bytes are 72 letters of base32, without padding
_MISREAD = str.maketrans("018", "OIB")  # base32 has none of these digits (RFC 4648, section 6)
SHARES_MAX = 16


class ShareError(Exception):
    """What was typed is no share; the message says which one and what to do."""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a secret.

    Attributes:
        set: which set it belongs to, 5 random bytes.
        needed: how many of the set give the secret.
        number: its place, from 1; the point at which the polynomials were evaluated.
        value: 32 bytes.
    """

    set: bytes
    needed: int
    number: int
    value: bytes

    def __repr__(self) -> str:
        """Leave the value out."""
        return f"Share({self.number})"


def times(a: int, b: int) -> int:
    """Multiply in GF(256)."""
    product = 0
    for _ in range(8):
        product ^= a & -(b & 1)
        a = (a << 1) ^ (_POLYNOMIAL & -(a >> 7))
        b >>= 1
    return product


def inverse(a: int) -> int:
    """Invert in GF(256): a to the power of 254, which is 11111110 in binary. 0 gives 0."""
    result = 1
    for bit in "11111110":
        result = times(result, result)
        if bit == "1":
            result = times(result, a)
    return result


def split(secret: bytes, needed: int, total: int) -> list[bytes]:
    """Give the values at 1, 2 … `total`; any `needed` of them give the secret. Raises ValueError."""
    if not 1 <= needed <= total <= SHARES_MAX:
        raise ValueError(f"1 to {SHARES_MAX} shares, and not more needed than there are")
    polynomials = [secret, *(os.urandom(len(secret)) for _ in range(needed - 1))]
    return [_evaluate(polynomials, point) for point in range(1, total + 1)]


def combine(values: Mapping[int, bytes], at: int = 0) -> bytes:
    """Give the value at another point from enough values by point (Lagrange's interpolation)."""
    length = len(next(iter(values.values())))
    result = bytes(length)
    for point, value in values.items():
        weight = 1
        for other in values:
            if other != point:
                weight = times(weight, times(at ^ other, inverse(point ^ other)))
        result = bytes(sum_ ^ times(weight, byte) for sum_, byte in zip(result, value, strict=True))
    return result


def _evaluate(polynomials: list[bytes], point: int) -> bytes:
    result = bytes(len(polynomials[0]))
    for coefficients in reversed(polynomials):  # Horner
        result = bytes(times(sum_, point) ^ byte for sum_, byte in zip(result, coefficients, strict=True))
    return result


def write(share: Share) -> str:
    """Write a share so that it can be typed."""
    body = share.set + bytes((share.needed, share.number)) + share.value
    letters = base64.b32encode(body + _checksum(body)).decode()
    groups = [letters[start : start + 4] for start in range(0, len(letters), 4)]
    return "-".join([str(share.number), *groups])


def read(text: str) -> Share:
    """Read a share as it was typed: any case, with or without spaces and hyphens. Raises ShareError."""
    number, letters = _parts(text)
    which = f"share {number}" if number else "this share"
    try:
        data = base64.b32decode(letters)
    except ValueError as error:
        raise ShareError(f"{which} has a character that no share has; compare it with the original") from error
    body, checksum = data[:-_CHECKSUM], data[-_CHECKSUM:]
    if len(data) != _LENGTH or checksum != _checksum(body) or str(body[_SET + 1]) != number:
        raise ShareError(f"{which} has a typing mistake; compare it with the original, group by group")
    return Share(body[:_SET], body[_SET], body[_SET + 1], body[_SET + 2 :])


def _parts(text: str) -> tuple[str, str]:
    words = text.strip().upper().replace("-", " ").split()
    letters = "".join(words[1:]).translate(_MISREAD)
    if not words or not words[0].isascii() or not words[0].isdecimal() or len(letters) != _LENGTH * 8 // 5:
        number = words[0] if words and words[0].isascii() and words[0].isdecimal() and len(words[0]) < 3 else ""  # noqa: PLR2004
        which = f"share {number}" if number else "this"
        raise ShareError(f"{which} is not complete: a share is its number and 18 groups of four letters")
    return words[0], letters


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"privyseal share v1" + body).digest()[:_CHECKSUM]
