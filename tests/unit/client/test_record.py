"""The SDK on the record: checkpoints, receipts, and an export that is read while it comes."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from privyseal.client import Appliance, Configuration
from privyseal.client import errors as client_errors
from privyseal.client import http as client_http
from support.appliance import Appliance as RunningAppliance


def test_the_record_by_the_sdk(appliance: RunningAppliance) -> None:
    """What its auditor asks for comes as records, bytes and lines."""
    configuration = Configuration(
        urls=(appliance.url,),
        ca_file=appliance.ca_file,
        user="admin",
        password=appliance.admin_password,
        timeout_ms=30_000,
    )
    with Appliance(configuration) as there:
        checkpoint = there.checkpoint()
        assert checkpoint.key == there.audit_key()
        assert checkpoint.note.splitlines()[1] == str(checkpoint.size)
        receipt = there.receipt(1)
        assert str(receipt["leaf"]).startswith("[1,")
        assert there.consistency(1, 1) == []
        assert all(len(each) == 32 for each in there.consistency(1))
        lines = list(there.export_record())
        assert lines[0][1].startswith(b'{"format"')
        assert {total for total, _ in lines} == {len(lines) - 1}
        assert lines[1][1] == str(receipt["leaf"]).encode()


def answer(status: int, body: bytes, *headers: str) -> bytes:
    """An HTTP answer."""
    head = "\r\n".join([f"HTTP/1.1 {status} Words", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


def export(server: Any) -> list[tuple[int, bytes]]:
    """What the SDK makes of a scripted answer."""
    with Appliance(server.configuration()) as there:
        return list(there.export_record())


def test_lines_come_as_they_are(serve: Callable[..., Any]) -> None:
    """With or without a last line end, and with the number that the header says, or none."""
    assert export(serve(answer(200, b"a\nb\n", "Privyseal-Events: 7"))) == [(7, b"a"), (7, b"b")]
    assert export(serve(answer(200, b"a\n\nb", "Privyseal-Events: x"))) == [(0, b"a"), (0, b""), (0, b"b")]


def test_what_goes_wrong_on_the_way(serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal, a connection that is cut, and a line without end."""
    problem = b'{"type": "urn:privyseal:problem:access-refused", "title": "no", "status": 403, "detail": "not you"}'
    with pytest.raises(client_errors.AccessRefusedError, match="not you"):
        export(serve(answer(403, problem, "Content-Type: application/problem+json")))
    with pytest.raises(client_errors.ClientError):
        export(serve(None))
    with pytest.raises(client_errors.ClientError):
        export(serve(answer(200, b"half a li").replace(b"Length: 9", b"Length: 99")))
    monkeypatch.setattr(client_http, "MAX_ANSWER", 10)
    with pytest.raises(client_errors.UnexpectedAnswerError):
        export(serve(answer(200, base64.b64encode(bytes(100)))))
