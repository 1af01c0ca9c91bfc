"""Requests that meet something else than an appliance in good health."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privyseal.client import errors
from privyseal.client import http as client_http
from privyseal.client.configuration import Configuration
from privyseal.client.http import Connection

from .conftest import Server, http

Serve = Callable[..., Server]
DEAD = "https://127.0.0.1:1"


def problem(kind: str, status: int, *headers: str, **members: object) -> bytes:
    """A problem document as an answer."""
    document = {"type": f"urn:privyseal:problem:{kind}", "title": "T", "status": status, "detail": "d"} | members
    return http(status, json.dumps(document).encode(), "Content-Type: application/problem+json", *headers)


def ask(configuration: Configuration, method: str = "GET", **options: Any) -> client_http.Answer:
    """One request."""
    with Connection(configuration) as connection:
        return connection.request(method, "/state", **options)


def test_an_answer_is_the_document(serve: Serve) -> None:
    server = serve(http(200, b'{"state": "operational"}'))
    assert ask(server.configuration()).document() == {"state": "operational"}
    assert server.requests[0].startswith(b"GET /api/v1/state HTTP/1.1\r\n")


def test_password_travels_as_basic_authentication(serve: Serve) -> None:
    """RFC 7617: base64 of user, colon and password in UTF-8."""
    server = serve(http(200))
    ask(server.configuration(user="alice", password="gr\u00fcn:1"))
    assert server.headers("Authorization") == ["Basic YWxpY2U6Z3LDvG46MQ=="]


def test_without_password_nothing_is_claimed(serve: Serve) -> None:
    server = serve(http(200))
    ask(server.configuration(user="alice"))
    assert server.headers("Authorization") == []


def test_a_colon_in_a_user_name_is_refused() -> None:
    """It would move a part of the name into the password."""
    with pytest.raises(errors.ConfigurationError):
        Connection(Configuration(urls=(DEAD,), user="a:b", password="c"))


def test_a_credential_goes_before_a_password(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "credential").write_text("abc\n")
    server = serve(http(200))
    ask(server.configuration(user="alice", password="p", credential_file=tmp_path / "credential"))
    assert server.headers("Authorization") == ["Bearer abc"]


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<html>"),
        http(200, b"[]"),
        http(200, b"\xff\xfe"),
        http(200, b"[" * 100_000),
        http(404, b"<html>not here</html>"),
        http(500, b""),
        http(302, b"", "Location: https://127.0.0.1:1/"),
        http(101, b"", "Upgrade: nonsense"),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n{}",
        b"\x00" * 2000 + b"\r\n\r\n",
    ],
)
def test_garbage_is_called_so(serve: Serve, answer: bytes) -> None:
    """Whatever answers, the caller gets our exception and never the HTTP library's."""
    with pytest.raises(errors.UnexpectedAnswerError):
        ask(serve(answer).configuration()).document()


def test_redirects_are_not_followed(serve: Serve) -> None:
    """The password must not travel to where somebody else points."""
    other = serve(http(200))
    server = serve(http(307, b"", f"Location: {other.url}/api/v1/state"))
    with pytest.raises(errors.UnexpectedAnswerError):
        ask(server.configuration(user="alice", password="p"))
    assert other.requests == []


def test_the_environment_names_no_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert ask(serve(http(200)).configuration()).status == 200


def test_an_endless_answer_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_http, "MAX_ANSWER", 1000)
    with pytest.raises(errors.UnexpectedAnswerError, match="larger"):
        ask(serve(http(200, b"x" * 1001)).configuration())
    assert len(ask(serve(http(200, b"x" * 1000)).configuration()).content) == 1000


def test_silence_is_a_time_out_and_not_repeated(serve: Serve) -> None:
    server = serve(60.0)
    begin = time.monotonic()
    with pytest.raises(errors.TimedOutError):
        ask(server.configuration(timeout_ms=300, retries=5))
    assert time.monotonic() - begin < 30
    assert len(server.requests) == 1


def test_a_byte_now_and_then_is_a_time_out(serve: Serve) -> None:
    """Each byte comes in time, the answer does not."""
    server = serve((0.05, http(200, b"x" * 1200)))  # a minute's
    begin = time.monotonic()
    with pytest.raises(errors.TimedOutError):
        ask(server.configuration(timeout_ms=400))
    assert time.monotonic() - begin < 30


def test_a_request_may_have_a_longer_time_out(serve: Serve) -> None:
    """Key generation is slow, the network is not."""
    server = serve((0.2, http(200)))
    assert ask(server.configuration(timeout_ms=100), timeout=20).status == 200


def test_a_cut_connection_is_repeated_with_the_same_key(serve: Serve) -> None:
    """The appliance recognises the second request by its Idempotency-Key, so nothing is signed twice."""
    server = serve(None, http(200))
    assert ask(server.configuration(retries=1), "POST", body={"a": 1}).status == 200
    first, second = server.headers("Idempotency-Key")
    assert first == second
    assert len(first) == 36


def test_two_requests_have_two_keys(serve: Serve) -> None:
    server = serve(http(200))
    ask(server.configuration(), "POST")
    ask(server.configuration(), "POST")
    assert len(set(server.headers("Idempotency-Key"))) == 2


def test_retries_come_to_an_end(serve: Serve) -> None:
    server = serve(None)
    with pytest.raises(errors.UnreachableError):
        ask(server.configuration(retries=2))
    assert len(server.requests) == 3


def test_a_refusal_is_not_repeated(serve: Serve) -> None:
    """A second wrong PIN would count."""
    server = serve(problem("pin-incorrect", 403, attempts_left=9, event=7))
    with pytest.raises(errors.PINIncorrectError) as caught:
        ask(server.configuration(retries=3), "POST")
    assert (caught.value.attempts_left, caught.value.event, caught.value.status) == (9, 7, 403)
    assert len(server.requests) == 1


def test_too_many_attempts_is_not_repeated(serve: Serve) -> None:
    server = serve(problem("too-many-attempts", 429, "Retry-After: 30"))
    with pytest.raises(errors.TooManyAttemptsError) as caught:
        ask(server.configuration(retries=3))
    assert caught.value.retry_after == 30
    assert len(server.requests) == 1


def test_unavailable_is_repeated(serve: Serve) -> None:
    server = serve(problem("unavailable", 503, "Retry-After: 0"), http(200))
    assert ask(server.configuration(retries=1)).status == 200


def test_a_locked_appliance_is_not_asked_again(serve: Serve) -> None:
    """A person unlocks it, and that takes longer than a retry."""
    server = serve(problem("appliance-locked", 503))
    with pytest.raises(errors.ApplianceLockedError):
        ask(server.configuration(retries=3))
    assert len(server.requests) == 1


@pytest.mark.parametrize("failing", [None, problem("appliance-locked", 503), problem("unavailable", 503), 3.0])
def test_the_next_node_stands_in(serve: Serve, failing: Any) -> None:
    ill, well = serve(failing), serve(http(200))
    assert ask(ill.configuration(urls=(ill.url, well.url), timeout_ms=500)).status == 200


def test_the_node_that_answered_is_asked_first(serve: Serve) -> None:
    ill, well = serve(None), serve(http(200))
    with Connection(ill.configuration(urls=(ill.url, well.url))) as connection:
        connection.request("GET", "/state")
        connection.request("GET", "/state")
    assert (len(ill.requests), len(well.requests)) == (1, 2)


def test_all_nodes_down_names_the_first() -> None:
    with pytest.raises(errors.UnreachableError, match=r"127\.0\.0\.1:1 "):
        ask(Configuration(urls=(DEAD, "https://127.0.0.1:2"), retries=0))


def test_no_tls_is_said(serve: Serve) -> None:
    server = serve(http(200), plain=True)
    with pytest.raises(errors.UnreachableError, match="TLS"):
        ask(dataclasses.replace(server.configuration(), retries=0))


def test_absent_values_do_not_travel(serve: Serve) -> None:
    server = serve(http(200))
    ask(server.configuration(), "POST", query={"a": None, "b": "x y"}, body={"c": None, "d": False})
    assert server.requests[0].startswith(b"POST /api/v1/state?b=x+y HTTP/1.1\r\n")
    assert server.requests[0].endswith(b'\r\n\r\n{"d":false}')


def test_secrets_do_not_show() -> None:
    """Neither the configuration nor a connection shows a secret where an error report may print it."""
    configuration = Configuration(urls=(DEAD,), user="alice", password="geheim", keygen_pin="87654321")
    with Connection(configuration) as connection:
        shown = f"{configuration!r} {connection!r} {connection._call('POST', '/x', None, {'pin': '87654321'}, None)!r}"
    assert "geheim" not in shown
    assert "87654321" not in shown
    assert "Basic" not in shown
