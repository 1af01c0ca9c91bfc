"""A signature gets the same answer whichever way its request comes in: whole, in pieces, pipelined, or the last one."""

import base64
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest

from support.appliance import PIN, Appliance

BODY = json.dumps({"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256", "pin": PIN}).encode()


@pytest.fixture(scope="module", params=["direct", "access log"])
def signing(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with the key `release`. With an access log every request takes the long way."""
    more = ["--access-log"] if request.param == "access log" else []
    appliance = new_appliance("--workers", "1", *more)
    appliance.add_user("alice")
    appliance.add_rule("alice")
    appliance.add_key("release")
    return appliance


@pytest.fixture
def connection(signing: Appliance) -> Iterator[ssl.SSLSocket]:
    """A TLS connection, to write to by hand."""
    context = ssl.create_default_context(cafile=signing.ca_file)
    with (
        socket.create_connection(("127.0.0.1", signing.port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        yield secure


def head(appliance: Appliance, *more: str, version: str = "1.1", body: bytes = BODY) -> bytes:
    """The head of a request to sign."""
    login = base64.b64encode(f"alice:{appliance.passwords['alice']}".encode()).decode()
    lines = [
        f"POST /api/v1/cores/1/keys/release/sign HTTP/{version}",
        "Host: appliance",
        f"Authorization: Basic {login}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def answers(connection: ssl.SSLSocket, count: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Read whole answers: status, header fields, body."""
    data, found = b"", []
    while len(found) < count:
        got = connection.recv(65536)
        assert got, data
        data += got
        while b"\r\n\r\n" in data:
            first, rest = data.split(b"\r\n\r\n", 1)
            status, *lines = first.decode().split("\r\n")
            fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            length = int(fields.get("content-length", 0))
            if len(rest) < length:
                break
            found.append((int(status.split()[1]), fields, rest[:length]))
            data = rest[length:]
    return found


def is_signature(answer: tuple[int, dict[str, str], bytes]) -> bool:
    """Whether an answer is a signature with its event, and with the fields that every answer has."""
    status, fields, body = answer
    assert (status, fields["content-type"]) == (200, "application/json"), body
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", fields["x-request-id"])
    return set(json.loads(body)) == {"signature", "event"}


def test_head_and_body_at_once(signing: Appliance, connection: ssl.SSLSocket) -> None:
    """What our clients do, over and over on one connection."""
    for _ in range(3):
        connection.sendall(head(signing) + BODY)
        assert is_signature(answers(connection)[0])


def test_the_body_comes_later(signing: Appliance, connection: ssl.SSLSocket) -> None:
    """In two pieces, after the head."""
    connection.sendall(head(signing))
    for piece in (BODY[:10], BODY[10:]):
        time.sleep(0.1)
        connection.sendall(piece)
    assert is_signature(answers(connection)[0])


def test_the_client_asks_before_it_sends(signing: Appliance, connection: ssl.SSLSocket) -> None:
    """`Expect: 100-continue` (RFC 9110, section 10.1.1), as curl does with long bodies."""
    connection.sendall(head(signing, "Expect: 100-continue"))
    assert answers(connection)[0][0] == 100
    connection.sendall(BODY)
    assert is_signature(answers(connection)[0])


def test_pipelined_requests_are_answered_in_order(signing: Appliance, connection: ssl.SSLSocket) -> None:
    """Three at once, of which the second is refused."""
    bad = b'{"digest": 1}'
    connection.sendall(head(signing) + BODY + head(signing, body=bad) + bad + head(signing) + BODY)
    first, second, third = answers(connection, 3)
    assert is_signature(first)
    assert second[0] == 422
    assert json.loads(second[2])["instance"] == f"urn:privyseal:request:{second[1]['x-request-id']}"
    assert is_signature(third)


def test_an_answer_without_a_body_names_no_length(signing: Appliance, connection: ssl.SSLSocket) -> None:
    """RFC 9110, section 8.6; whether its request came whole or in pieces, and the next answer is found behind it."""
    for pieces in (1, 2):
        ticket = signing.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()["ticket"]
        body = json.dumps({"ticket": ticket}).encode()
        logout = head(signing, body=body).replace(b"/keys/release/sign", b"/logout") + body
        for piece in (logout[: len(logout) // pieces], logout[len(logout) // pieces :]):
            connection.sendall(piece)
            time.sleep(0.1)
        status, fields, _ = answers(connection)[0]
        assert (status, {"content-length", "transfer-encoding"} & set(fields)) == (204, set())
        connection.sendall(head(signing) + BODY)
        assert is_signature(answers(connection)[0])


@pytest.mark.parametrize(("version", "more"), [("1.1", ["Connection: close"]), ("1.0", [])])
def test_the_last_request_of_a_connection(
    signing: Appliance, connection: ssl.SSLSocket, version: str, more: list[str]
) -> None:
    """It is answered, told that it is the last, and the connection ends."""
    connection.sendall(head(signing, *more, version=version) + BODY)
    answer = answers(connection)[0]
    assert is_signature(answer)
    assert answer[1]["connection"] == "close"
    assert connection.recv(1) == b""


def test_the_callers_request_id_is_kept(signing: Appliance, connection: ssl.SSLSocket) -> None:
    """And a client that goes away in the middle harms nobody."""
    connection.sendall(head(signing, "X-Request-Id: mine-1") + BODY)
    assert answers(connection)[0][1]["x-request-id"] == "mine-1"
    connection.sendall(head(signing) + BODY)
    connection.close()
    assert signing.api("GET", "/health/ready").json()["state"] == "operational"
