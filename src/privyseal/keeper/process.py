"""The keeper process: one Unix socket, a thread for each API worker, and threads sized to the cores for slow keys.

It has no network, opens no database and writes no file. It is started by `privyseal serve` with the listening socket
as a file descriptor, and it ends when the supervisor, its parent, is gone.
"""

import logging
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import BinaryIO

from privyseal.keeper.hardening import harden_keeper
from privyseal.keeper.keyring import Keyring, Ready, refusal
from privyseal.keeper.unrecorded import Worker
from privyseal.telemetry.logs import set_up
from privyseal.wire import frames
from privyseal.wire.frames import Answer, Recorded, Request, Sign

Signed = Callable[[Ready, Sequence[bytes]], Answer]
_log = logging.getLogger("privyseal.keeper")
_SLOW_THREADS = 4  # generation and Argon2id: they wait for each other rather than for signatures


class Pools:
    """Threads: as many as cores for signatures, a few more for work that takes long."""

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self.cores = cores
        self.signing = ThreadPoolExecutor(cores, "sign")
        self.slow = ThreadPoolExecutor(_SLOW_THREADS, "slow")


class Watchers:
    """The connections that want to hear of every change of the state."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()

    def add(self, connection: "Connection") -> None:
        """Tell this one from now on."""
        with self._lock:
            self._connections.add(connection)

    def remove(self, connection: "Connection") -> None:
        """Tell this one no more."""
        with self._lock:
            self._connections.discard(connection)

    def tell(self, status: Answer) -> None:
        """Tell all, with the number that belongs to no request."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.send([(0, status)])


class Connection:
    """One API worker's connection. Frames are read by one thread; answers may be written by any."""

    def __init__(self, sock: socket.socket, keyring: Keyring, pools: Pools, watchers: Watchers, worker: Worker) -> None:
        self._watchers = watchers
        self._worker = worker
        self._sock = sock
        self._keyring = keyring
        self._pools = pools
        self._writing = threading.Lock()

    def serve(self) -> None:
        """Answer frames until the worker goes away or talks nonsense."""
        try:
            self._serve()
        finally:
            self._watchers.remove(self)

    def _serve(self) -> None:
        with self._sock:
            stream = self._sock.makefile("rb")
            while body := _read_frame(stream):
                try:
                    messages = frames.requests(body)
                except ValueError:  # msgspec.DecodeError, and UnicodeDecodeError for a text that is none
                    _log.warning("a worker sent a broken frame; its connection is closed")
                    return
                self._answer(messages)

    def _answer(self, messages: list[tuple[int, Request]]) -> None:
        quick: list[tuple[int, Answer]] = []
        for number, request in messages:
            if self._keyring.is_quick(request):
                quick.append((number, self._keyring.handle(request, self._worker)))
            elif isinstance(request, Recorded):
                self._keyring.recorded(request)
            else:
                self._start(number, request)
        self.send(quick)

    def _start(self, number: int, request: Request) -> None:
        pool = (
            self._pools.signing
            if isinstance(request, Sign | frames.Apply) and not _stretches(request)
            else self._pools.slow
        )
        pool.submit(self._handle, number, request)

    def _handle(self, number: int, request: Request) -> None:
        if isinstance(request, Sign) and len(request.inputs) > 1:
            self._start_batch(number, request)
        else:
            self.send([(number, self._managed(request))])

    def _managed(self, request: Request) -> Answer:
        """Carry out a request; whoever watches hears of a change of the state before the answer leaves."""
        if isinstance(request, frames.Watch):
            self._watchers.add(self)
        before = self._keyring.custody.change
        answer = self._keyring.handle(request, self._worker)
        if self._keyring.custody.change != before:
            self._watchers.tell(self._keyring.inspect())
        return answer

    def _start_batch(self, number: int, request: Sign) -> None:
        try:
            ready = self._keyring.ready(request)
        except Exception as error:  # noqa: BLE001 - it becomes a refusal without detail
            self.send([(number, refusal(error))])
        else:
            by = (request.user, self._worker)
            count = partial(self._keyring.signed, by=by)
            Batch(ready, self._pools, count, lambda answer: self.send([(number, answer)])).start()

    def send(self, messages: list[tuple[int, Answer]]) -> None:
        """Send answers in one frame."""
        data = frames.encode(messages)
        try:
            with self._writing:
                self._sock.sendall(data)
        except OSError:
            if messages:  # whoever has its answer may be gone when the frame is acknowledged
                _log.warning("a worker went away before its answer")


def _read_frame(stream: BinaryIO) -> bytes:
    """Read one frame; nothing when the worker has gone or the frame is too long."""
    try:
        length = int.from_bytes(stream.read(4), "big")
        return stream.read(length) if length <= frames.MAX_FRAME else b""
    except OSError:
        return b""


class Batch:
    """Many signatures with one key, spread over the signing threads; the last run to end sends the answer."""

    def __init__(self, ready: Ready, pools: Pools, signed: Signed, answer: Callable[[Answer], None]) -> None:
        self._ready = ready
        self._signed = signed
        self._pools = pools
        self._send = answer
        self._lock = threading.Lock()
        self._runs: list[Future[list[bytes]]] = []

    def start(self) -> None:
        """Cut the inputs into one run for each core."""
        count, cores = len(self._ready.inputs), self._pools.cores
        bounds = [(count * part // cores, count * (part + 1) // cores) for part in range(cores)]
        self._left = len(bounds)
        self._runs = [self._pools.signing.submit(self._ready, first, last) for first, last in bounds]
        for run in self._runs:
            run.add_done_callback(self._ended)

    def _ended(self, _: Future[list[bytes]]) -> None:
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._send(self._answer())

    def _answer(self) -> Answer:
        try:
            return self._signed(self._ready, [signature for run in self._runs for signature in run.result()])
        except Exception as error:  # noqa: BLE001 - it becomes a refusal without detail
            return refusal(error)


def _stretches(request: Sign | frames.Apply) -> bool:
    return isinstance(request.proof, frames.PINProof) and request.proof.counted


def _peer(sock: socket.socket) -> int | None:
    """Give the process at the other end, None when it does not run as the same user (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid) if uid == os.geteuid() else None


def serve(listener: socket.socket, keyring: Keyring) -> None:
    """Accept workers until the listening socket is closed."""
    pools, watchers = Pools(), Watchers()
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        pid = _peer(sock)
        if pid is None:
            _log.warning("refused a connection from another user")
            sock.close()
            continue
        connection = Connection(sock, keyring, pools, watchers, Worker(pid))
        threading.Thread(target=connection.serve, daemon=True).start()


def _end_with_parent() -> None:
    """Watch standard input, which the supervisor holds open and never writes: its end is ours."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the keeper on the listening socket whose file descriptor is the first argument."""
    set_up(sys.argv[2] if len(sys.argv) > 2 else None, "keeper")  # noqa: PLR2004 - the second argument
    listener = socket.socket(fileno=int(sys.argv[1]))
    keyring = Keyring(harden_keeper())  # before the first thread: it holds for the calling thread and its children
    _end_with_parent()
    serve(listener, keyring)


if __name__ == "__main__":
    main()
