"""Names that people give, checked once at the door: labels, user and core names, label patterns, PINs."""

import re

from privyseal.errors import InvalidRequestError
from privyseal.model.cores import PIN_MAX, PIN_MIN

LABEL_MAX = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")


def label(value: str, field: str = "label") -> str:
    """Check a key's label: 1 to 128 printable characters. Raises InvalidRequestError."""
    if not 1 <= len(value) <= LABEL_MAX or not value.isprintable():
        raise InvalidRequestError.of(field, f"a label has 1 to {LABEL_MAX} printable characters")
    if is_key_id(value):
        raise InvalidRequestError.of(field, "a label must not look like a key id (16 hexadecimal digits)")
    if "*" in value or "/" in value:
        raise InvalidRequestError.of(field, "a label must not hold '*' or '/'")
    return value


def name(value: str, field: str = "name") -> str:
    """Check a user's or core's name. Raises InvalidRequestError."""
    if not _NAME.fullmatch(value):
        raise InvalidRequestError.of(
            field, "a name has 1 to 64 of A-Z a-z 0-9 . _ @ - and begins with a letter or digit"
        )
    return value


def pin(value: str, field: str = "pin") -> str:
    """Check a PIN's length. Raises InvalidRequestError, which does not repeat the PIN."""
    if not PIN_MIN <= len(value) <= PIN_MAX:
        raise InvalidRequestError.of(field, f"a PIN has {PIN_MIN} to {PIN_MAX} characters")
    return value


def is_key_id(value: str) -> bool:
    """Say whether this is a key's id rather than its label."""
    return _KEY_ID.fullmatch(value) is not None
