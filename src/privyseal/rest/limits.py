"""What a connection may cost before anybody knows who is calling: so many bytes, and so long. One object for each.

llhttp, below uvicorn, refuses what is ambiguous about where a message ends (RFC 9112, section 6): a length beside a
transfer coding, two lengths, bare line feeds, folded lines. What it lets through is refused here. A whole request that
comes at once costs one look at its header fields; the clocks are for those that do not.
"""

import asyncio
import json
import math

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from privyseal.rest.problems import MEDIA_TYPE, Problem, plain
from privyseal.rest.protocol import JoinedProtocol

HEAD_SECONDS = 10.0
"""From the first byte of a request, or from the handshake of a connection that says nothing, to its last field."""
MESSAGE_SECONDS = 20.0
"""From the first byte of a request to the last of its body; of an upload, from each piece to the next."""
WRITE_SECONDS = 20.0
"""So long may the transport be full of an answer: from when its buffer has too much to when it has room again."""
HEAD_BYTES = 32 * 1024
FIELDS = 100
MESSAGE_BYTES = 16 * 1024 * 1024
"""As sent, with the framing of chunks. What is beyond a body's own limit is answered and thrown away."""
PIPELINED = 64
"""Requests that wait for the answer before them; ten thousand fit into one segment."""
UPLOAD = "upload"
"""In a request's state while its body, of any length, is taken piece by piece from somebody who may send it."""

_MALFORMED = plain(400, "malformed-request", "This is no HTTP request that the appliance reads")
_TOO_LONG = plain(431, "headers-too-large", "The request line and header fields are too long")
_TOO_SLOW = plain(408, "request-timeout", "The request did not come in time")


class LimitedProtocol(JoinedProtocol):
    """What the appliance runs for each connection."""

    reading = False
    begun = 0.0
    got = 0
    due = math.inf
    stuck = math.inf
    refusal = _MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Give a client that says nothing as long as one that says it slowly."""
        super().connection_made(transport)
        self.begun = self.loop.time()
        self.due = self.begun + HEAD_SECONDS

    def data_received(self, data: bytes) -> None:
        """Take what came; note until when the rest has to be here, if there is a rest."""
        self.got += len(data)
        super().data_received(data)
        if self.reading:
            self._expect_the_rest()
        else:
            self.due = math.inf

    def on_message_begin(self) -> None:
        """Begin to wait."""
        self.reading, self.begun = True, 0.0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, and no trailer field: nobody looks for those, and they would pile up."""
        if not self._has_head():
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse what is no clear request, and too many of them at once."""
        self._check_head()
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            raise ValueError("pipeline")

    def on_message_complete(self) -> None:
        """End the waiting, and count anew."""
        self.reading, self.got = False, 0
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Note when the client stopped taking what it asked for."""
        self.stuck = self.loop.time() + WRITE_SECONDS
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self.stuck = math.inf
        super().resume_writing()

    def silent_since(self) -> float:
        """Say since when it waits for its client; infinity while a request is being answered, or when it ends."""
        if self.transport.is_closing():
            return math.inf
        if self.timeout_keep_alive_task is not None:
            return self.timeout_keep_alive_task.when() - self.timeout_keep_alive
        if self.due < math.inf and not self.pipeline:
            return self.begun
        return self.stuck - WRITE_SECONDS

    def look(self, now: float) -> None:
        """End what has waited too long."""
        if now >= self.stuck:
            self.transport.abort()
        elif self.pipeline or self.flow.read_paused:  # it is we who keep the client waiting
            self.begun = now
            if self.reading:
                self._expect_the_rest()
        elif now >= self.due and self.reading:
            self._refuse(_TOO_SLOW)
        elif now >= self.due:  # an answer would be taken for that of a request that is just being sent
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words, which are no problem document
        """Refuse what the parser did not read, in our form; uvicorn calls this."""
        self._refuse(self.refusal)

    def _unsupported_upgrade_warning(self) -> None:
        """Speak nothing but HTTP/1.1: what follows an offer to change the protocol is read by nobody."""
        self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Refuse what llhttp lets through; raises ValueError, which the parser makes an error of its own."""
        length, hosts = len(self.url), 0
        for name, value in self.headers:
            length += len(name) + len(value)
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding" and value.lower() != b"chunked":  # no other coding is undone
                raise ValueError("transfer coding")
        if length > HEAD_BYTES or len(self.headers) > FIELDS:
            self.refusal = _TOO_LONG
            raise ValueError("length")
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):  # RFC 9112, section 3.2
            raise ValueError("hosts")

    def _has_head(self) -> bool:
        """Say whether the head of the request that is being read is complete."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def _expect_the_rest(self) -> None:
        if UPLOAD in self.scope["state"]:
            self.begun, self.got = 0.0, 0
        self.begun = self.begun or self.loop.time()
        if self._has_head():
            self.due = self.begun + MESSAGE_SECONDS
            if self.got > MESSAGE_BYTES:
                self.transport.abort()
        else:
            self.due = self.begun + HEAD_SECONDS
            if self.got > HEAD_BYTES:
                self._refuse(_TOO_LONG)

    def _refuse(self, problem: Problem) -> None:
        """Answer and close; without an answer where it could be taken for that of a request from before."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        unanswered = cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)
        if unanswered and not self.pipeline:
            body = json.dumps(problem.document).encode()
            head = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[problem.status] + head % (MEDIA_TYPE.encode(), len(body)) + body)
        self.transport.close()
