"""Is the clock right? It is compared with the clock that nobody can set, and the kernel is asked what it knows."""

import ctypes
import struct
import time
from collections.abc import Callable

_UNSYNCHRONISED = 0x40  # STA_UNSYNC, adjtimex(2)
_TIMEX_BYTES = 256  # more than `struct timex` has on any architecture


class Clock:
    """Finds out when the wall clock is set back. Slow corrections by NTP are none.

    Args:
        tolerance: seconds that the wall clock may lose in one step.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        tolerance: float = 1.0,
    ) -> None:
        self._wall, self._steady, self._tolerance = wall, steady, tolerance
        self._ahead = self._wall() - self._steady()

    def set_back(self) -> float:
        """Give by how many seconds the clock was set back since the last time; 0 if it was not."""
        before, self._ahead = self._ahead, self._wall() - self._steady()
        lost = before - self._ahead
        return lost if lost > self._tolerance else 0.0

    def behind(self, latest: float) -> float:
        """Give how far the clock is behind a time that has been; 0 within the tolerance."""
        lost = latest - self._wall()
        return lost if lost > self._tolerance else 0.0


def synchronised() -> bool | None:
    """Say whether the kernel takes its clock for synchronised (adjtimex(2)); None where it may not be asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: read only
    if libc.adjtimex(timex) < 0:
        return None
    long = struct.calcsize("@l")
    place = 5 * long  # modes, offset, freq, maxerror and esterror stand before it, each as wide as a long
    (status,) = struct.unpack_from("@i", timex.raw, place)
    return not status & _UNSYNCHRONISED
