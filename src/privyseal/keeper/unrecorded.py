"""Signatures that have left the keeper and whose events nobody has said to be durable.

A worker that is killed takes what it had in hand along, and the keeper has counted it. What is held here lets another
worker write those events, so that no number is missing. A signature is abandoned when the process that asked for it has
ended, or after a minute: by then whoever lives has recorded it, or has lost it to an error.

It is bounded: of more than `HELD_MAX` signatures the oldest are forgotten, and the record then shows the gap.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec.structs import replace

from privyseal.wire.frames import Made

HELD_MAX = 100_000
LOST_SECONDS = 60.0
HANDED_MAX = 10_000  # signatures in one answer


class Worker:
    """The process at the other end of a connection, held by pidfd_open(2): its number may be another's later."""

    def __init__(self, pid: int) -> None:
        self._ended = False
        self._descriptor: int | None = None
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._ended = True
        except OSError:  # a kernel before 5.3: nothing is known, and a minute has to pass
            pass

    def __del__(self) -> None:
        """Give the descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        if self._descriptor is not None and not self._ended:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            self._ended = bool(poll.poll(0))
        return self._ended


_Held: TypeAlias = tuple[Made, Worker | None, float]  # and since when; a tuple, because each signature makes one


class Unrecorded:
    """What may still have to be recorded. Safe to use from several threads.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._signatures = 0

    def add(self, made: Made, worker: Worker | None) -> None:
        """Hold what leaves in one answer to a worker."""
        since = self._clock()
        with self._lock:
            self._held[made.first_use] = (made, worker, since)
            self._signatures += len(made.inputs)
            while self._signatures > HELD_MAX:
                self._drop(next(iter(self._held)))

    def recorded(self, first_uses: Iterable[int]) -> None:
        """Forget what is durable; numbers that are not held are passed over."""
        with self._lock:
            for first_use in first_uses:
                self._drop(first_use)

    def waiting(self, count: int) -> int:
        """Give how many answers with any of the first `count` signatures are held."""
        with self._lock:
            return sum(first_use <= count for first_use in self._held)

    def abandoned(self) -> tuple[Made, ...]:
        """Give what nobody will record any more, the oldest first. It is held until somebody has recorded it."""
        found: list[Made] = []
        room, oldest = HANDED_MAX, self._clock() - LOST_SECONDS
        with self._lock:
            everything = list(self._held.values())
        ended = {worker for worker in {worker for _, worker, _ in everything} if worker is not None and worker.ended}
        for made, worker, since in everything:
            if since <= oldest or worker in ended:
                found.append(replace(made, ended=worker in ended))
                room -= len(made.inputs)
                if room <= 0:
                    break
        return tuple(found)

    def _drop(self, first_use: int) -> None:
        held = self._held.pop(first_use, None)
        if held is not None:
            self._signatures -= len(held[0].inputs)
