"""The keeper process alone, on a Unix socket of the test's own.

Always true: the keeper ends with the test, also when the test is killed, because it watches a pipe held open here.
"""

import contextlib
import signal
import socket
import subprocess
import sys
from pathlib import Path

from privyseal.keeper.client import ask_once
from privyseal.wire import frames

SECRET = b"what opens the slot, 32 bytes ok"
SALT = b"salt of the core"
_PATIENCE = 10  # seconds


class Keeper:
    """The keeper as `privyseal serve` starts it; the listening socket outlives the process, as it does there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self.process = self._spawn()
        self.slot = ask_once(path, frames.Provision(frames.Opener("key-file", SECRET)), frames.Slot)

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
        ask_once(self.path, frames.Open((self.slot.sealed,), "key-file", SECRET, ()), frames.Opening)

    def stop(self) -> None:
        """End it as `privyseal serve` does, so that what was measured in it is written down; close the socket.

        Nothing but that may have ended it, unless `kill` did. The pipe is closed after that: its end ends the keeper
        too, and two threads that write down at once what was measured crash the interpreter. Sometimes the signal comes
        just before the keeper waits for a connection: Python then handles it after the next one; the pipe has to do.
        """
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_PATIENCE)
        late = self.process.poll() is None
        self.process.communicate()
        self._listener.close()
        assert self.process.returncode in ((0,) if late else (-signal.SIGTERM, -signal.SIGKILL))
