"""Request ids: each answer has `X-Request-Id`, each problem document names it, and so does each log line about it."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from privyseal.telemetry.logs import REQUEST, access, request_ids

Answer: TypeAlias = tuple[int, bytes, list[tuple[bytes, bytes]]]
Direct: TypeAlias = Callable[[bytes], Awaitable[Answer]]
"""Makes the answer of a request of its body: status, body, and the header fields but for the body's length."""
_log = logging.getLogger("privyseal.access")
_new_id = request_ids()


def marked(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Give a problem document with the request's id as its `instance` (RFC 9457, section 3.1.5)."""
    request = REQUEST.get()
    return {**problem, "instance": f"urn:privyseal:request:{request}"} if request else dict(problem)


def with_length(status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Give an answer's header fields with the body's length; a 204 has neither (RFC 9110, section 8.6)."""
    return headers if status == HTTPStatus.NO_CONTENT else [*headers, (b"content-length", b"%d" % len(body))]


class Front(Protocol):
    """The application, with a short way for hot requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

    def direct(self, scope: Scope) -> Direct | None:
        """Give what answers a hot request, None for any other."""


class Marked:
    """What stands before the application: gives each request its id, and logs it if that is wanted."""

    def __init__(self, app: Front, *, access_log: bool) -> None:
        self._app = app
        self.access_log = access_log

    def direct(self, scope: Scope) -> Direct | None:
        """Give what answers a hot request whose body is there without ASGI's messages; None where those are needed."""
        work = None if self.access_log else self._app.direct(scope)
        if work is None:
            return None

        async def marked_answer(body: bytes) -> Answer:
            request = _new_id(_given(scope))
            REQUEST.set(request)  # for this task, which ends with the answer
            status, content, headers = await work(body)
            return status, content, [*headers, (b"x-request-id", request.encode())]

        return marked_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _new_id(_given(scope))
        header = (b"x-request-id", request.encode())
        status, began = 0, time.perf_counter_ns()

        async def mark(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        before = REQUEST.set(request)
        try:
            await self._app(scope, receive, mark)
        finally:
            if self.access_log:
                peer = (scope.get("client") or ("",))[0]
                access(_log, scope["method"], scope["path"], status, peer, time.perf_counter_ns() - began)
            REQUEST.reset(before)


def _given(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            return text
    return ""
