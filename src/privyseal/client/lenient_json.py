"""JSON as people write configuration files: strict JSON, and a comma before a closing brace or bracket is let pass.

What is always true here: an accepted text means what strict JSON means by it without that comma; a refused text gets
an error that says where. Typographic quotation marks are named, because word processors and web pages put them in and
nobody sees the difference.
"""

import json
import re
from typing import Any, NoReturn

from privyseal.client.errors import ConfigurationError

_TYPOGRAPHIC = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb"
_PIECE = re.compile(rf'"(?:[^"\\\n]|\\.)*"?|,(?=[ \t\r\n]*[}}\]])|[{_TYPOGRAPHIC}]')
_OPENING = (",", "{", "[", ":", "")


def parse(text: str, name: str) -> dict[str, Any]:
    """Read one JSON object (RFC 8259), its names unique.

    Args:
        text: the file's content; a byte order mark in front is ignored.
        name: the file's name, for the error.

    Raises:
        ConfigurationError: it is not JSON, has typographic quotation marks, names a key twice or is not an object.
    """
    text = text.removeprefix("\ufeff")
    try:
        document = json.loads(
            _without_trailing_commas(text, name), object_pairs_hook=_unique, parse_constant=_no_such_constant
        )
    except json.JSONDecodeError as error:
        _refuse_typographic(text.split("\n")[error.lineno - 1], error.lineno, name)
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigurationError(f"{name}: {where}: this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name}: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{name}: the file must hold one JSON object, {{ … }}")
    return document


def _without_trailing_commas(text: str, name: str) -> str:
    """Put a space in the place of each trailing comma, so that every position stays what it was."""

    def replace(match: re.Match[str]) -> str:
        piece = match.group()
        if piece == ",":
            return " " if text[: match.start()].rstrip(" \t\r\n")[-1:] not in _OPENING else piece
        if not piece.startswith('"'):
            _refuse_typographic(piece, text.count("\n", 0, match.start()) + 1, name)
        return piece

    return _PIECE.sub(replace, text)


def _refuse_typographic(text: str, line: int, name: str) -> None:
    for character in text:
        if character in _TYPOGRAPHIC:
            hint = f'typographic quotation mark {character}; type a plain one, "'
            raise ConfigurationError(f"{name}: line {line}: {hint}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ValueError(f"{key!r} stands twice")
        document[key] = value
    return document


def _no_such_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON value")
