"""Which answers of the framework are held back to be kept for a repetition, and which pass."""

import asyncio
import json

import pytest
from starlette.types import Message

from privyseal.operations.repeat import Repeat
from privyseal.rest.repeat import Sent, document_bytes


def answered(status: int, kind: bytes | None, *parts: bytes) -> tuple[Sent, list[Message]]:
    """An answer given to `Sent`, and what it let pass."""
    passed: list[Message] = []

    async def send(message: Message) -> None:
        passed.append(message)

    async def give(sent: Sent) -> None:
        headers = [] if kind is None else [(b"content-type", kind)]
        await sent({"type": "http.response.start", "status": status, "headers": headers})
        for part in parts:
            await sent({"type": "http.response.body", "body": part, "more_body": part is not parts[-1]})

    sent = Sent(send)
    asyncio.run(give(sent))
    return sent, passed


def bound() -> Repeat:
    """A request whose user is known."""
    return Repeat(b"k" * 36, "content", look_first=True, id="id")


def test_a_document_is_held_and_kept() -> None:
    """In pieces too; its secrets are left out, its status comes along."""
    sent, passed = answered(201, b"application/json", b'{"name": "x", ', b'"secret": "shown once"}')
    repeat = bound()
    assert passed == []
    assert json.loads(sent.keepable(repeat) or b"") == {"name": "x", "secret": None}
    assert repeat.status == 201


def test_an_empty_answer_is_kept() -> None:
    """204 has no body."""
    assert answered(204, None, b"")[0].keepable(bound()) == b""


@pytest.mark.parametrize("kind", [b"application/vnd.privyseal.backup", b"application/problem+json"])
def test_streams_and_problems_pass(kind: bytes) -> None:
    """A backup is not held in memory, and an error is not kept."""
    sent, passed = answered(200, kind, b"a", b"b")
    assert [message.get("body") for message in passed] == [None, b"a", b"b"]
    assert sent.keepable(bound()) is None


@pytest.mark.parametrize("status", [302, 404, 500])
def test_only_success_is_kept(status: int) -> None:
    """What was not done may be done yet."""
    assert answered(status, b"application/json", b"{}")[0].keepable(bound()) is None


def test_what_is_kept_already_or_of_nobody_is_not_kept_again() -> None:
    """A change keeps its own answer; a request without a user has none."""
    sent, _ = answered(201, b"application/json", b"{}")
    kept, nobody = bound(), bound()
    kept.answer, nobody.id = b"{}", ""
    assert sent.keepable(kept) is None
    assert sent.keepable(nobody) is None


def test_a_request_shows_nothing_of_its_key() -> None:
    """Neither in a log nor in a traceback."""
    assert repr(bound()) == "Repeat(…)"
    assert document_bytes(None) == b""
