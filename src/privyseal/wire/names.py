"""Names that people give, checked once at the door: labels, user and core names, label patterns, PINs."""

import re
from collections.abc import Iterable

from privyseal.errors import InvalidRequestError
from privyseal.model.cores import PIN_MAX, PIN_MIN

LABEL_MAX = 128
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
TAGS_MAX = 16
_TAG_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
_TAG = re.compile(f"{_TAG_NAME}(=[A-Za-z0-9][A-Za-z0-9._:@/+-]{{0,63}})?")
OBJECT_ID_MAX = 64
_OBJECT_ID = re.compile(f"([0-9a-f]{{2}}){{1,{OBJECT_ID_MAX}}}")
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


def tag(value: str, field: str = "tag") -> str:
    """Check a key's tag, a word or `name=value`. Raises InvalidRequestError."""
    if not _TAG.fullmatch(value):
        raise InvalidRequestError.of(
            field,
            "a tag is a word or name=value: up to 32 of A-Z a-z 0-9 . _ - and up to 64 of those and : @ / +, "
            "each beginning with a letter or digit",
        )
    return value


def tag_name(value: str) -> str:
    """Give the name of a tag, which is all of one without a value."""
    return value.partition("=")[0]


def tags(values: Iterable[str], field: str = "tags") -> tuple[str, ...]:
    """Check a key's tags and bring them into order. Raises InvalidRequestError."""
    checked = sorted({tag(value, field) for value in values})
    if len(checked) > TAGS_MAX:
        raise InvalidRequestError.of(field, f"a key has up to {TAGS_MAX} tags")
    if len({tag_name(value) for value in checked}) != len(checked):
        raise InvalidRequestError.of(field, "a key has at most one tag of a name")
    return tuple(checked)


def object_id(value: str | None, field: str = "object_id") -> str | None:
    """Check what PKCS #11 calls CKA_ID, as hexadecimal digits. Raises InvalidRequestError."""
    if value is not None and not _OBJECT_ID.fullmatch(value):
        raise InvalidRequestError.of(field, f"1 to {OBJECT_ID_MAX} bytes in hexadecimal, in lower case")
    return value


def pin(value: str, field: str = "pin") -> str:
    """Check a PIN's length. Raises InvalidRequestError, which does not repeat the PIN."""
    if not PIN_MIN <= len(value) <= PIN_MAX:
        raise InvalidRequestError.of(field, f"a PIN has {PIN_MIN} to {PIN_MAX} characters")
    return value


def is_key_id(value: str) -> bool:
    """Say whether this is a key's id rather than its label."""
    return _KEY_ID.fullmatch(value) is not None
