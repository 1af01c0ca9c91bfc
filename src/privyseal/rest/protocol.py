"""uvicorn's HTTP protocol, with two short ways and a look at who is there.

Head and body of an answer leave in one write: one TLS record and one system call, not two. And a hot request whose body
came with its head goes straight to its handler, past ASGI's messages, which would cost a quarter of the whole. Each
request's state says which client certificate the connection has; it is looked at once per connection.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from privyseal.rest.marks import Direct, with_length
from privyseal.rest.mutual_tls import CERTIFICATE, fingerprint_of


class JoinedWrites:
    """A transport whose writes of one turn of the event loop leave together. Everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """Give the transport's."""
        return getattr(self._transport, name)

    def write_now(self, data: bytes) -> None:
        """Write a whole answer."""
        self._flush()
        self._transport.write(data)

    def write(self, data: bytes) -> None:
        """Keep what is written until this turn ends."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what is kept, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class JoinedProtocol(HttpToolsProtocol):
    """What uvicorn runs for each connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Put the joining transport between uvicorn and the socket, and look who is there."""
        fingerprint = fingerprint_of(transport.get_extra_info("ssl_object"))
        if fingerprint is not None:
            self.app_state = {**self.app_state, CERTIFICATE: fingerprint}
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]  # it behaves as one

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begin to answer; uvicorn calls this when it has a request's head."""
        direct: Direct | None = app.direct(cycle.scope)
        if direct is None:
            super()._start_asgi_task(cycle, app)
            return
        task = self.loop.create_task(self._answer(cycle, app, direct))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _answer(self, cycle: RequestResponseCycle, app: Any, direct: Direct) -> None:
        if cycle.more_body or cycle.waiting_for_100_continue:  # the rest has to be waited for
            await cycle.run_asgi(app)
            return
        status, body, headers = await direct(bytes(cycle.body))
        if self.flow.write_paused and not cycle.disconnected:
            await self.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        fields = b"".join(b"%s: %s\r\n" % field for field in with_length(status, body, headers))
        bye = b"" if cycle.keep_alive else b"connection: close\r\n"
        head = b"%b%b%b\r\n" % (STATUS_LINE[status], fields, bye)
        self.transport.write_now(head + body)  # type: ignore[attr-defined]  # what connection_made put there
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
