"""The hot routes (what uses a key, login, logout), below the framework: plain ASGI with msgspec.

A request is one bare function call away from its operation; FastAPI would cost three times the signature.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeAlias
from urllib.parse import unquote

import msgspec
from starlette.types import Message, Receive, Scope, Send

from privyseal.errors import AnsweredBeforeError, BodyCutShortError, BodyTooLargeError, UnavailableError
from privyseal.operations.appliance import Appliance
from privyseal.operations.apply import Applied
from privyseal.operations.authenticate import Credentials
from privyseal.operations.decapsulate import decapsulate
from privyseal.operations.decrypt import decrypt
from privyseal.operations.derive import derive
from privyseal.operations.encrypt import Encapsulated, encapsulate, encrypt
from privyseal.operations.log_in import log_in, log_out
from privyseal.operations.perform import Act, Caller, perform
from privyseal.operations.repeat import Repeat
from privyseal.operations.sign import Signed, Words, sign, sign_batch
from privyseal.operations.use_pin import Secret
from privyseal.operations.verify import Verified, verify
from privyseal.rest.documents import timestamp
from privyseal.rest.marks import Answer, marked, with_length
from privyseal.rest.mutual_tls import CERTIFICATE
from privyseal.rest.problems import MEDIA_TYPE, Problem, problem_of
from privyseal.rest.repeat import answer, document_bytes, repeat_of
from privyseal.wire.bodies import (
    DecapsulateBody,
    DecryptBody,
    DeriveBody,
    EncapsulateBody,
    EncryptBody,
    LoginBody,
    LogoutBody,
    SignBatchBody,
    SignBody,
    VerifyBody,
    parse,
)

BODY_MAX = 4 * 1024 * 1024
BODIES_MAX = 16 * BODY_MAX
_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")


class Request(msgspec.Struct, frozen=True):
    """One hot request: where it goes, who sends it, and its body."""

    appliance: Appliance
    core: str
    key: str
    body: bytes
    credentials: Credentials
    repeat: Repeat | None = None

    @property
    def place(self) -> tuple[str, str]:
        """The core and the key that the path names."""
        return self.core, self.key

    def act(self, operation: str, document: Callable[[Any], object]) -> Act:
        """Begin an operation whose answer is kept if the request may come again; `document` writes it."""
        act = Act(operation, repeat=self.repeat)
        if self.repeat is not None:
            act.renders(lambda result: document_bytes(document(result)))
        return act


Handler = Callable[[Request], Awaitable[object]]
Route: TypeAlias = tuple[Handler, str, str]
"""What handles a hot request, and the core and the key that its path names."""


async def _sign(request: Request) -> object:
    body, act = parse(request.body, SignBody), request.act("key:sign", _signature)

    async def operation(caller: Caller) -> Signed:
        return await sign(
            request.appliance, caller, act, request.place, _words(body), Secret(body.pin, body.ticket),
            digest=body.digest, data=body.data, version=body.version,
        )  # fmt: skip

    return _signature(await perform(request.appliance, request.credentials, act, operation))


def _signature(signed: Signed) -> object:
    return {"signature": signed.signatures[0], "event": signed.first_event}


async def _sign_batch(request: Request) -> object:
    body, act = parse(request.body, SignBatchBody), request.act("key:sign", _signatures)

    async def operation(caller: Caller) -> Signed:
        return await sign_batch(
            request.appliance, caller, act, request.place, _words(body), Secret(body.pin, body.ticket), body.digests,
            body.version,
        )  # fmt: skip

    return _signatures(await perform(request.appliance, request.credentials, act, operation))


def _signatures(signed: Signed) -> object:
    return {"signatures": signed.signatures, "first_event": signed.first_event}


async def _verify(request: Request) -> object:
    body, act = parse(request.body, VerifyBody), request.act("key:verify", _verified)

    async def operation(caller: Caller) -> Verified:
        return await verify(
            request.appliance, caller, act, request.place, _words(body), body.signature,
            digest=body.digest, data=body.data, version=body.version, secret=Secret(body.pin, body.ticket),
        )  # fmt: skip

    return _verified(await perform(request.appliance, request.credentials, act, operation))


def _verified(verified: Verified) -> object:
    return {"valid": verified.valid, "event": verified.event}


async def _encrypt(request: Request) -> object:
    body, act = parse(request.body, EncryptBody), Act("key:encrypt")  # what comes of it is kept for nobody
    done = await _applied(request, act, body, encrypt)
    return {"data": done.value, "iv": done.iv or None, "event": done.event}


async def _decrypt(request: Request) -> object:
    body, act = parse(request.body, DecryptBody), Act("key:decrypt")  # as above
    done = await _applied(request, act, body, decrypt)
    return {"data": done.value, "event": done.event}


async def _applied(
    request: Request, act: Act, body: EncryptBody, operation: Callable[..., Awaitable[Applied]]
) -> Applied:
    async def work(caller: Caller) -> Applied:
        return await operation(
            request.appliance, caller, act, request.place, body.mechanism, body.parameters(), body.data,
            Secret(body.pin, body.ticket), version=body.version,
        )  # fmt: skip

    return await perform(request.appliance, request.credentials, act, work)


async def _derive(request: Request) -> object:
    body, act = parse(request.body, DeriveBody), Act("key:derive")  # as above

    async def operation(caller: Caller) -> Applied:
        return await derive(
            request.appliance, caller, act, request.place, body.mechanism, body.parameters(),
            Secret(body.pin, body.ticket), version=body.version,
        )  # fmt: skip

    done = await perform(request.appliance, request.credentials, act, operation)
    return {"secret": done.value, "event": done.event}


async def _encapsulate(request: Request) -> object:
    body, act = parse(request.body or b"{}", EncapsulateBody), Act("key:encrypt")  # as above

    async def operation(caller: Caller) -> Encapsulated:
        return await encapsulate(request.appliance, caller, act, request.place, body.version)

    done = await perform(request.appliance, request.credentials, act, operation)
    return {"ciphertext": done.ciphertext, "secret": done.secret, "event": done.event}


async def _decapsulate(request: Request) -> object:
    body, act = parse(request.body, DecapsulateBody), Act("key:decrypt")  # as above

    async def operation(caller: Caller) -> Applied:
        return await decapsulate(
            request.appliance, caller, act, request.place, body.ciphertext, Secret(body.pin, body.ticket), body.version
        )

    done = await perform(request.appliance, request.credentials, act, operation)
    return {"secret": done.value, "event": done.event}


async def _login(request: Request) -> object:
    body, act = parse(request.body, LoginBody), Act("core:login")

    async def operation(caller: Caller) -> object:
        done = await log_in(request.appliance, caller, act, request.core, body.pin)
        return {"ticket": done.ticket, "expires": timestamp(done.expires), "keys": done.keys, "event": done.event}

    return await perform(request.appliance, request.credentials, act, operation)


async def _logout(request: Request) -> object:
    body, act = parse(request.body, LogoutBody), request.act("core:logout", lambda _: None)
    if act.repeat is not None:
        act.repeat.status = 204
    await perform(
        request.appliance,
        request.credentials,
        act,
        lambda caller: log_out(request.appliance, caller, act, request.core, body.ticket),
    )
    return None


_ON_KEYS: dict[bytes, Handler] = {
    b"sign": _sign,
    b"sign-batch": _sign_batch,
    b"verify": _verify,
    b"encrypt": _encrypt,
    b"decrypt": _decrypt,
    b"derive": _derive,
    b"encapsulate": _encapsulate,
    b"decapsulate": _decapsulate,
}
_ON_CORES: dict[bytes, Handler] = {b"login": _login, b"logout": _logout}


def match(scope: Scope) -> Route | None:
    """Give handler, core and key if this is a hot route: `/api/v1/cores/C/keys/K/VERB` or `/api/v1/cores/C/VERB`."""
    return _match(scope) if scope["method"] == "POST" else None


def has_other_method(scope: Scope) -> bool:
    """Say whether this is a hot route's path with a method that it has not. They all have POST and no other."""
    return scope["method"] != "POST" and _match(scope) is not None


def _match(scope: Scope) -> Route | None:
    match scope["raw_path"].split(b"/"):
        case [b"", b"api", b"v1", b"cores", core, b"keys", key, verb] if verb in _ON_KEYS:
            return _ON_KEYS[verb], unquote(core), unquote(key)
        case [b"", b"api", b"v1", b"cores", core, verb] if verb in _ON_CORES:
            return _ON_CORES[verb], unquote(core), ""
        case _:
            return None


async def handle(appliance: Appliance, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one hot request."""
    try:
        body = await read_body(receive)
    except Exception as error:  # noqa: BLE001 - as in `answer_to`
        await send_problem(send, problem_of(error))
        return
    await _send(send, *await answer_to(appliance, route, scope, body))


async def answer_to(appliance: Appliance, route: Route, scope: Scope, body: bytes) -> Answer:
    """Give the answer to one hot request whose body is there. It raises nothing."""
    handler, core, key = route
    try:
        repeat = repeat_of(scope, body, look_first=False)
        document = await handler(Request(appliance, core, key, body, credentials_of(scope), repeat))
    except AnsweredBeforeError as error:
        status, headers, content = answer(error)
        return status, content, headers
    except Exception as error:  # noqa: BLE001 - every error has a problem document, the unknown one too
        return _problem(problem_of(error))
    return (204, b"", []) if document is None else (200, _encode(document), [_JSON])


async def read_body(receive: Receive, most: int = BODY_MAX) -> bytes:
    """Read a whole body of so many bytes at most.

    Raises:
        BodyTooLargeError: it is longer.
        BodyCutShortError: the client has gone. What it sent would be another request, perhaps a sensible one.
        UnavailableError: too many bodies are under way.
    """
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] != "http.disconnect" and not message.get("more_body", False) and len(body) <= most:
        return body
    with _Reading(most) as reading:
        reading.take(message)
        while message.get("more_body", False):
            message = await receive()
            reading.take(message)
        return b"".join(reading.parts)


class _Reading:
    """A body that comes in parts. All that a worker reads at once fit into a bound, whoever sends them."""

    at_once = 0

    def __init__(self, most: int) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self._most = most

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _Reading.at_once -= self.length

    def take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise BodyCutShortError("the connection ended before the body did; nothing was done")
        part: bytes = message.get("body", b"")
        self.parts.append(part)
        self.length += len(part)
        _Reading.at_once += len(part)
        if self.length > self._most:
            hint = "; hash large files yourself and send the digest" if self._most == BODY_MAX else ""
            raise BodyTooLargeError(f"a body has at most {self._most} bytes here{hint}")
        if _Reading.at_once > BODIES_MAX:
            raise UnavailableError("too many long requests at once; try again")


def credentials_of(scope: Scope) -> Credentials:
    """Give what a request says of its sender: the Authorization header, the address, and the certificate if any."""
    client = scope.get("client")
    peer = client[0] if client else ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return Credentials(value.decode("latin-1"), peer)
    return Credentials(None, peer, certificate=scope.get("state", {}).get(CERTIFICATE))


async def send_problem(send: Send, problem: Problem) -> None:
    """Send a problem document."""
    await _send(send, *_problem(problem))


def _problem(problem: Problem) -> Answer:
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    content_type = (b"content-type", MEDIA_TYPE.encode())
    return problem.status, _encode(marked(problem.document)), [content_type, *headers]


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": with_length(status, body, headers)})
    await send({"type": "http.response.body", "body": body})


def _words(body: SignBody | SignBatchBody | VerifyBody) -> Words:
    return Words(body.mechanism, body.hash, body.salt_length, body.mgf_hash, body.encoding, body.context, body.length)
