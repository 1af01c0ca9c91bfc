"""A real keeper process on a Unix socket of the test's own, and a keyring without a process around it.

Always true: the keeper ends with the test, also when the test is killed, because it watches a pipe held open here.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from privyseal.keeper.client import ask_once
from privyseal.keeper.keyring import Keyring
from privyseal.wire import frames

SECRET = b"what opens the slot, 32 bytes ok"
SALT = b"salt of the core"
PIN = "12345678"


class Keeper:
    """The keeper as `privyseal serve` starts it; the listening socket outlives the process, as it does there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self.process = self._spawn()
        self.slot = ask_once(path, frames.Provision(SECRET), frames.Slot)

    def _spawn(self) -> subprocess.Popen[bytes]:
        descriptor = self._listener.fileno()
        words = [sys.executable, "-m", "privyseal.keeper.process", str(descriptor)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[descriptor])

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.communicate()

    def restart(self) -> None:
        """Start it again and unlock it."""
        self.process = self._spawn()
        ask_once(self.path, frames.Unlock(self.slot.sealed, SECRET, ()), frames.Done)

    def stop(self) -> None:
        """End it, and close the socket."""
        self.kill()
        self._listener.close()


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """A keeper with a fresh domain key."""
    folder = tmp_path if len(str(tmp_path)) < 80 else Path(f"/tmp/k{os.getpid()}")  # unix(7) has 108 bytes for a path
    folder.mkdir(exist_ok=True)
    started = Keeper(folder / "keeper.sock")
    yield started
    started.stop()


@pytest.fixture
def keyring() -> Keyring:
    """A keyring with a fresh domain key, as it is inside the keeper."""
    ring = Keyring({})
    assert isinstance(ring.handle(frames.Provision(SECRET)), frames.Slot)
    return ring
