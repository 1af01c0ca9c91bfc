"""How long a request may take, and that the clock is for those who keep us waiting: in seconds made short."""

import asyncio
import contextlib
import re
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from privyseal.rest import doors, limits
from privyseal.rest.doors import Server
from privyseal.rest.limits import LimitedProtocol
from privyseal.rest.routes.restore import Spool
from privyseal.tls import TLSFiles

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
SECONDS = 0.3
PIECE = b"x" * 1000


class Place:
    """An application with an upload, a body that is thrown away, and an answer that comes when it may."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port, self.context = port, context
        self.may_answer = asyncio.Event()
        self.connections: set[object] = set()

    def direct(self, _: Scope) -> None:
        """No request has a short way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with how long the body was."""
        length = 0
        if scope["path"].startswith("/slow"):
            await self.may_answer.wait()
        if scope["path"] == "/upload":
            with tempfile.TemporaryFile() as file:
                length = (await Spool(Request(scope, receive), file).file()).tell()
        else:
            async for piece in Request(scope, receive).stream():
                length += len(piece)
        body = b"%d of %b" % (length, scope["path"].encode())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def connect(self) -> Streams:
        """Open a connection."""
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname="127.0.0.1")


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Place]:
    """Run a server behind doors."""
    tls = TLSFiles(folder / "tls")
    tls.prepare(["127.0.0.1"])
    listener = socket.create_server(("127.0.0.1", 0))
    place = Place(listener.getsockname()[1], ssl.create_default_context(cafile=tls.ca))
    config = uvicorn.Config(
        place, interface="asgi3", proxy_headers=False, http=LimitedProtocol, ws="none", lifespan="off",
        log_config=None, ssl_certfile=tls.certificate, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = Server(config)
    place.connections = server.server_state.connections  # type: ignore[assignment]
    running = asyncio.create_task(server.serve(sockets=[listener]))
    yield place
    place.may_answer.set()
    server.should_exit = True
    await running


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Place, Streams], Awaitable[None]]], None]:
    """Run a test with a connection to a server whose limits are small."""
    monkeypatch.setattr(doors, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(limits, "MESSAGE_SECONDS", SECONDS)
    monkeypatch.setattr(limits, "MESSAGE_BYTES", 3 * len(PIECE))

    async def whole(work: Callable[[Place, Streams], Awaitable[None]]) -> None:
        async with serving(tmp_path) as place:
            streams = await place.connect()
            await asyncio.wait_for(work(place, streams), 30)
            streams[1].close()

    def with_a_server(work: Callable[[Place, Streams], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(whole(work))

    return with_a_server


async def send_slowly(streams: Streams, pieces: int) -> None:
    """Send piece by piece: each in time, and all together far out of it."""
    for _ in range(pieces):
        streams[1].write(PIECE)
        await asyncio.sleep(SECONDS / 4)


async def ended(streams: Streams) -> bytes:
    """All that comes until the other side closes."""
    try:
        return await streams[0].read()
    except (ConnectionError, ssl.SSLError):
        return b""


def test_an_upload_may_last_while_its_pieces_come(run: Callable[..., None]) -> None:
    """It is longer than a message may be and takes more time than one may; the next request is like any other."""

    async def work(_: Place, streams: Streams) -> None:
        streams[1].write(POST % (b"upload", 12 * len(PIECE)))
        await send_slowly(streams, 12)
        await streams[0].readuntil(b"\r\n\r\n")
        assert await streams[0].readexactly(16) == b"12000 of /upload"
        streams[1].write(POST % (b"other", 12 * len(PIECE)))
        await send_slowly(streams, 12)
        assert b" of /other" not in await ended(streams)

    run(work)


def test_an_upload_that_stops_is_ended(run: Callable[..., None]) -> None:
    """After as long as a message may take, counted from its last piece."""

    async def work(_: Place, streams: Streams) -> None:
        streams[1].write(POST % (b"upload", 12 * len(PIECE)))
        await send_slowly(streams, 6)
        assert (await asyncio.wait_for(ended(streams), 5)).startswith(b"HTTP/1.1 408 ")

    run(work)


def test_a_message_has_its_length_and_its_time(run: Callable[..., None]) -> None:
    """What is no upload is cut off at the length, and refused when the time is over."""

    async def work(place: Place, streams: Streams) -> None:
        streams[1].write(POST % (b"other", 12 * len(PIECE)) + 4 * PIECE)
        assert await ended(streams) == b""
        slow = await place.connect()
        slow[1].write(POST % (b"other", 3))
        assert (await asyncio.wait_for(ended(slow), 5)).startswith(b"HTTP/1.1 408 ")
        slow[1].close()

    run(work)


def test_who_waits_for_an_earlier_answer_is_not_late(run: Callable[..., None]) -> None:
    """Half of the next request is there while the first is being answered: no 408 comes in place of its answer.

    Its clock begins with its turn, when it is read on; and nobody counts it among the silent.
    """

    async def work(place: Place, streams: Streams) -> None:
        streams[1].write(GET % b"slow" + POST % (b"other", 4) + b"xy")
        await asyncio.sleep(3 * SECONDS)
        [connection] = place.connections
        assert isinstance(connection, LimitedProtocol)
        assert connection.silent_since() == float("inf")
        place.may_answer.set()
        head = await streams[0].readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await streams[0].readexactly(10) == b"0 of /slow"
        await asyncio.sleep(SECONDS / 2)
        streams[1].write(b"zz")
        assert (await streams[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await streams[0].readexactly(11) == b"4 of /other"

    run(work)


def test_who_is_not_read_is_not_late(run: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the appliance is behind with a body, the client cannot send the rest of it."""
    monkeypatch.setattr(limits, "MESSAGE_BYTES", 10**6)

    async def work(place: Place, streams: Streams) -> None:
        streams[1].write(POST % (b"slow-body", 10**5) + bytes(10**5 - 1))
        await asyncio.sleep(3 * SECONDS)
        place.may_answer.set()
        await asyncio.sleep(SECONDS / 2)
        streams[1].write(b"x")
        assert (await streams[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert await streams[0].readexactly(20) == b"100000 of /slow-body"

    run(work)


def test_half_a_request_in_its_turn_is_late(run: Callable[..., None]) -> None:
    """Once the answer before it is given."""

    async def work(place: Place, streams: Streams) -> None:
        place.may_answer.set()
        streams[1].write(GET % b"slow" + POST % (b"other", 4) + b"xy")
        answers = await asyncio.wait_for(ended(streams), 5)
        assert re.findall(rb"HTTP/1.1 (\d+) ", answers) == [b"200", b"408"]

    run(work)


def test_nonsense_behind_a_waiting_request_answers_nobody(run: Callable[..., None]) -> None:
    """The first request is being answered, the second has begun; what cannot be read ends the connection unanswered."""

    async def work(_: Place, streams: Streams) -> None:
        chunked = b"POST /other HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
        streams[1].write(GET % b"slow" + chunked)
        assert await asyncio.wait_for(ended(streams), 5) == b""

    run(work)


def test_trailer_fields_are_kept_by_nobody(run: Callable[..., None]) -> None:
    """However many there are: a whole message's length of them would take thirty times that in memory."""

    async def work(place: Place, streams: Streams) -> None:
        head = b"POST /other HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        streams[1].write(head + b"0\r\n" + b"x: y\r\n" * 300)
        await asyncio.sleep(SECONDS / 3)
        [connection] = place.connections
        assert isinstance(connection, LimitedProtocol)
        assert len(connection.headers) == len(connection.scope["headers"]) == 2
        streams[1].write(b"\r\n")
        assert (await streams[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    run(work)


def test_few_requests_wait_for_the_answers_before_them(run: Callable[..., None]) -> None:
    """Ten thousand fit into one segment. Some are answered in turn, and with more the connection ends."""

    async def work(place: Place, streams: Streams) -> None:
        streams[1].write(GET % b"slow" * (limits.PIPELINED + 2))
        assert await asyncio.wait_for(ended(streams), 5) == b""
        place.may_answer.set()
        fewer = await place.connect()
        last = b"GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        fewer[1].write(GET % b"slow" * limits.PIPELINED + last)
        assert (await asyncio.wait_for(ended(fewer), 5)).count(b"HTTP/1.1 200 ") == limits.PIPELINED + 1

    run(work)


def test_a_request_says_to_whom_it_goes(run: Callable[..., None]) -> None:
    """RFC 9112, section 3.2: with HTTP/1.1 there is one Host field; HTTP/1.0 knows none."""

    async def work(place: Place, streams: Streams) -> None:
        streams[1].write(b"GET /other HTTP/1.0\r\n\r\n")
        assert (await ended(streams)).startswith(b"HTTP/1.1 200 ")
        for hosts in (b"", b"Host: a\r\nHost: a\r\n"):
            other = await place.connect()
            other[1].write(b"GET /other HTTP/1.1\r\n%b\r\n" % hosts)
            assert (await ended(other)).startswith(b"HTTP/1.1 400 ")

    run(work)
