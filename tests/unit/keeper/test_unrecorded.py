"""What the keeper holds of signatures whose events may not be durable: who has them, how long, and how many."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from privyseal.keeper import unrecorded
from privyseal.keeper.unrecorded import LOST_SECONDS, Unrecorded, Worker
from privyseal.wire.frames import Made
from support.waiting import wait_until


def made(first_use: int, count: int = 1, *, ended: bool = False) -> Made:
    """An answer with so many signatures."""
    return Made(first_use, "alice", 1, "k", "EdDSA", ("00" * 32,) * count, ended)


def test_what_a_worker_that_ended_has_left() -> None:
    """It is given to whoever asks, until somebody has recorded it; that of a worker that lives is not."""
    held, here = Unrecorded(), Worker(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        worker = Worker(process.pid)
        held.add(made(1, 2), worker)
        held.add(made(3), here)
        held.add(made(4), None)
        assert held.abandoned() == ()
        process.kill()
    wait_until(lambda: worker.ended)
    assert held.abandoned() == (made(1, 2, ended=True),) == held.abandoned()
    assert (held.waiting(0), held.waiting(2), held.waiting(9)) == (0, 1, 3)
    held.recorded([1, 7])
    assert (held.abandoned(), held.waiting(9)) == ((), 2)


def test_a_worker_that_ended_before_it_was_looked_at() -> None:
    """Its number is nobody's any more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert Worker(process.pid).ended


def test_a_kernel_without_descriptors_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is taken for ended, and a minute has to pass."""

    def refuse(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not Worker(os.getpid()).ended


def test_a_worker_costs_no_descriptor_afterwards() -> None:
    """A keeper that runs for years does not run out of them."""
    before = list(Path("/proc/self/fd").iterdir())
    for _ in range(50):
        Worker(os.getpid())
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= len(before) + 1


def test_a_minute_is_enough() -> None:
    """What a worker that lives has not recorded by then, it has lost to an error."""
    now = [0.0]
    held = Unrecorded(lambda: now[0])
    held.add(made(1), Worker(os.getpid()))
    now[0] = LOST_SECONDS - 1
    held.add(made(2), None)
    assert held.abandoned() == ()
    now[0] = LOST_SECONDS
    assert held.abandoned() == (made(1),)


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, and what is handed over at once has an end."""
    monkeypatch.setattr(unrecorded, "HELD_MAX", 10)
    monkeypatch.setattr(unrecorded, "HANDED_MAX", 4)
    now = [0.0]
    held = Unrecorded(lambda: now[0])
    for number in range(8):
        held.add(made(1 + 2 * number, 2), None)
    assert held.waiting(100) == 5
    now[0] = LOST_SECONDS
    assert [one.first_use for one in held.abandoned()] == [7, 9]
