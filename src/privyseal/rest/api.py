"""The REST application: hot routes first, the framework for the rest, and problem documents for everything wrong."""

import json
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from privyseal import __version__
from privyseal.errors import BodyTooLargeError, FieldError, InvalidRequestError, MalformedJSONError, PrivysealError
from privyseal.operations.appliance import Appliance
from privyseal.operations.gate import require_operational
from privyseal.rest import hot, openapi
from privyseal.rest.problems import MEDIA_TYPE, Problem, plain, problem_of
from privyseal.rest.routes import appliance, audit, cores, keys, rules, unlocking, users
from privyseal.wire.bodies import malformed

PREFIX = "/api/v1"
_OPEN = frozenset(
    f"{PREFIX}/{path}" for path in ("health/alive", "health/ready", "state", "info", "provision", "unlock")
)
"""What answers while the appliance is locked or not provisioned; everything else says 503 and looks nothing up."""
_NAMES = {404: ("not-found", "There is no such path"), 405: ("method-not-allowed", "This path has other methods")}


def build(appliance_: Appliance) -> ASGIApp:
    """Build the application of one API worker."""
    app = FastAPI(
        title="Privyseal",
        version=__version__,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # FastAPI's page loads scripts from elsewhere; an appliance may have no way out
        redoc_url=None,
    )
    app.state.appliance = appliance_
    for routes in (appliance, unlocking, cores, keys, users, rules, audit):
        app.include_router(routes.router, prefix=PREFIX)
    app.add_exception_handler(PrivysealError, _on_error)
    app.add_exception_handler(Exception, _on_error)  # else Starlette would answer it in plain text
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    openapi.complete(app)
    return _Front(app, appliance_)


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
        await self._framework(scope, receive, send)

    async def _framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the framework answer, with a body that is known to be short enough."""
        try:
            body = await hot.read_body(receive)
        except BodyTooLargeError as error:
            await hot.send_problem(send, problem_of(error))
            return
        started = False

        async def replay() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, replay, watch)
        except Exception as error:  # noqa: BLE001 - an unknown error is told to nobody
            if not started:
                await hot.send_problem(send, problem_of(error))


def _response(problem: Problem) -> Response:
    content = json.dumps(problem.document, ensure_ascii=False)
    return Response(content, problem.status, dict(problem.headers), media_type=MEDIA_TYPE)


async def _on_error(_: Request, error: Exception) -> Response:
    return _response(problem_of(error))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    if error.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI says so, and no more, of a body that it cannot read
        return _response(problem_of(malformed(await request.body())))
    name, title = _NAMES.get(error.status_code, ("http", str(error.detail)))
    return _response(plain(error.status_code, name, title))


async def _on_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    broken = next((one for one in error.errors() if one["type"] == "json_invalid"), None)
    if broken is not None:
        position = broken["loc"][-1]
        return _response(problem_of(MalformedJSONError(f"not JSON at character {position}: {broken['ctx']['error']}")))
    return _response(problem_of(InvalidRequestError(*(_field_error(one) for one in error.errors()))))


def _field_error(error: dict[str, Any]) -> FieldError:
    messages = {"extra_forbidden": "there is no such field", "missing": "this field is missing"}
    message = messages.get(error["type"], error["msg"])
    return FieldError(".".join(str(part) for part in error["loc"]), message[0].lower() + message[1:])
