"""The keeper as a process, on a real socket: frames, batches, restarts and nonsense."""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from privyseal.errors import ApplianceLockedError, InvalidRequestError, UnavailableError
from privyseal.keeper import process, sealing
from privyseal.keeper.client import (
    KeeperClient,
    KeyUnknownError,
    NoSuccessorError,
    WrongSecretError,
    ask_once,
    open_keeper,
)
from privyseal.keeper.keyring import Keyring
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.wire import frames, primitives
from support.keeper import SECRET, Keeper
from support.waiting import wait_until

DIGESTS = tuple(hashlib.sha256(bytes([number])).digest() for number in range(200))
SCHEME = Scheme(Mechanism.ECDSA, Hash.SHA_256)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test that nothing may keep for longer than half a minute."""
    asyncio.run(asyncio.wait_for(work, 120))


@contextlib.asynccontextmanager
async def client(path: Path) -> AsyncIterator[KeeperClient]:
    """An API worker's connection."""
    opened = KeeperClient(path)
    yield opened
    await opened.close()


@contextlib.asynccontextmanager
async def relay(keeper: Path, counted: list[int]) -> AsyncIterator[Path]:
    """A socket in front of the keeper's, which passes everything on and counts the requests of each frame."""
    ended = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_unix_connection(str(keeper))
        back = asyncio.create_task(_copy(answers, writer))
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(head, "big"))
                counted.append(len(frames.requests(body)))
                requests.write(head + body)
        for one in (requests, writer):
            one.close()
            await one.wait_closed()
        await back
        ended.set()

    path = keeper.with_name("relay.sock")
    async with await asyncio.start_unix_server(connected, path):
        yield path
        await ended.wait()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)


def generated(keeper: Keeper, key_type: str = "ec:P-256") -> tuple[frames.Sign, primitives.PublicKey]:
    """Make a key without a PIN: the request that signs with it, and its public half."""
    made = ask_once(keeper.path, frames.Generate("a" * 16, 1, key_type, None, b""), frames.Generated)
    seal, mechanism = sealing.name(made.record), "ECDSA" if key_type.startswith("ec") else "RSA-PKCS1"
    request = frames.Sign(seal, "alice", 1, mechanism, "SHA-256", None, None, "der", DIGESTS[:1], None, made.record)
    return request, primitives.load_public(made.public_key)


def test_concurrent_requests_share_frames(keeper: Keeper) -> None:
    """What is asked while a frame is on its way travels together: 200 requests in a handful of frames."""
    request, public = generated(keeper)
    counted: list[int] = []

    async def work() -> None:
        async with relay(keeper.path, counted) as path, client(path) as opened:
            asks = [opened.ask(replace(request, inputs=(digest,)), frames.Signatures) for digest in DIGESTS]
            for digest, answer in zip(DIGESTS, await asyncio.gather(*asks), strict=True):
                primitives.verify(public, SCHEME, digest, answer.values[0])

    run(work())
    assert sum(counted) == 200
    assert len(counted) <= 10


def test_quick_answers_overtake_slow_ones(keeper: Keeper) -> None:
    """A signature does not wait for an RSA key that is being made on the same connection."""
    request, _ = generated(keeper)

    async def work() -> None:
        async with client(keeper.path) as opened:
            await opened.ask(request, frames.Signatures)
            slow = asyncio.create_task(
                opened.ask(frames.Generate("b" * 16, 1, "rsa:4096", None, b""), frames.Generated)
            )
            await asyncio.sleep(0)
            await opened.ask(request, frames.Signatures)
            assert not slow.done()
            await slow

    run(work())


@pytest.mark.parametrize("key_type", ["ec:P-384", "rsa:2048", "ec:P-256"])
def test_a_batch_comes_back_in_order(keeper: Keeper, key_type: str) -> None:
    """Spread over threads, each signature still belongs to its digest; one bad input is named by its index."""
    request, public = generated(keeper, key_type)
    answer = ask_once(keeper.path, replace(request, inputs=DIGESTS), frames.Signatures)
    scheme = Scheme(Mechanism(request.mechanism), Hash.SHA_256)
    for digest, signature in zip(DIGESTS, answer.values, strict=True):
        primitives.verify(public, scheme, digest, signature)
    bad = replace(request, inputs=(*DIGESTS[:150], b"short"))
    with pytest.raises(InvalidRequestError) as error:
        ask_once(keeper.path, bad, frames.Signatures)
    assert error.value.errors[0].field == "body.digests[150]"


def test_a_killed_keeper_fails_who_waits_and_serves_who_comes_later(keeper: Keeper) -> None:
    """No request hangs: it fails at once, and the same client works again with the next keeper."""
    request, _ = generated(keeper)

    async def work() -> None:
        async with client(keeper.path) as opened:
            await opened.ask(request, frames.Signatures)
            waits = asyncio.create_task(
                opened.ask(frames.Generate("b" * 16, 1, "rsa:8192", None, b""), frames.Generated)
            )
            await asyncio.sleep(0.1)
            keeper.kill()
            with pytest.raises(UnavailableError):
                await waits
            keeper.restart()
            with pytest.raises(KeyUnknownError):
                await opened.ask(replace(request, record=None), frames.Signatures)
            await opened.ask(request, frames.Signatures)

    run(work())


@pytest.mark.parametrize("waits_for", ["signature", "key"])
def test_a_stopped_keeper_does_not_keep_anybody_waiting(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, waits_for: str
) -> None:
    """A keeper that is stopped but not dead fails who waits, also for a key that it had begun to make."""
    request, _ = generated(keeper)
    monkeypatch.setattr("privyseal.keeper.client._BEAT_SECONDS", 0.2)

    async def work() -> None:
        async with client(keeper.path) as opened:
            await opened.ask(request, frames.Signatures)
            asked = frames.Generate("b" * 16, 1, "rsa:8192", None, b"")
            makes = asyncio.create_task(opened.ask(asked, frames.Generated)) if waits_for == "key" else None
            await asyncio.sleep(0)
            await opened.ask(frames.Inspect(), frames.Status)  # behind the other: the keeper has begun with it
            keeper.process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(os.waitid, os.P_PID, keeper.process.pid, os.WSTOPPED)  # the signal has arrived
            try:
                with pytest.raises(UnavailableError):
                    await (makes or opened.ask(request, frames.Signatures))
            finally:
                keeper.process.send_signal(signal.SIGCONT)
            assert await opened.ask(request, frames.Signatures)

    run(work())


def test_a_slow_answer_is_not_cut(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key generation outlasts many beats as long as the keeper answers in between."""
    generated(keeper)
    monkeypatch.setattr("privyseal.keeper.client._BEAT_SECONDS", 0.1)

    async def work() -> None:
        async with client(keeper.path) as opened:
            asked = frames.Generate("b" * 16, 1, "rsa:4096", None, b"")
            assert await opened.ask(asked, frames.Generated)

    run(work())


def test_who_asks_while_there_is_no_keeper_waits_for_the_next(keeper: Keeper) -> None:
    """The socket stays with the supervisor, so that a restart costs a moment and no error."""
    request, _ = generated(keeper)
    keeper.kill()

    async def work() -> None:
        async with client(keeper.path) as opened:
            asked = asyncio.create_task(opened.ask(request, frames.Signatures))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(keeper.restart)
            with contextlib.suppress(ApplianceLockedError):  # it may have been asked before it was unlocked
                await asked
            await opened.ask(request, frames.Signatures)

    run(work())


def test_who_stops_waiting_disturbs_nobody(keeper: Keeper) -> None:
    """An HTTP client that hangs up leaves an answer that nobody takes."""
    request, _ = generated(keeper)

    async def work() -> None:
        async with client(keeper.path) as opened:
            await opened.ask(request, frames.Signatures)  # what is cancelled before there is a connection is never sent
            gone = asyncio.create_task(opened.ask(request, frames.Signatures))
            await asyncio.sleep(0)
            assert opened._waiting
            gone.cancel()
            assert await opened.ask(request, frames.Signatures)

    run(work())


def test_no_socket_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its patience the client says that the keeper does not answer."""
    monkeypatch.setattr("privyseal.keeper.client._RECONNECT_SECONDS", 0.1)

    async def work() -> None:
        async with client(tmp_path / "nothing") as opened:
            with pytest.raises(UnavailableError):
                await opened.ask(frames.Inspect(), frames.Status)

    run(work())
    with pytest.raises(UnavailableError):
        ask_once(tmp_path / "nothing", frames.Inspect(), frames.Status)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\0\0\0\4abcd",
        b"\0\0\0\1\xc1",
        frames.encode([(1, frames.Done())]),  # an answer is no request
        (frames.MAX_FRAME + 1).to_bytes(4, "big"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0",
    ],
)
def test_nonsense_closes_its_connection_and_no_other(keeper: Keeper, nonsense: bytes) -> None:
    """The keeper hangs up without a word, and goes on serving."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(str(keeper.path))
        sock.sendall(nonsense)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
    assert ask_once(keeper.path, frames.Inspect(), frames.Status).unlocked


def test_the_keeper_says_what_it_gave_up(keeper: Keeper) -> None:
    """Every protection that this machine allows; the two that every Linux allows are in force."""
    hardening = ask_once(keeper.path, frames.Inspect(), frames.Status).hardening
    assert set(hardening) == {
        "no_core_dump", "memory_locked", "no_capabilities", "no_new_privileges", "no_network_no_programs",
    }  # fmt: skip
    assert hardening["no_core_dump"]
    assert hardening["no_new_privileges"]


def test_a_filtered_process_reaches_nothing_new() -> None:
    """Each forbidden call fails with EPERM; the sockets that are open go on working."""
    program = """
import ctypes, os, socket
from privyseal.keeper.hardening import forbid_network_and_programs, deny_new_privileges
ours, theirs = socket.socketpair(socket.AF_UNIX)
assert deny_new_privileges() and forbid_network_and_programs()
refused = 0
for what in (socket.socket, lambda: os.execv("/bin/true", ["true"]),
             lambda: ours.connect("/nothing"), lambda: ours.bind("/nothing")):
    try:
        what()
    except PermissionError:
        refused += 1
libc = ctypes.CDLL(None, use_errno=True)
assert libc.ptrace(0, 0, 0, 0) == -1 and ctypes.get_errno() == 1
ours.sendall(b"x")
assert theirs.recv(1) == b"x"
raise SystemExit(refused)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr


def test_a_curve_key_signs_raw_too(keeper: Keeper) -> None:
    """Signatures are r and s as PKCS #11 wants them, verified by plain `cryptography`."""
    request, public = generated(keeper)
    raw = ask_once(keeper.path, replace(request, encoding="raw"), frames.Signatures).values[0]
    assert len(raw) == 64
    assert isinstance(public, ec.EllipticCurvePublicKey)
    primitives.verify(public, SCHEME, DIGESTS[0], primitives.ecdsa_der(raw, 256))


async def knows(watching: KeeperClient, *, unlocked: bool) -> None:
    """Wait until a worker has heard of it."""
    while watching.unlocked is not unlocked:  # noqa: ASYNC110 - the client has nothing to wait for
        await asyncio.sleep(0.01)


def test_a_worker_that_watches_knows_every_change(keeper: Keeper) -> None:
    """It is told before whoever changed it gets the answer, and knows nothing any more when the keeper has died."""

    async def work() -> None:
        async with client(keeper.path) as watching, client(keeper.path) as other:
            assert not watching.unlocked
            assert (await watching.watch()).unlocked
            assert watching.unlocked
            await other.ask(frames.Lock(), frames.Done)
            await knows(watching, unlocked=False)
            with pytest.raises(WrongSecretError):
                await other.ask(frames.Open((keeper.slot.sealed,), "key-file", b"no", ()), frames.Opening)
            assert not watching.unlocked
            await other.ask(frames.Open((keeper.slot.sealed,), "key-file", SECRET, ()), frames.Opening)
            await knows(watching, unlocked=True)
            with pytest.raises(NoSuccessorError):
                await other.ask(frames.Adopt("none"), frames.Done)
            await asyncio.to_thread(keeper.kill)
            await knows(watching, unlocked=False)
            await asyncio.to_thread(keeper.restart)
            assert (await watching.watch()).unlocked

    run(work())


def test_older_news_does_not_undo_newer(keeper: Keeper) -> None:
    """An answer that was overtaken on its way says nothing."""
    opened = KeeperClient(keeper.path)
    opened._learn(frames.Status(unlocked=True, hardening={}, change=5))
    opened._learn(frames.Status(unlocked=False, hardening={}, change=4))
    opened._learn(frames.Done())
    assert opened.unlocked
    assert opened.path == keeper.path


def test_what_waits_is_counted_and_a_connection_can_be_opened_for_a_while(keeper: Keeper) -> None:
    """Nothing waits once the answer is there; what is of no use as an answer is an error."""

    async def work() -> None:
        async with open_keeper(keeper.path) as opened:
            await opened.ask(frames.Inspect(), frames.Status)
            assert opened.waiting == 0
            with pytest.raises(UnavailableError, match="wrong kind"):
                await opened.ask(frames.Inspect(), frames.Slot)

    run(work())


def test_a_keeper_that_hangs_up_is_unavailable() -> None:
    """Whoever asks one thing hears of it."""
    with tempfile.TemporaryDirectory(prefix="keeper-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "keeper.sock"
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            accepted, _ = listener.accept()
            accepted.recv(65536)  # else the kernel resets the connection, which is another error
            accepted.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnavailableError, match="does not answer"):
            ask_once(path, frames.Inspect(), frames.Status)
        thread.join()


def test_a_connection_that_has_ended_is_watched_no_more(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next beat finds out and is the last one."""
    monkeypatch.setattr("privyseal.keeper.client._BEAT_SECONDS", 0.01)

    async def work() -> None:
        opened = KeeperClient(keeper.path)
        await opened.ask(frames.Inspect(), frames.Status)
        await opened.close()
        await asyncio.sleep(0.1)
        running = asyncio.get_running_loop()
        assert not [timer for timer in getattr(running, "_scheduled", []) if "_beat" in repr(timer)]

    run(work())


def test_a_batch_that_is_refused_before_it_begins(keeper: Keeper) -> None:
    """For a key that the keeper does not know, one answer stands for all inputs."""
    request, _ = generated(keeper)
    several = replace(request, inputs=DIGESTS[:3], record=None, seal=b"\0" * 32)
    with pytest.raises(KeyUnknownError):
        ask_once(keeper.path, several, frames.Signatures)


def test_who_watches_hears_of_every_change(keeper: Keeper) -> None:
    """Also when somebody else made it."""

    async def work() -> None:
        async with open_keeper(keeper.path) as watching, open_keeper(keeper.path) as other:
            await watching.watch()
            assert watching.unlocked
            await other.ask(frames.Lock(), frames.Done)
            await asyncio.to_thread(wait_until, lambda: not watching.unlocked, seconds=30)

    run(work())


def test_other_users_are_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here without a process around it, because a test has one user; it ends when the listening socket does."""
    with tempfile.TemporaryDirectory(prefix="keeper-") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/keeper.sock")
        listener.listen()
        serving = threading.Thread(target=process.serve, args=(listener, Keyring({})))
        serving.start()
        with monkeypatch.context() as patch, socket.socket(socket.AF_UNIX) as client:
            patch.setattr(process.os, "geteuid", lambda: 4_000_000)
            client.connect(f"{folder}/keeper.sock")
            assert client.recv(1) == b""
        listener.shutdown(socket.SHUT_RDWR)
        serving.join(30)
        assert not serving.is_alive()


def test_no_keeper_comes_back_without_a_supervisor(keeper: Keeper) -> None:
    """A worker that has to end answers at once, instead of waiting for a keeper that nobody starts."""

    async def work() -> None:
        async with client(keeper.path) as opened:
            await opened.watch()
            keeper.kill()
            keeper._listener.close()
            opened.expect_no_other()
            with pytest.raises(UnavailableError):
                await opened.ask(frames.Inspect(), frames.Status)
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(opened.ask(frames.Inspect(), frames.Status), 60)

    run(work())


def test_who_goes_away_with_his_answer_is_no_news(keyring: Keyring, caplog: pytest.LogCaptureFixture) -> None:
    """The acknowledgement of a frame may come behind the answer, when nobody reads any more; a lost answer is told."""
    here, there = socket.socketpair()
    with here:
        there.close()
        connection = process.Connection(here, keyring, process.Pools(), process.Watchers(), process.Worker(os.getpid()))
        connection.send([])
        assert caplog.text == ""
        connection.send([(1, frames.Done())])
        assert "went away before its answer" in caplog.text


def test_it_ends_with_its_supervisor(keeper: Keeper) -> None:
    """Also when that is killed and can tell it nothing: the keeper watches a pipe that ends then."""
    assert keeper.process.stdin is not None
    keeper.process.stdin.close()
    assert keeper.process.wait(60) == 0
    keeper.restart()
