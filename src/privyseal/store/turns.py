"""Writers of one SQLite file take turns by a lock that wakes the next at once.

SQLite's own answer to a second writer is to sleep and try again, from 1 to 100 ms: with two workers in group commit,
more time went by asleep than writing. The operating system's lock is given up even when its holder is killed.
"""

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Turns(Protocol):
    """A way to be the only writer for a while."""

    def mine(self) -> contextlib.AbstractContextManager[None]:
        """Wait for the turn; it ends with the context."""


class NoTurns:
    """For databases that order their writers themselves."""

    @contextlib.contextmanager
    def mine(self) -> Iterator[None]:
        """Go ahead at once."""
        yield


class FileTurns:
    """Turns among threads (a mutex) and processes (flock(2) on a file beside the database)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def mine(self) -> Iterator[None]:
        """Wait for this thread's turn."""
        with self._mutex:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
