"""The way in: who connects is let through the TLS handshake in a bounded time, and there are never too many.

When all places are taken, whoever has been silent longest makes room. So hundreds of idle connections keep nobody out,
and whoever has just come is the last to go. The same goes for handshakes under way: the oldest one has to go.
"""

import asyncio
import contextlib
import math
import resource
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable

import uvicorn
from uvicorn.server import ServerState

from privyseal.rest.limits import LimitedProtocol

CONNECTIONS = 1000
HANDSHAKES = 200
HANDSHAKE_SECONDS = 10.0
_BYE_SECONDS = 5.0  # for the closing words of TLS
_LOOK_SECONDS = 1.0
_AT_ONCE = 64
_FILES = 4096  # of this process: connections, and those to database and keeper


class Doors:
    """A listening socket of one worker. uvicorn takes it for a server of the event loop's."""

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        make: Callable[[], asyncio.Protocol],
        state: ServerState,
        most: int = CONNECTIONS,
    ) -> None:
        self._listener = listener
        self._context = context
        self._make = make
        self._state = state
        self._most = most
        self._shaking: OrderedDict[asyncio.Task[None], None] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._watch = self._loop.create_task(self._look())
        listener.setblocking(False)  # noqa: FBT003 - as `socket` has it
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.remove_reader(self._listener)
        self._watch.cancel()
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except OSError:  # none is waiting, or another worker was faster
                return
            if len(self._state.connections) + len(self._shaking) >= self._most and not self._make_room():
                connection.close()
                continue
            if len(self._shaking) >= HANDSHAKES:
                self._shaking.popitem(last=False)[0].cancel()
            task = self._loop.create_task(self._let_in(connection))
            self._shaking[task] = None
            task.add_done_callback(lambda done: self._shaking.pop(done, None))

    async def _let_in(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003 - as `socket` has it
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, ConnectionError, TimeoutError, ssl.SSLError):
            await self._loop.connect_accepted_socket(
                self._make,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_BYE_SECONDS,
            )

    def _make_room(self) -> bool:
        """Send the one away that has been silent longest; False when all are being answered."""
        waiting = [one for one in self._state.connections if isinstance(one, LimitedProtocol)]
        first = min(waiting, key=LimitedProtocol.silent_since, default=None)
        if first is None or first.silent_since() == math.inf:
            return False
        first.transport.abort()
        return True

    async def _look(self) -> None:
        """Look every second who has waited too long, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._loop.time()
            for connection in tuple(self._state.connections):
                if isinstance(connection, LimitedProtocol):
                    connection.look(now)


class Server(uvicorn.Server):
    """uvicorn's server behind our doors."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, on sockets that listen already."""
        await self.lifespan.startup()
        config, state = self.config, self.server_state
        assert config.ssl is not None  # noqa: S101 - there is TLS and nothing else

        def make() -> asyncio.Protocol:
            return LimitedProtocol(config=config, server_state=state, app_state=self.lifespan.state)

        most = min(CONNECTIONS, allow_files(_FILES) * 3 // 4)
        self.servers = [Doors(one, config.ssl, make, state, most) for one in sockets or []]  # type: ignore[misc]  # a server to uvicorn
        self.started = True


def allow_files(wanted: int) -> int:
    """Raise this process's limit of open files as far as it may; gives what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        return raised
    return wanted if soft == resource.RLIM_INFINITY else soft
