"""Bytes on a TLS connection that no HTTP library sends: requests in requests, requests that never end, idle crowds.

Whatever comes, one message is answered once, what is cut short is not carried out, and others keep signing.
"""

import base64
import contextlib
import hashlib
import http.client
import io
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from support.appliance import PIN, Appliance
from support.waiting import wait_until

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
SIGN = "/api/v1/cores/1/keys/release/sign"
BODY = json.dumps({"hash": "SHA-256", "digest": DIGEST, "pin": PIN}).encode()
ALIVE = b"GET /api/v1/health/alive HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD_SECONDS, MESSAGE_SECONDS, LATE = 10, 20, 25  # as in docs/reference/rest.md; LATE is what a busy machine may add


@pytest.fixture(scope="module")
def target(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with one worker, where alice signs with `release`."""
    appliance = new_appliance("--workers", "1")
    appliance.add_user("alice")
    appliance.add_rule("alice", "release")
    appliance.add_key("release")
    return appliance


@contextlib.contextmanager
def connected(appliance: Appliance) -> Iterator[ssl.SSLSocket]:
    """A TLS connection on which nothing was said yet."""
    context = ssl.create_default_context(cafile=appliance.ca_file)
    raw = socket.create_connection(("127.0.0.1", appliance.port), timeout=60)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
        yield tls


def head(appliance: Appliance, *fields: str, path: str = SIGN) -> bytes:
    """The head of alice's request, with more fields."""
    basic = base64.b64encode(f"alice:{appliance.passwords['alice']}".encode()).decode()
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Authorization: Basic {basic}", *fields, "", ""]
    return "\r\n".join(lines).encode()


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def statuses(answers: bytes) -> list[int]:
    """The statuses of all answers, one after the other; each is whole."""

    class Whole(socket.socket):
        def __init__(self) -> None:
            self.file = io.BytesIO(answers)

        def makefile(self, *_: object, **__: object) -> io.BytesIO:  # type: ignore[override]
            return self.file

    source = Whole()
    found = []
    while source.file.tell() < len(answers):
        answer = http.client.HTTPResponse(source)
        answer._close_conn = lambda: None  # type: ignore[attr-defined]  # the next answer is in the same file
        answer.begin()
        answer.read()
        found.append(answer.status)
    return found


def exchange(appliance: Appliance, *parts: bytes) -> bytes:
    """Send some bytes in as many segments; give all that comes until the other side closes."""
    with connected(appliance) as connection:
        for part in parts:
            connection.sendall(part)
        return everything(connection)


def signatures(appliance: Appliance) -> int:
    """How many signatures are on record."""
    page = appliance.api("GET", "/audit/events?limit=1000").json()
    assert page["next"] is None
    return sum((event["operation"], event["outcome"]) == ("key:sign", "done") for event in page["events"])


CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = f"Content-Length: {len(BODY)}"
TE = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ([LENGTH, TE], CHUNKED),
        ([TE, LENGTH], CHUNKED),
        ([LENGTH, "Content-Length: 0"], BODY),
        ([LENGTH, LENGTH], BODY),
        ([f"{LENGTH}, {len(BODY)}"], BODY),
        ([f"Content-Length: +{len(BODY)}"], BODY),
        ([f"Content-Length : {len(BODY)}"], BODY),
        (["Content-Length: -1"], BODY),
        (["Content-Length: 18446744073709551617"], BODY),
        (["X-A: b\r\n folded", LENGTH], BODY),
        (["Transfer-Encoding:\r\n chunked"], CHUNKED),
        (["X-A: b\nX-B: c", LENGTH], BODY),
        (["X-A: b\rX-B: c", LENGTH], BODY),
        (["X-A: b\0c", LENGTH], BODY),
        (["Transfer-Encoding: xchunked"], CHUNKED),
        (["Transfer-Encoding: chunked, identity"], CHUNKED),
        (["Transfer-Encoding: gzip, chunked"], CHUNKED),
        ([TE, TE], CHUNKED),
        (["Host: b", LENGTH], BODY),
        ([TE], CHUNKED.replace(b"\r\n", b"\n")),
        ([TE], b"0x" + CHUNKED),
        ([TE], b"-" + CHUNKED),
        ([TE], b"fffffffffffffffff\r\n" + BODY),
        ([TE], CHUNKED.replace(b"0\r\n\r\n", b"zz\r\n\r\n")),
    ],
)
def test_what_is_ambiguous_is_no_request(target: Appliance, fields: list[str], body: bytes) -> None:
    """One 400 and a closed connection: neither it nor what hides in it or follows it is carried out."""
    before = signatures(target)
    hidden = head(target, LENGTH) + BODY
    answer = exchange(target, head(target, *fields) + body + hidden)
    assert statuses(answer) == [400]
    assert answer.endswith(b"}")
    assert b"urn:privyseal:problem:malformed-request" in answer or b"urn:privyseal:problem:body-cut-short" in answer
    assert signatures(target) == before


def test_bare_line_feeds_are_no_head(target: Appliance) -> None:
    """Also where the whole request has them."""
    assert statuses(exchange(target, head(target, LENGTH).replace(b"\r\n", b"\n") + BODY)) == [400]


def test_chunk_extensions_and_trailers_say_nothing(target: Appliance) -> None:
    """Extensions are passed over; a trailer neither logs in, nor repeats a request, nor is a header field otherwise."""
    extended = b'%x;a=b;c="d"\r\n%s\r\n0;e\r\n\r\n' % (len(BODY), BODY)
    assert statuses(exchange(target, head(target, TE, "Connection: close") + extended)) == [200]
    login = head(target).split(b"\r\n")[2]
    trailer = CHUNKED.removesuffix(b"\r\n") + login + b"\r\n\r\n"
    anonymous = f"POST {SIGN} HTTP/1.1\r\nHost: a\r\n{TE}\r\nConnection: close\r\n\r\n".encode()
    assert statuses(exchange(target, anonymous + trailer)) == [401]


def test_pipelined_requests_are_answered_in_order(target: Appliance) -> None:
    """Each once. After an error in the framing nothing is read any more, and no earlier request gets its answer."""
    last = ALIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert statuses(exchange(target, ALIVE * 3 + head(target, LENGTH) + BODY + last)) == [200] * 5
    before = signatures(target)
    found = statuses(exchange(target, ALIVE, b"GET / HTTP/1.1\nx\r\n\r\n" + head(target, LENGTH) + BODY))
    assert found in ([200, 400], [400], [])  # whether the first was answered before the second segment came
    assert statuses(exchange(target, head(target, LENGTH) + b"{" + BODY[1:-1] + b"x" + last)) == [400, 200]
    assert signatures(target) == before


def test_an_error_does_not_answer_the_request_before(target: Appliance) -> None:
    """A signature is under way when nonsense follows in the same segment: no 400 is taken for its answer."""
    before = signatures(target)
    answer = exchange(target, head(target, LENGTH) + BODY + b"\0\0\r\n\r\n")
    assert statuses(answer) in ([], [200])
    wait_until(lambda: signatures(target) == before + 1)  # also when the connection ended before it was made


@pytest.mark.parametrize("fields", [[f"Content-Length: {len(BODY) + 1}"], [TE]], ids=["length", "chunks"])
@pytest.mark.parametrize("path", [SIGN, "/api/v1/cores/1/keys"])
def test_what_is_cut_short_is_not_carried_out(target: Appliance, path: str, fields: list[str]) -> None:
    """The body is sensible JSON as far as it came, but its end did not come: nothing happens, nothing is recorded."""
    before = target.api("GET", "/audit/events?limit=1000").json()["events"][-1]["number"]
    body = BODY if path == SIGN else json.dumps({"label": "cut", "type": "ed25519", "pin": PIN}).encode()
    fields = [f"Content-Length: {len(body) + 1}"] if "chunked" not in fields[0] else fields
    with connected(target) as connection:
        connection.sendall(head(target, *fields, path=path) + (body if fields[0] != TE else CHUNKED[:-2]))
        time.sleep(0.2)  # it has begun to read
    time.sleep(0.5)
    events = target.api("GET", f"/audit/events?after={before}&limit=1000").json()["events"]
    assert [event for event in events if event["user"] == "alice"] == []


def test_long_heads_are_refused(target: Appliance) -> None:
    """431 for a long line, many fields and a head that never ends; a field of some kilobytes is none of these."""
    close = "Connection: close"
    assert statuses(exchange(target, head(target, LENGTH, f"X-A: {'a' * 20_000}", close) + BODY)) == [200]
    assert statuses(exchange(target, head(target, LENGTH, f"X-A: {'a' * 40_000}") + BODY)) == [431]
    assert statuses(exchange(target, head(target, LENGTH, *["X-A: b"] * 101) + BODY)) == [431]
    assert statuses(exchange(target, head(target, path="/" + "a" * 40_000))) == [431]
    endless = [b"GET / HTTP/1.1\r\n", *[b"X-A: " + b"a" * 1000 + b"\r\n"] * 50]
    assert statuses(exchange(target, *endless)) == [431]


@pytest.mark.parametrize("offer", ["h2c", "websocket"])
def test_no_other_protocol_is_spoken(target: Appliance, offer: str) -> None:
    """The request is answered as HTTP/1.1 and the connection closed; what follows it is read by nobody."""
    before = signatures(target)
    upgrade = ALIVE.replace(b"\r\n\r\n", f"\r\nConnection: upgrade\r\nUpgrade: {offer}\r\n\r\n".encode())
    assert statuses(exchange(target, upgrade + head(target, LENGTH) + BODY)) == [200]
    connect = b"CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere\r\n\r\n"
    assert statuses(exchange(target, connect + head(target, LENGTH) + BODY)) in ([400], [404], [405])
    assert signatures(target) == before


class Attack(threading.Thread):
    """A connection of somebody who wastes time. `took` is how long it lasted, `answer` what came."""

    def __init__(self, appliance: Appliance, run: Callable[[Appliance, socket.socket], bytes]) -> None:
        super().__init__()
        self.run_it, self.appliance = run, appliance
        self.took, self.answer = 0.0, b""

    def run(self) -> None:
        """Connect, waste time, note when the other side had enough."""
        began = time.monotonic()
        with contextlib.suppress(OSError):
            self.answer = self.run_it(self.appliance, socket.create_connection(("127.0.0.1", self.appliance.port), 60))
        self.took = time.monotonic() - began


def over_tls(attack: Callable[[ssl.SSLSocket], None]) -> Callable[[Appliance, socket.socket], bytes]:
    """An attack that begins after a handshake."""

    def run(appliance: Appliance, raw: socket.socket) -> bytes:
        context = ssl.create_default_context(cafile=appliance.ca_file)
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
            with contextlib.suppress(OSError):
                attack(connection)
            return everything(connection)

    return run


def trickle(start: bytes, drop: bytes) -> Callable[[ssl.SSLSocket], None]:
    """Begin, and go on with a little every second."""

    def attack(connection: ssl.SSLSocket) -> None:
        connection.sendall(start)
        while not select.select([connection], [], [], 1)[0]:  # until it is answered or closed
            connection.sendall(drop)

    return attack


def greedy(connection: ssl.SSLSocket) -> None:
    """Ask for megabytes and take none of them."""
    connection.sendall(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 64)
    time.sleep(MESSAGE_SECONDS + 8)


def no_handshake(_: Appliance, raw: socket.socket) -> bytes:
    """Connect and say nothing."""
    with raw:
        return everything(raw)


def half_a_handshake(_: Appliance, raw: socket.socket) -> bytes:
    """Begin the handshake like a TLS client, with the first bytes of its first record."""
    with raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        return everything(raw)


def silent(_: ssl.SSLSocket) -> None:
    """Say nothing after the handshake."""


POST = b"POST /api/v1/users HTTP/1.1\r\nHost: a\r\n"
CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW: dict[str, tuple[Callable[[Appliance, socket.socket], bytes], int, int | None]] = {
    "no handshake": (no_handshake, HEAD_SECONDS, None),
    "half a handshake": (half_a_handshake, HEAD_SECONDS, None),
    "no request": (over_tls(silent), HEAD_SECONDS, None),
    "half a line": (over_tls(trickle(b"GET /api", b"a")), HEAD_SECONDS, 408),
    "trickled fields": (over_tls(trickle(ALIVE[:-2], b"X-A: b\r\n")), HEAD_SECONDS, 408),
    "trickled body": (over_tls(trickle(POST + b"Content-Length: 1000\r\n\r\n", b" ")), MESSAGE_SECONDS, 408),
    "trickled chunks": (over_tls(trickle(CHUNKS, b"1\r\n \r\n")), MESSAGE_SECONDS, 408),
    "an extension without end": (over_tls(trickle(CHUNKS + b"1;", b"a")), MESSAGE_SECONDS, 408),
    "an answer not taken": (over_tls(greedy), MESSAGE_SECONDS, None),
}


def test_slow_clients_are_ended_and_idle_crowds_keep_nobody_out(target: Appliance) -> None:
    """All at once, with 500 idle connections more: each has its end in time, and alice signs all the while."""
    attacks = {name: Attack(target, attack) for name, (attack, _, _) in SLOW.items()}
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_connection(("127.0.0.1", target.port)))
        for attack in attacks.values():
            attack.start()
        slowest, signed = sign_until(target, lambda: not any(attack.is_alive() for attack in attacks.values()))
    assert signed > 20
    assert slowest < 15
    for name, (_, seconds, status) in SLOW.items():
        attack = attacks[name]
        assert seconds - 1 < attack.took < seconds + LATE, (name, attack.took)
        if status is None:
            assert b"HTTP/1.1 408" not in attack.answer
        else:
            assert statuses(attack.answer) == [status], (name, attack.answer)


def sign_until(appliance: Appliance, enough: Callable[[], bool]) -> tuple[float, int]:
    """Sign on a new connection each time; gives the slowest one's seconds, and how many there were."""
    slowest, signed = 0.0, 0
    while not enough():
        began = time.monotonic()
        with appliance.client("alice") as client:
            assert client.post(SIGN, content=BODY, headers={"Content-Type": "application/json"}).status_code == 200
        slowest, signed = max(slowest, time.monotonic() - began), signed + 1
        time.sleep(0.05)
    return slowest, signed
