"""One scenario, cut off at every call that changes a file: `python -m faults.power_cut SCENARIO DIRECTORY EVERY`.

Runs with `cut.so` preloaded (see `cut.c`). A child process for each cut carries out real operations on a copy of a
prepared data directory, with a real keeper, and says on a pipe what it was answered. What it leaves behind is then
opened as the next start would, and compared with that: nothing lost, nothing half made, nothing forgotten.

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

from sqlalchemy import text

from faults.scenarios import SCENARIOS, Answer, Ask, Remains, Say, Scenario, asker, provision
from privyseal.app import open_appliance
from privyseal.operations.provision import settle
from privyseal.store import events
from privyseal.store.events import Recorded
from privyseal.store.store import Store
from support.keeper import Keeper

_SHIM = ctypes.CDLL(os.environ["LD_PRELOAD"])


def database(folder: Path) -> str:
    """The URL of the database in a folder."""
    return f"sqlite:///{folder / 'privyseal.db'}"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where cuts happen: a scenario, the prepared directory, and the keeper that outlives them all."""

    scenario: Scenario
    base: Path
    keeper: Keeper

    @property
    def prepared(self) -> Path:
        """The directory as it is before each cut."""
        return self.base / "prepared"

    def prepare(self) -> None:
        """Make the directory: an appliance on which the scenario can be played."""
        self.prepared.mkdir()
        store = Store(database(self.prepared))
        store.migrate()
        provision(store)
        store.close()
        _, status = self._in_child(lambda _: self._with_appliance(self.prepared, self.scenario.setup))
        assert status == 0, f"the preparation ended with status {status}"

    def count(self) -> int:
        """Play the scenario to its end; give how many calls changed a file."""
        said, status = self._in_child(lambda say: self._play(self._copy("whole"), 0, say))
        assert status == 0, f"without any cut the scenario ended with status {status}"
        return int(said[-1][1])

    def cut(self, call: int) -> list[str]:
        """Play the scenario until call number `call`; give what is wrong with what it leaves behind."""
        folder = self._copy(f"cut-{call}")
        said, status = self._in_child(lambda say: self._play(folder, call, say))
        if status != -signal.SIGKILL:
            return [f"the cut process ended with status {status}"]
        found = list(self._problems(folder, said))
        shutil.rmtree(folder)
        return found

    def _copy(self, name: str) -> Path:
        return Path(shutil.copytree(self.prepared, self.base / name))

    def _in_child(self, play: Callable[[Say], Awaitable[None]]) -> tuple[list[Answer], int]:
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

    async def _play(self, folder: Path, cut: int, say: Say) -> None:
        async def armed(ask: Ask) -> None:
            _SHIM.cut_arm(ctypes.c_long(cut))
            await self.scenario.play(ask, say)
            say("calls", _SHIM.cut_count())

        await self._with_appliance(folder, armed)

    async def _with_appliance(self, folder: Path, work: Callable[[Ask], Awaitable[None]]) -> None:
        async with open_appliance(database(folder), self.keeper.path) as appliance:
            await work(asker(appliance))

    def _problems(self, folder: Path, said: list[Answer]) -> Iterator[str]:
        """Open what a cut left behind as the next start does, and say what is wrong with it."""
        store = Store(database(folder))
        try:
            settle(store)
            with store.read() as connection:
                if connection.execute(text("PRAGMA integrity_check")).scalar_one() != "ok":
                    yield "the database is damaged"
                recorded = events.page(connection, 0, 100_000)
                yield from _unrecorded(recorded, said)
                remains = Remains(connection, said, [one.event for one in recorded], self.keeper)
                yield from self.scenario.check(remains)
        finally:
            store.close()


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


def main(name: str, directory: Path, every: int) -> dict[str, Any]:
    """Cut a scenario off at every n-th call; give the counts and the problems."""
    with tempfile.TemporaryDirectory(dir=directory) as base:
        keeper = Keeper(Path(base) / "keeper.sock")
        ground = Ground(SCENARIOS[name], Path(base), keeper)
        try:
            ground.prepare()
            cuts = range(1, ground.count() + 1, every)
            found = {cut: ground.cut(cut) for cut in cuts}
        finally:
            keeper.stop()
    return {"cuts": len(cuts), "problems": {cut: those for cut, those in found.items() if those}}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - the test reads it
