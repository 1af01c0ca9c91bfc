"""When all places of a worker are taken, whoever has been silent longest makes room; who is being answered stays."""

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from privyseal.rest import doors
from privyseal.rest.doors import Server, allow_files
from privyseal.rest.limits import LimitedProtocol
from privyseal.tls import TLSFiles

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Place:
    """A server with an application that answers when it is told to, and connections to it."""

    def __init__(self, port: int, context: ssl.SSLContext, stack: contextlib.AsyncExitStack) -> None:
        self.port, self.context, self.stack = port, context, stack
        self.may_answer = asyncio.Event()
        self.asked = 0

    def direct(self, _: Scope) -> None:
        """No request has a short way."""

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        """Answer 204."""
        self.asked += 1
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def connect(self, *, tls: bool = True) -> Streams:
        """Open a connection."""
        options = {"ssl": self.context, "server_hostname": "127.0.0.1"} if tls else {}
        streams = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self.stack.callback(streams[1].close)
        return streams


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Place]:
    """Run a server behind doors."""
    tls = TLSFiles(folder / "tls")
    tls.prepare(["127.0.0.1"])
    listener = socket.create_server(("127.0.0.1", 0))
    async with contextlib.AsyncExitStack() as stack:
        place = Place(listener.getsockname()[1], ssl.create_default_context(cafile=tls.ca), stack)
        config = uvicorn.Config(
            place, interface="asgi3", proxy_headers=False, http=LimitedProtocol, ws="none", lifespan="off",
            log_config=None, ssl_certfile=tls.certificate, timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield place
        place.may_answer.set()
        server.should_exit = True
        await running


def run(folder: Path, work: Callable[[Place], Awaitable[None]]) -> None:
    """Run a test against a server, within seconds."""

    async def whole() -> None:
        async with serving(folder) as place:
            await asyncio.wait_for(work(place), 120)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole())


async def is_closed(streams: Streams, seconds: float = 0.5) -> bool:
    """Whether the other side has closed it, or does so in some seconds."""
    try:
        return await asyncio.wait_for(streams[0].read(1), seconds) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def answered(streams: Streams) -> bool:
    """Whether a request on it is answered."""
    streams[1].write(REQUEST)
    return (await streams[0].readline()).startswith(b"HTTP/1.1 204 ")


def test_the_longest_silent_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the silent ones goes, not the one that was there before and has just been answered."""
    monkeypatch.setattr(doors, "CONNECTIONS", 4)

    async def work(place: Place) -> None:
        place.may_answer.set()
        lively, *silent = [await place.connect() for _ in range(4)]
        assert await answered(lively)
        newest = await place.connect()
        assert await answered(newest)
        assert await is_closed(silent[0], seconds=20)
        assert [await is_closed(one) for one in (*silent[1:], lively, newest)] == [False] * 4

    run(tmp_path, work)


def test_who_is_being_answered_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all are, whoever comes next is turned away."""
    monkeypatch.setattr(doors, "CONNECTIONS", 3)

    async def work(place: Place) -> None:
        busy = [await place.connect() for _ in range(3)]
        for _, writer in busy:
            writer.write(REQUEST)
        while place.asked < 3:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await place.connect()
        place.may_answer.set()
        assert [(await reader.readline())[:13] for reader, _ in busy] == [b"HTTP/1.1 204 "] * 3

    run(tmp_path, work)


def test_a_crowd_before_the_handshake_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest handshake under way has to go."""
    monkeypatch.setattr(doors, "HANDSHAKES", 3)

    async def work(place: Place) -> None:
        place.may_answer.set()
        crowd = [await place.connect(tls=False) for _ in range(6)]
        assert await answered(await place.connect())
        assert [await is_closed(one, seconds=5) for one in crowd[:4]] == [True] * 4
        assert [await is_closed(one) for one in crowd[4:]] == [False] * 2

    run(tmp_path, work)


def test_a_handshake_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it the connection is closed."""
    monkeypatch.setattr(doors, "HANDSHAKE_SECONDS", 0.1)

    async def work(place: Place) -> None:
        assert await is_closed(await place.connect(tls=False), seconds=20)

    run(tmp_path, work)


def test_open_files_are_allowed_as_far_as_may_be() -> None:
    """What the hard limit says is the end of it; a higher limit stays."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert allow_files(512) == 512
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 512
        assert allow_files(300) == 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
