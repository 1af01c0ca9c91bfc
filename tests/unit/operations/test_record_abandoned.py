"""A worker is killed with signatures in hand: they are recorded as withheld, once, whoever does it."""

import asyncio
import hashlib
import subprocess
import sys

import pytest

from privyseal.keeper import sealing
from privyseal.keeper.client import KeeperClient, ask_once, open_keeper
from privyseal.operations.record_abandoned import record_abandoned
from privyseal.operations.take_checkpoint import take_checkpoint
from privyseal.store import events
from privyseal.store.store import Store
from privyseal.wire import frames
from privyseal.wire.notes import open_checkpoint
from support.keeper import Keeper

DIGESTS = tuple(hashlib.sha256(bytes([number])).digest() for number in range(3))
WORKER = """
import sys, pathlib, time
from privyseal.keeper.client import ask_once
from privyseal.wire import frames
request = frames.requests(sys.stdin.buffer.read())[0][1]
print(ask_once(pathlib.Path(sys.argv[1]), request, frames.Signatures).first_use, flush=True)
"""


def request_of(keeper: Keeper) -> frames.Sign:
    """A request to sign three digests with a new key."""
    made = ask_once(keeper.path, frames.Generate("a" * 16, 1, "ec:P-256", None, b""), frames.Generated)
    seal = sealing.name(made.record)
    return frames.Sign(seal, "alice", 1, "ECDSA", "SHA-256", None, None, "der", DIGESTS, None, made.record)


def signed_by_a_worker_that_ends(keeper: Keeper, request: frames.Sign) -> int:
    """A process asks for signatures and ends with them in hand; gives the number of the first."""
    words = [sys.executable, "-c", WORKER, str(keeper.path)]
    done = subprocess.run(words, input=frames.encode([(1, request)])[4:], capture_output=True, check=True)
    return int(done.stdout)


def recorded(store: Store) -> list[tuple[str, str, str | None, int | None]]:
    """Who did what with which outcome, and its number."""
    with store.read() as connection:
        return [
            (found.event.user, found.event.outcome.value, found.event.input, found.event.use)
            for found in events.page(connection, 0, 100)
            if found.event.use is not None
        ]


WITHHELD = [
    ("alice", "withheld", hashlib.sha256(digest).hexdigest(), number) for number, digest in enumerate(DIGESTS, 1)
]


def test_what_a_worker_had_in_hand_is_recorded_once(store: Store, keeper: Keeper) -> None:
    """By two others at once; with user, key and inputs as the signature was made."""
    assert signed_by_a_worker_that_ends(keeper, request_of(keeper)) == 1

    async def work() -> None:
        async with open_keeper(keeper.path) as one, open_keeper(keeper.path) as other:
            await asyncio.gather(*(record_abandoned(store, client) for client in (one, other)))
            while (await one.ask(frames.ListUnrecorded(), frames.Unrecorded)).abandoned:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)  # the keeper hears of it with the next frame, or after a moment

    asyncio.run(asyncio.wait_for(work(), 30))
    assert recorded(store) == WITHHELD


def test_a_checkpoint_counts_what_is_on_record(store: Store, keeper: Keeper) -> None:
    """Also right after a worker was killed: its signatures are recorded before the record's length is read."""
    signed_by_a_worker_that_ends(keeper, request_of(keeper))

    async def work() -> None:
        async with open_keeper(keeper.path) as client:
            taken = await take_checkpoint(store, client)
        checkpoint = open_checkpoint(taken.note, taken.key)
        assert (checkpoint.uses.count, len(recorded(store))) == (3, 3)

    asyncio.run(work())


def test_a_checkpoint_waits_for_a_worker_that_lives(
    store: Store, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has recorded what it has; not for ever."""
    request = request_of(keeper)

    async def work() -> None:
        async with open_keeper(keeper.path) as worker, open_keeper(keeper.path) as client:
            answer = await worker.ask(request, frames.Signatures)
            monkeypatch.setattr("privyseal.operations.take_checkpoint._PATIENCE_SECONDS", 60)
            waiting = asyncio.create_task(take_checkpoint(store, client))
            done, _ = await asyncio.wait([waiting], timeout=1)
            assert not done
            tell(worker, answer)
            await asyncio.wait_for(waiting, 30)
            await worker.ask(request, frames.Signatures)
            monkeypatch.setattr("privyseal.operations.take_checkpoint._PATIENCE_SECONDS", 0.2)
            await take_checkpoint(store, client)

    asyncio.run(work())
    assert recorded(store) == []


def tell(worker: KeeperClient, answer: frames.Signatures) -> None:
    """The worker says that it has recorded an answer, and something of another keeper."""
    worker.recorded([(answer.keeper, answer.first_use), ("00" * 8, 1)])


def test_what_is_recorded_is_told_with_the_next_frame(keeper: Keeper) -> None:
    """Without waiting, so that it costs no frame of its own; numbers of another keeper are passed over."""
    request = request_of(keeper)

    async def work() -> None:
        async with open_keeper(keeper.path) as worker:
            first = await worker.ask(request, frames.Signatures)
            second = await worker.ask(request, frames.Signatures)
            worker.recorded([("00" * 8, second.first_use)])
            tell(worker, first)
            await worker.ask(frames.Inspect(), frames.Status)
            answer = await worker.ask(frames.ListUnrecorded(100), frames.Unrecorded)
            assert answer.waiting == 1

    asyncio.run(work())
