"""The `Idempotency-Key` header, and the answer that a repeated request gets."""

import json
import re
from typing import Any

import msgspec
from starlette.types import Message, Scope

from privyseal.errors import AnsweredBeforeError, FieldError, InvalidRequestError
from privyseal.model.secret_names import without_secrets
from privyseal.operations.repeat import Repeat, content_of

REPLAYED = (b"idempotency-replayed", b"true")
STATE = "privyseal.repeat"
"""Where a framework request's scope has its `Repeat`."""

_KEY = re.compile(rb'"?([!#-~]{16,255})"?')  # a string of RFC 8941, section 3.3.3, or the same without quotes
_encode = msgspec.json.Encoder().encode


def repeat_of(scope: Scope, body: bytes, *, look_first: bool) -> Repeat | None:
    """Give what a request's idempotency key stands for, None without a key.

    Raises InvalidRequestError for a key that is too short to be nobody else's, or not text.
    """
    values = [value for name, value in scope["headers"] if name == b"idempotency-key"]
    if not values:
        return None
    found = _KEY.fullmatch(values[0])
    if found is None or len(values) > 1:
        message = "give one random text of 16 to 255 visible ASCII characters, such as a UUID"
        raise InvalidRequestError(FieldError("header.Idempotency-Key", message))
    key = found[1]
    target = scope["raw_path"] + b"?" + scope["query_string"]
    return Repeat(key, content_of(key, scope["method"].encode(), target, body), look_first)


def document_bytes(document: Any) -> bytes:
    """Write an answer's body to be kept, without the secrets that an answer shows once."""
    return b"" if document is None else _encode(without_secrets(msgspec.to_builtins(document)))


def answer(error: AnsweredBeforeError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Give status, headers and body of an answer that is sent again."""
    content_type = [(b"content-type", b"application/json")] if error.answer else []
    return error.status, [*content_type, REPLAYED], error.answer


class Sent:
    """The messages of an answer, held back until what it says is kept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """Take one message."""
        self.messages.append(message)

    def keepable(self, repeat: Repeat) -> bytes | None:
        """Give the body to keep for a request that did something and has not been kept yet, else None."""
        status: int = self.messages[0]["status"] if self.messages else 500
        if repeat.answer is not None or not repeat.id or not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110's success
            return None
        repeat.status = status
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        try:
            return document_bytes(json.loads(body)) if body else b""
        except ValueError:  # no JSON: a file, which is made again
            return None
