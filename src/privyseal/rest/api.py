"""The REST application: hot routes first, the framework for the rest, and problem documents for everything wrong."""

import asyncio
import json
import logging
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Message, Receive, Scope, Send

from privyseal import __version__
from privyseal.errors import (
    AnsweredBeforeError,
    BodyCutShortError,
    BodyTooLargeError,
    FieldError,
    InvalidRequestError,
    MalformedJSONError,
    PrivysealError,
    UnavailableError,
)
from privyseal.operations.appliance import Appliance
from privyseal.operations.gate import require_operational
from privyseal.operations.repeat import Repeat, keep_after
from privyseal.rest import hot, openapi
from privyseal.rest.marks import Direct, Marked, marked
from privyseal.rest.problems import MEDIA_TYPE, Problem, other_method, plain, problem_of
from privyseal.rest.repeat import STATE, Sent, answer, repeat_of
from privyseal.rest.routes import (
    appliance,
    approvals,
    audit,
    backup,
    cores,
    credentials,
    groups,
    key_life,
    keys,
    metrics,
    objects,
    restore,
    rules,
    tls,
    unlocking,
    users,
    wrapping,
)
from privyseal.wire.bodies import malformed

PREFIX = "/api/v1"
_log = logging.getLogger("privyseal.worker")
_STREAMS = frozenset({f"{PREFIX}/backup"})  # too long to be kept; whoever asks again gets a new one
_UPLOADS = frozenset({f"{PREFIX}/restore"})  # read piece by piece, once it is known who sends it
_OPEN = frozenset(
    f"{PREFIX}/{path}" for path in ("health/alive", "health/ready", "state", "info", "provision", "unlock")
)
"""What answers while the appliance is locked or not provisioned; everything else says 503 and looks nothing up."""
_BODY_MAX = 256 * 1024  # a certificate with those above it and its key, 64 KiB each, and room
_SHOWN = 64  # characters of the name of a field that there is not
_VALUES_MAX = 5000
"""Of a list or an object. pydantic makes an error of 25 microseconds of each that is wrong, before anybody is known."""
_NO_PATH = plain(404, "not-found", "There is no such path")
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def build(appliance_: Appliance, *, access_log: bool = False) -> Marked:
    """Build the application of one API worker; with `access_log` it logs every request."""
    app = framework()
    app.state.appliance = appliance_
    return Marked(_Front(app, appliance_), access_log=access_log)


def framework() -> FastAPI:
    """Build what answers all but the hot routes; its `openapi()` describes those as well."""
    app = FastAPI(
        title="Privyseal",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's page loads scripts from elsewhere; an appliance may have no way out
        redoc_url=None,
        redirect_slashes=False,  # to where the Host field says: there is one name for each thing
    )
    for routes in (
        appliance, unlocking, cores, keys, key_life, wrapping, objects, users, groups, credentials,
        rules, approvals, audit, backup, restore, metrics, tls,
    ):  # fmt: skip
        app.include_router(routes.router, prefix=PREFIX)
    app.add_exception_handler(PrivysealError, _on_error)
    app.add_exception_handler(Exception, _on_error)  # else Starlette would answer it in plain text
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    openapi.complete(app)
    return app


class _Front:
    """What uvicorn calls: limits first, then the hot routes, then the framework."""

    def __init__(self, app: FastAPI, appliance_: Appliance) -> None:
        self._app = app
        self._appliance = appliance_

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if not self._appliance.is_operational and scope["path"] not in _OPEN:
                await require_operational(self._appliance)
        except Exception as error:  # noqa: BLE001 - every error has a problem document, the unknown one too
            await hot.send_problem(send, problem_of(error))
            return
        route = hot.match(scope)
        if route is not None:
            await hot.handle(self._appliance, route, scope, receive, send)
            return
        if hot.has_other_method(scope):
            await hot.send_problem(send, other_method(["POST"]))
            return
        await self._framework(scope, receive, send)

    def direct(self, scope: Scope) -> Direct | None:
        """Give what answers a hot request, None for any other, and while the appliance is not operational."""
        route = hot.match(scope) if self._appliance.is_operational else None
        return None if route is None else partial(hot.answer_to, self._appliance, route, scope)

    async def _framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the framework answer, with a body that is known to be short enough."""
        if "\0" in scope["path"]:  # no name has one, and PostgreSQL takes none
            await hot.send_problem(send, _NO_PATH)
            return
        if scope["method"] == "POST" and scope["path"] in _UPLOADS:
            await self._answer(scope, receive, send)
            return
        try:
            body = await _read(scope, receive)
            may_come_again = scope["method"] == "POST" and scope["path"] not in _STREAMS
            repeat = repeat_of(scope, body, look_first=True) if may_come_again else None
        except (BodyTooLargeError, BodyCutShortError, InvalidRequestError, UnavailableError) as error:
            await hot.send_problem(send, problem_of(error))
            return
        scope[STATE] = repeat
        sent = Sent(send)
        await self._answer(scope, _replay(body, receive), send if repeat is None else sent)
        if repeat is not None:
            await self._keep(repeat, sent)
            for message in sent.messages:
                await send(message)

    async def _keep(self, repeat: Repeat, sent: Sent) -> None:
        """Keep the answer of a change that did not keep it itself; the client hears of the change either way."""
        body = sent.keepable(repeat)
        if body is None:
            return
        try:
            await asyncio.to_thread(keep_after, self._appliance.store, repeat, body)
        except UnavailableError as error:
            _log.error("an answer was not kept, so the same request would be carried out again: %s", error)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:  # noqa: BLE001 - an unknown error is told to nobody
            if not started:
                await hot.send_problem(send, problem_of(error))


async def _read(scope: Scope, receive: Receive) -> bytes:
    """Read a body that costs little, whoever sends it. Raises as `hot.read_body` does, and InvalidRequestError."""
    if b"%00" in scope["query_string"]:
        raise InvalidRequestError(FieldError("query", "there is a null byte in it, which no text here has"))
    body = await hot.read_body(receive, _BODY_MAX)
    if body.count(b",") > _VALUES_MAX:
        raise InvalidRequestError(FieldError("body", f"there are more than {_VALUES_MAX} values in it"))
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already once more."""
    replayed = False

    async def replay() -> Message:
        nonlocal replayed
        if replayed:  # a stream that is being sent listens here for the client to hang up
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _response(problem: Problem) -> Response:
    content = json.dumps(marked(problem.document), ensure_ascii=False)
    return Response(content, problem.status, dict(problem.headers), media_type=MEDIA_TYPE)


async def _on_error(_: Request, error: Exception) -> Response:
    if isinstance(error, AnsweredBeforeError):
        status, headers, body = answer(error)
        return Response(body, status, {name.decode(): value.decode() for name, value in headers})
    return _response(problem_of(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI says so, and no more, of a body that it cannot read
        return _response(problem_of(malformed(await request.body())))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _response(other_method(_allowed(request)))
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _response(_NO_PATH)
    return _response(plain(error.status_code, "http", str(error.detail)))


def _allowed(request: Request) -> list[str]:
    """Give the methods of a path. Each is a route of its own, and the one that refused knows its own alone."""
    routes: list[BaseRoute] = request.app.routes
    scopes = ({**request.scope, "method": method} for method in _METHODS)
    return [scope["method"] for scope in scopes if any(one.matches(scope)[0] is Match.FULL for one in routes)]


async def _on_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    broken = next((one for one in error.errors() if one["type"] == "json_invalid"), None)
    if broken is not None:
        position = broken["loc"][-1]
        return _response(problem_of(MalformedJSONError(f"not JSON at character {position}: {broken['ctx']['error']}")))
    found = error.errors()[: InvalidRequestError.MOST]
    return _response(problem_of(InvalidRequestError(*(_field_error(one) for one in found))))


def _field_error(error: dict[str, Any]) -> FieldError:
    messages = {"extra_forbidden": "there is no such field", "missing": "this field is missing"}
    message = messages.get(error["type"], error["msg"])
    return FieldError(".".join(str(part)[:_SHOWN] for part in error["loc"]), message[0].lower() + message[1:])
