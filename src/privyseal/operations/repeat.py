"""Requests that may come twice: one with an `Idempotency-Key` is carried out once and answered as often as it comes.

Always true: the answer is kept in the transaction that it tells of; only answers of what was done are kept; the key
itself is never written down. Content is hashed under the key, so that whoever has the database cannot try PINs on it.

See draft-ietf-httpapi-idempotency-key-header-07.
"""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection

from privyseal.errors import (
    AnsweredBeforeError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    PrivysealError,
    StaleDecisionError,
)
from privyseal.model.access import User
from privyseal.store import events, replays
from privyseal.store.replays import KEPT_MICROS, Kept
from privyseal.store.store import Store
from privyseal.store.times import now_micros, to_micros

_Result = TypeVar("_Result")
_REMEMBERED = 4096
_LOOKS, _LOOK_SECONDS = 20, 0.05
_REMEMBERED_BYTES = 2048  # a longer answer is fetched from the store
_NOT_LOOKED_UP = (StaleDecisionError, IdempotencyKeyReusedError)


@dataclass(slots=True)
class Repeat:
    """A request that brought an idempotency key.

    Attributes:
        key: the header's value.
        content: hash of method, path and body under the key, hexadecimal.
        look_first: whether the store is asked before anything is done. A signature is rather made twice and thrown
            away once, because almost none is a repetition.
        render: writes the answer's body from what the operation gives; None while nobody can.
        status: of the answer.
        id: hash of user and key, once the user is known.
        answer: the body, once it was written.
    """

    key: bytes
    content: str
    look_first: bool
    render: Callable[[Any], bytes] | None = None
    status: int = 200
    id: str = ""
    answer: bytes | None = None

    def __repr__(self) -> str:
        """Show nothing: whoever has the key could ask for the answer."""
        return "Repeat(…)"

    def bind(self, user: User) -> None:
        """Say who asks. A user of the same name that is made later is another one."""
        credential = "" if user.scope is None else f"{user.scope.credential} "  # another's answer may be out of scope
        place = f"{user.number} {to_micros(user.created)} {credential}".encode()
        self.id = hashlib.sha256(place + self.key).hexdigest()

    def kept(self, result: object) -> Kept:
        """Give the answer as the store keeps it."""
        assert self.render is not None  # noqa: S101 - callers ask `keeps` first
        return self.keeping(self.render(result))

    def keeping(self, answer: bytes) -> Kept:
        """Give an answer that is written already as the store keeps it."""
        self.answer = answer
        return Kept(self.id, self.content, self.status, answer.decode(), now_micros() + KEPT_MICROS)

    @property
    def keeps(self) -> bool:
        """Whether an operation can keep its answer by itself."""
        return self.render is not None and bool(self.id)


def content_of(key: bytes, *parts: bytes) -> str:
    """Hash what a request asks for under its key."""
    return hmac.digest(key, b"\n".join(parts), "sha256").hex()


@dataclass(slots=True)
class Answers:
    """What one worker knows of requests with keys: those that run, and some answers. The store is the truth."""

    _running: dict[str, asyncio.Future[None]] = field(default_factory=dict, repr=False)
    _known: OrderedDict[str, Kept] = field(default_factory=OrderedDict, repr=False)

    async def begin(self, id_: str) -> bool:
        """Wait for another request with this id, then be the one that runs; says whether there was another."""
        waited = False
        while (running := self._running.get(id_)) is not None:
            waited = True
            await asyncio.wait([running])
        self._running[id_] = asyncio.get_running_loop().create_future()
        return waited

    def end(self, id_: str) -> None:
        """Let the next one with this id run."""
        self._running.pop(id_).set_result(None)

    def find(self, id_: str) -> Kept | None:
        """Give an answer that this worker remembers."""
        return self._known.get(id_)

    def remember(self, kept: Kept) -> None:
        """Remember a short answer, in the place of the oldest."""
        if len(kept.answer) > _REMEMBERED_BYTES:
            return
        self._known[kept.id] = kept
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


async def once(
    store: Store, answers: Answers, repeat: Repeat, user: User, operation: Callable[[], Awaitable[_Result]]
) -> _Result:
    """Carry out an operation unless it was carried out before.

    Raises:
        AnsweredBeforeError: it was; the answer comes along.
        IdempotencyKeyReusedError: the key came with another request.
    """
    repeat.bind(user)
    waited = await answers.begin(repeat.id)
    try:
        known = answers.find(repeat.id)
        if known is not None:
            raise replays.refusal(known, repeat.content)
        if waited or repeat.look_first:
            await look(store, repeat)
        result = await _tried(store, answers, repeat, operation)
        if repeat.answer is not None:
            answers.remember(repeat.keeping(repeat.answer))
        return result
    finally:
        answers.end(repeat.id)


async def _tried(
    store: Store, answers: Answers, repeat: Repeat, operation: Callable[[], Awaitable[_Result]]
) -> _Result:
    try:
        return await operation()
    except AnsweredBeforeError as error:  # in another worker; the next time this one knows
        repeat.status = error.status
        answers.remember(repeat.keeping(error.answer))
        raise
    except _NOT_LOOKED_UP:
        raise
    except PrivysealError as error:
        # What was done meanwhile in another worker may be why it cannot be done again. A signature is no such thing,
        # and a body that makes no sense need not cost a query each time.
        if repeat.look_first or not isinstance(error, InvalidRequestError):
            await look(store, repeat)
        raise


async def look(store: Store, repeat: Repeat) -> None:
    """Ask the store for an answer; raises it, as `once` does."""

    def run() -> Kept | None:
        with store.read() as connection:
            return replays.get(connection, repeat.id)

    kept = await asyncio.to_thread(run)
    if kept is not None:
        raise replays.refusal(kept, repeat.content)


async def wait_for_other(store: Store, repeat: Repeat | None) -> None:
    """Wait a little for the answer of the same request in another worker, which has used up what this one wanted.

    It raises the answer, as `once` does, and gives up after a second.
    """
    for _ in range(_LOOKS if repeat is not None else 0):
        assert repeat is not None  # noqa: S101 - the range says so
        await look(store, repeat)
        await asyncio.sleep(_LOOK_SECONDS)


def claim(connection: Connection, repeat: Repeat | None) -> None:
    """Be the only one with this key until the transaction ends; raises as `once` does. Call it before any change.

    A request without a key takes the same locks in the same order: see `events.hold`.
    """
    if repeat is None or not repeat.keeps:
        events.hold(connection)
        return
    kept = replays.claim(connection, repeat.id)
    if kept is not None:
        raise replays.refusal(kept, repeat.content)


def keep(connection: Connection, repeat: Repeat | None, result: object) -> None:
    """Keep the answer that tells of `result`, in the transaction that made it."""
    if repeat is not None and repeat.keeps:
        replays.add(connection, [repeat.kept(result)])


def keep_after(store: Store, repeat: Repeat, answer: bytes) -> None:
    """Keep an answer that nobody kept in its own transaction; if another was first, its answer stays."""
    with store.write() as connection:
        if replays.claim(connection, repeat.id) is None:
            replays.add(connection, [repeat.keeping(answer)])
