"""The keeper's own count of what it signed: a running number and a running hash that no API worker can change.

Each signature that leaves the keeper is counted; its event carries the number, and checkpoints carry count and hash. An
event that nobody wrote therefore leaves a gap, and one that somebody changed another hash. What each number stands for
is held until its event is durable: see `keeper.unrecorded`.
"""

import os
import threading
import time
from collections.abc import Sequence
from hashlib import sha256

from privyseal.keeper.unrecorded import Unrecorded, Worker
from privyseal.wire.frames import Made
from privyseal.wire.notes import Uses, first_hash, use_entry, use_hash

MARK_SECONDS = 60.0
"""How old a count may be when a checkpoint is signed with it: time for its events to become durable, and no more."""

_MARKS = 1000


class UseCounter:
    """The count of one run of the keeper. Safe to use from several threads; a batch takes the lock once."""

    def __init__(self) -> None:
        self.keeper = os.urandom(8).hex()
        self.unrecorded = Unrecorded()
        self._lock = threading.Lock()
        self._count = 0
        self._chain = first_hash(self.keeper)
        self._marks: list[tuple[float, Uses]] = []

    def count(self, by: tuple[str, Worker | None], core: int, key: str, mechanism: str, inputs: Sequence[bytes]) -> int:
        """Count signatures over these inputs; gives the number of the first, the others follow it.

        Args:
            by: the user, and the worker that asked.
        """
        user, worker = by
        digests = tuple([sha256(each).hexdigest() for each in inputs])
        with self._lock:
            first, chain = self._count + 1, self._chain
            for use, digest in enumerate(digests, first):
                chain = use_hash(chain, use_entry(use, core, key, mechanism, digest))
            self._count, self._chain = self._count + len(digests), chain
            self.unrecorded.add(Made(first, user, core, key, mechanism, digests), worker)
        return first

    def mark(self) -> Uses:
        """Give the present count, and remember it for a checkpoint that is signed soon."""
        with self._lock:
            present = Uses(self.keeper, self._count, self._chain)
            self._marks = [*self._recent(), (time.monotonic(), present)][-_MARKS:]
        return present

    def marked(self, count: int) -> Uses | None:
        """Give a count that `mark` gave within the last minute, None when there is no such."""
        with self._lock:
            return next((uses for _, uses in self._recent() if uses.count == count), None)

    def _recent(self) -> list[tuple[float, Uses]]:
        oldest = time.monotonic() - MARK_SECONDS
        return [(when, uses) for when, uses in self._marks if when >= oldest]
