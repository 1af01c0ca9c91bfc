"""One scenario, cut off at every call that changes a file: `python -m faults.power_cut SCENARIO DIRECTORY MOST`.

Runs with `shim("cut")` preloaded. A child process for each cut carries out real operations on a copy of a
prepared data directory, with a real keeper, and says on a pipe what it was answered. What it leaves behind is then
opened as the next start would, with the keeper of that start, and compared with that: nothing lost, nothing half made,
nothing forgotten, and a record that verifies against a checkpoint from before.

The process is killed and the machine is not: what the kernel has of a file stays, also where no fsync(2) has confirmed
it. So this shows that every state between two calls is a good one, not that the disk is told to keep it. That commits
wait for the disk is what tests/unit/store/test_store.py asserts of the database's settings.

To spare a start of Python at each cut, the keepers live on: locking makes one forget all that a new one would not know.
Only its count of signatures goes on, and for that the next start has another keeper.

Prints a JSON object: how many cuts were made, and what was wrong after each.
"""

import asyncio
import ctypes
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import text

from faults.scenarios import SCENARIOS, Answer, Ask, Remains, Say, Scenario, asker, provision, unlock
from privyseal.app import open_appliance
from privyseal.audit.verify import EXPORT_FORMAT, Header, verify_export
from privyseal.keeper.client import open_keeper
from privyseal.operations import rotate_domain_key
from privyseal.operations.provision import settle
from privyseal.operations.take_checkpoint import Taken, take_checkpoint
from privyseal.store import events
from privyseal.store.events import Recorded
from privyseal.store.store import Store
from support.keeper import Keeper

SHIM = ctypes.CDLL(os.environ["LD_PRELOAD"])


def database(folder: Path) -> str:
    """The URL of the database in a folder."""
    return f"sqlite:///{folder / 'privyseal.db'}"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where cuts happen: a scenario, the prepared directory, the keeper that is cut off, and that of the next start."""

    scenario: Scenario
    base: Path
    keeper: Keeper
    following: Keeper

    @property
    def prepared(self) -> Path:
        """The directory as it is before each cut."""
        return self.base / "prepared"

    def prepare(self) -> None:
        """Make the directory: an appliance on which the scenario can be played."""
        self.prepared.mkdir()
        store = Store(database(self.prepared))
        store.migrate()
        provision(store, self.keeper.slot.sealed)
        _, status = self.in_child(lambda _: self.with_appliance(self.prepared, self.keeper, self.scenario.setup))
        assert status == 0, f"the preparation ended with status {status}"
        (self.base / "kept").write_text(asyncio.run(_checkpoint(store, self.keeper)).note)
        store.close()

    def count(self) -> int:
        """Play the scenario to its end; give how many calls changed a file."""
        self.unlock_again([self.keeper.slot.sealed])
        said, status = self.in_child(lambda say: self.play(self.copy("whole"), 0, say))
        assert status == 0, f"without any cut the scenario ended with status {status}"
        return int(said[-1][1])

    def cut(self, call: int) -> list[str]:
        """Play the scenario until call number `call`; give what is wrong with what it leaves behind."""
        self.unlock_again([self.keeper.slot.sealed])
        folder = self.copy(f"cut-{call}")
        said, status = self.in_child(lambda say: self.play(folder, call, say))
        if status != -signal.SIGKILL:
            return [f"the cut process ended with status {status}"]
        found = list(self.problems(folder, said))
        shutil.rmtree(folder)
        return found

    def unlock_again(self, with_slots: list[bytes]) -> None:
        """Let the keeper have the domain key of these slots, where a scenario changes it; PINs take time to learn."""
        if self.scenario.finish is not None:
            unlock(self.keeper, with_slots)

    def copy(self, name: str) -> Path:
        """Make a directory in which the scenario can be played once."""
        return Path(shutil.copytree(self.prepared, self.base / name))

    def in_child(self, play: Callable[[Say], Awaitable[None]]) -> tuple[list[Answer], int]:
        """Fork, and carry something out in the child; give what it said and how it ended."""
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(read_end)
                asyncio.run(_awaited(play(lambda *answer: _write(write_end, answer))))
                status = 0
            except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(write_end)
        with os.fdopen(read_end) as lines:
            said = [json.loads(line) for line in lines if line.endswith("\n")]
        return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def play(self, folder: Path, cut: int, say: Say) -> None:
        """Play the scenario until a call, to its end with 0; say what was answered, and how many calls there were."""

        async def armed(ask: Ask) -> None:
            SHIM.cut_arm(ctypes.c_long(cut))
            await self.scenario.play(ask, say)
            say("calls", SHIM.cut_count())

        await self.with_appliance(folder, self.keeper, armed)

    async def with_appliance(self, folder: Path, keeper: Keeper, work: Callable[[Ask], Awaitable[None]]) -> None:
        """Open what is in a directory, as a worker does, and make requests."""
        async with open_appliance(database(folder), keeper.path) as appliance:
            await work(asker(appliance))

    def problems(self, folder: Path, said: list[Answer]) -> Iterator[str]:
        """Open what a cut left behind as the next start does, and say what is wrong with it."""
        store = Store(database(folder))
        try:
            settle(store)
            unlock(self.following, Remains.slots(store))
            if self.scenario.finish is not None:
                asyncio.run(self.with_appliance(folder, self.following, self.scenario.finish(store)))
            yield from self.unverified(store)
            self.unlock_again(Remains.slots(store))
            with store.read() as connection:
                if connection.execute(text("PRAGMA integrity_check")).scalar_one() != "ok":
                    yield "the database is damaged"
                recorded = events.page(connection, 0, 100_000)
                yield from _unrecorded(recorded, said)
                remains = Remains(connection, said, [one.event for one in recorded], self.keeper)
                yield from self.scenario.check(remains)
        finally:
            store.close()

    def unverified(self, store: Store) -> list[str]:
        """What `audit verify` finds in an export of the next start, which stays in the directory."""
        taken = asyncio.run(_checkpoint(store, self.following))
        with store.read() as connection:
            leaves = events.leaves(connection, 1, taken.size)
        lines = [msgspec.json.encode(Header(EXPORT_FORMAT, str(taken.key), taken.note)), *leaves]
        (self.base / "export").write_bytes(b"\n".join([*lines, b""]))
        (self.base / "key").write_text(str(taken.key))
        report = verify_export(lines, taken.key, [(self.base / "kept").read_text()])
        return [] if report.kept == 1 and not report.findings else ["the record does not verify", *report.findings]


async def _checkpoint(store: Store, keeper: Keeper) -> Taken:
    async with open_keeper(keeper.path) as client:
        return await take_checkpoint(store, client)


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _write(pipe: int, answer: tuple[Any, ...]) -> None:
    os.write(pipe, json.dumps(answer).encode() + b"\n")


def _unrecorded(recorded: list[Recorded], said: list[Answer]) -> Iterator[str]:
    """Signatures that a client has and the record has not."""
    if [one.number for one in recorded] != list(range(1, len(recorded) + 1)):
        yield "the numbers of the events have a gap"
    inputs = {one.number: one.event.input for one in recorded}
    for _, number, digest in (answer for answer in said if answer[0] == "signed"):
        if inputs.get(number) != hashlib.sha256(bytes.fromhex(digest)).hexdigest():
            yield f"the event {number} of a signature is missing"


def main(name: str, directory: Path, most: int) -> dict[str, Any]:
    """Cut a scenario off at each call, or at so many of them; the last export stays in the directory."""
    rotate_domain_key._POLL_SECONDS = 0.01  # a second at each cut would be a minute in all
    kind = Ground
    if name == "restoring":
        from faults.restore_cut import RestoreGround  # noqa: PLC0415 - it builds upon this file

        kind = RestoreGround
    with tempfile.TemporaryDirectory() as sockets:  # unix(7): a path has at most 108 bytes
        keeper, following = (Keeper(Path(sockets) / socket) for socket in ("keeper", "following"))
        ground = kind(SCENARIOS[name], directory, keeper, following)
        try:
            ground.prepare()
            count = ground.count()
            cuts = range(1, count + 1, -(-count // most))
            found = {cut: ground.cut(cut) for cut in cuts}
        finally:
            keeper.stop()
            following.stop()
    return {"cuts": len(cuts), "problems": {cut: those for cut, those in found.items() if those}}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - the test reads it
