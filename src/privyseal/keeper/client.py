"""The way to the keeper: many requests in one frame, one frame on its way at a time.

While a frame waits for its first answer, what arrives queues up and travels in the next one. That is what makes the
hop between the processes cheap under load; alone, a request costs one round trip.
"""

import asyncio
import itertools
import logging
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from privyseal.errors import (
    AccessRefusedError,
    ApplianceLockedError,
    InvalidBackupError,
    InvalidRequestError,
    PINRequiredError,
    PrivysealError,
    TicketInvalidError,
    UnavailableError,
)
from privyseal.model.access import Decision
from privyseal.wire import frames
from privyseal.wire.frames import Answer, Refused, Request

_log = logging.getLogger("privyseal.keeper.client")
_AnswerType = TypeVar("_AnswerType", bound=Answer)
_RECONNECT_SECONDS = 10.0
_ONCE_SECONDS = 10.0
_BEAT_SECONDS = 5.0
_TELL_SECONDS = 0.1
_SILENT_BEATS = 6


class UncountedError(Exception):
    """The keeper wants an attempt to be counted before it tries this PIN."""


class WrongPINError(Exception):
    """The PIN does not fit; the caller counts it before anybody is told."""


class WrongSecretError(Exception):
    """No unlock slot opens with this; the caller counts it before anybody is told."""


class RecordDamagedError(Exception):
    """The sealed record does not open. It may be one from before the domain key was rotated."""


class NoSuccessorError(Exception):
    """The keeper does not hold the domain key that the store speaks of."""


class KeyUnknownError(Exception):
    """The keeper has forgotten this key; send the record along."""


class KeeperClient:
    """One API worker's connection to the keeper; reconnects by itself when the keeper was restarted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._queue: list[tuple[int, Request]] = []
        self._in_flight = False
        self._to_flush = False
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._silent_beats = 0
        self._recorded: defaultdict[str, list[int]] = defaultdict(list)
        self._is_telling = False
        self._is_last = False
        self._change = -1
        self.unlocked = False  # as far as is known here; the keeper tells every change

    @property
    def path(self) -> Path:
        """Where the keeper listens."""
        return self._path

    async def watch(self) -> frames.Status:
        """Learn the state now, and by itself from now on as long as the keeper lives. Raises UnavailableError."""
        return await self.ask(frames.Watch(), frames.Status)

    def _learn(self, answer: Answer) -> None:
        """Learn the state where the answer arrives: later the keeper that gave it may be gone."""
        if isinstance(answer, frames.Status) and answer.change >= self._change:  # else later news has overtaken it
            self._change, self.unlocked = answer.change, answer.unlocked

    async def ask(self, request: Request, expected: type[_AnswerType]) -> _AnswerType:
        """Send a request and wait for its answer; a refusal is raised as the error it means."""
        if self._writer is None:
            await self._connect()
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._queue.append((number, request))
        if not (self._in_flight or self._to_flush):
            self._to_flush = True
            asyncio.get_running_loop().call_soon(self._flush_turn)
        answer = await future
        if isinstance(answer, expected):
            return answer
        raise _error(answer)

    @property
    def waiting(self) -> int:
        """How many requests wait for their answer."""
        return len(self._waiting)

    def expect_no_other(self) -> None:
        """Wait for no other keeper when this one has gone: whoever starts them has ended."""
        self._is_last = True

    def recorded(self, answers: Iterable[tuple[str, int]]) -> None:
        """Let the keeper know that the events of these answers (its run, `first_use`) are durable.

        That travels with the next frame; without one, after a moment.
        """
        for keeper, first_use in answers:
            self._recorded[keeper].append(first_use)
        if not self._is_telling:
            self._is_telling = True
            asyncio.get_running_loop().call_later(_TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._is_telling = False
        if self._recorded:
            self._take_recorded()
            self._flush()

    def _take_recorded(self) -> None:
        self._queue += [(0, frames.Recorded(keeper, tuple(uses))) for keeper, uses in self._recorded.items()]
        self._recorded.clear()

    async def close(self) -> None:
        """Drop the connection; whoever waits gets UnavailableError."""
        if self._reader_task is not None:
            self._reader_task.cancel()
        self._drop()

    def _flush_turn(self) -> None:
        """Send what came in one turn of the event loop in one frame."""
        self._to_flush = False
        self._flush()

    def _flush(self) -> None:
        if self._in_flight or not self._queue or self._writer is None:
            return
        if self._recorded:
            self._take_recorded()
        self._writer.write(frames.encode(self._queue))
        self._queue = []
        self._in_flight = True

    async def _connect(self) -> None:
        async with self._connecting:
            if self._writer is not None:
                return
            reader, self._writer = await self._open()
            self._reader_task = asyncio.create_task(self._read(reader))
            self._silent_beats = 0
            self._beat(self._reader_task)

    def _beat(self, reader_task: asyncio.Task[None]) -> None:
        """Give the connection up after half a minute in which a frame was on its way and the keeper said nothing.

        The keeper acknowledges at once what takes long, so a long key generation is not cut: while somebody waits for
        one, an `Inspect` asks whether the keeper is still there. Beats are counted, not time, so that a worker that
        was itself suspended does not blame the keeper.
        """
        if reader_task.done():
            return
        if self._in_flight:
            self._silent_beats += 1
        elif self._waiting:
            self._probe()
        if self._silent_beats >= _SILENT_BEATS:
            _log.warning("the keeper is silent")
            reader_task.cancel()
            return
        asyncio.get_running_loop().call_later(_BEAT_SECONDS, self._beat, reader_task)

    def _probe(self) -> None:
        number = next(self._numbers)
        nobody: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        nobody.cancel()
        self._waiting[number] = nobody
        self._queue.append((number, frames.Inspect()))
        self._flush()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = asyncio.get_running_loop().time() + _RECONNECT_SECONDS
        while True:
            try:
                return await asyncio.open_unix_connection(str(self._path), limit=frames.MAX_FRAME)
            except OSError as error:
                if self._is_last or asyncio.get_running_loop().time() > deadline:
                    raise UnavailableError("the keeper does not answer; try again") from error
                await asyncio.sleep(0.05)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                answers = frames.answers(await reader.readexactly(length))
                if answers and answers[0][0] == 0:  # news, not an answer
                    self._learn(answers[0][1])
                    continue
                self._in_flight = False
                self._silent_beats = 0
                self._flush()
                for number, answer in answers:
                    self._learn(answer)
                    future = self._waiting.pop(number)
                    if not future.done():  # whoever asked has gone: an HTTP client that hung up
                        future.set_result(answer)
        except (OSError, EOFError, ValueError, KeyError):
            _log.warning("the keeper has gone away")
        finally:
            self._drop()

    def _drop(self) -> None:
        self._change, self.unlocked = -1, False
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        waiting, self._waiting = self._waiting, {}
        self._queue, self._in_flight = [], False
        for future in waiting.values():
            if not future.done():
                future.set_exception(UnavailableError("the keeper went away; try again"))


@asynccontextmanager
async def open_keeper(path: Path) -> AsyncIterator[KeeperClient]:
    """Open a connection for a while."""
    client = KeeperClient(path)
    try:
        yield client
    finally:
        await client.close()


def _error(answer: Answer) -> Exception:
    if not isinstance(answer, Refused):
        return UnavailableError("the keeper gave an answer of the wrong kind")
    make = _ERRORS.get(answer.code)
    return make(answer) if make else UnavailableError(answer.detail)


def _input_error(answer: Refused) -> PrivysealError:
    field = "digest" if answer.index is None else f"digests[{answer.index}]"
    return InvalidRequestError.of(field, answer.detail)


_ERRORS: dict[str, Callable[[Refused], Exception]] = {
    frames.LOCKED: lambda _: ApplianceLockedError("the appliance is locked; unlock it first"),
    frames.UNKNOWN_KEY: lambda _: KeyUnknownError(),
    frames.UNCOUNTED: lambda _: UncountedError(),
    frames.PIN_REQUIRED: lambda answer: PINRequiredError(answer.detail),
    frames.PIN_INCORRECT: lambda _: WrongPINError(),
    frames.TICKET_INVALID: lambda answer: TicketInvalidError(answer.detail),
    frames.POLICY: lambda answer: AccessRefusedError(Decision(allowed=False, reason=answer.detail)),
    frames.INPUT: _input_error,
    frames.WANTED_POLICY: lambda answer: InvalidRequestError.of("policy", answer.detail),
    frames.IMPORT_KEY: lambda answer: InvalidRequestError.of("import_key", answer.detail),
    frames.WRAPPED: lambda answer: InvalidRequestError.of("wrapped", answer.detail),
    frames.PUBLIC_KEY: lambda answer: InvalidRequestError.of("public_key", answer.detail),
    frames.SECRET_INCORRECT: lambda answer: WrongSecretError(answer.detail),
    frames.DAMAGED: lambda answer: RecordDamagedError(answer.detail),
    frames.FOREIGN: lambda answer: InvalidBackupError(answer.detail),
    frames.NO_SUCCESSOR: lambda answer: NoSuccessorError(answer.detail),
}


def ask_once(path: Path, request: Request, expected: type[_AnswerType]) -> _AnswerType:
    """Ask one thing without an event loop, as the supervisor does. Raises as `KeeperClient.ask`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(_ONCE_SECONDS)
            sock.connect(str(path))
            sock.sendall(frames.encode([(1, request)]))
            answer = _receive(sock)
    except (OSError, EOFError) as error:
        raise UnavailableError("the keeper does not answer") from error
    if isinstance(answer, expected):
        return answer
    raise _error(answer)


def _receive(sock: socket.socket) -> Answer:
    with sock.makefile("rb") as stream:
        while True:  # the keeper acknowledges a frame with an empty one when its answer takes longer
            head = stream.read(4)
            if not head:
                raise EOFError
            for _, answer in frames.answers(stream.read(int.from_bytes(head, "big"))):
                return answer
