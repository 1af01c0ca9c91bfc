"""uvicorn's HTTP protocol, with two things that it leaves to others.

Head and body of an answer go in one write: one TLS record and one system call, not two. And each request's state says
which client certificate the connection has; it is looked at once per connection.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
