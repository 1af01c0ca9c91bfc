"""Numbers in memory that all processes of an appliance share, so that any worker can answer for all of them.

The memory is one anonymous file (memfd_create(2)), cut into regions. Each process writes its own region and reads all.
A region is an array of 64-bit numbers and, behind it, their names, one a line. A process that is started again takes
over its predecessor's region, so counters never fall and nothing is lost when a process is killed.
"""

import mmap
import os
import threading

CELLS = 4096
"""Numbers in one region; a further one is not counted."""

_NAMES = 256 * 1024
REGION = CELLS * 8 + _NAMES
"""Bytes of one region; the system gives memory only to what is used."""


def make_file(regions: int) -> int:
    """Make memory for some regions; gives its file descriptor, to be passed to children."""
    return make_memory("metrics", regions * REGION)


def make_memory(name: str, length: int) -> int:
    """Make memory that processes can share, all zero; gives its file descriptor, which has `name` for people only."""
    descriptor = os.memfd_create(f"privyseal-{name}", os.MFD_CLOEXEC)
    os.ftruncate(descriptor, length)
    return descriptor


def open_file(descriptor: int) -> memoryview:
    """Map the memory behind a descriptor."""
    return memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size))


class Region:
    """One process's numbers."""

    def __init__(self, memory: memoryview) -> None:
        self.values = memory[: CELLS * 8].cast("Q")
        self._names = memory[CELLS * 8 : REGION]
        self._lock = threading.Lock()
        known = self.names()
        self._index = {name: number for number, name in enumerate(known)}
        self._end = sum(len(name.encode()) + 1 for name in known)

    def names(self) -> list[str]:
        """Give the names, in the order of their numbers. A line that a crash cut short is none."""
        raw = bytes(self._names)
        return raw[: raw.rfind(b"\n") + 1].decode().split("\n")[:-1]

    def cell(self, name: str) -> int:
        """Give the number's place, made if it is new. When there is no room it is the last one, which is not read."""
        with self._lock:
            known = self._index.get(name)
            if known is not None:
                return known
            line = name.encode() + b"\n"
            if len(self._index) >= CELLS - 1 or self._end + len(line) > _NAMES:
                return CELLS - 1
            self._names[self._end : self._end + len(line)] = line
            self._end += len(line)
            self._index[name] = len(self._index)
            return self._index[name]


def read(memory: memoryview) -> dict[str, int]:
    """Add up all regions; names stay in the order in which they were made."""
    total: dict[str, int] = {}
    for start in range(0, len(memory), REGION):
        region = Region(memory[start : start + REGION])
        for number, name in enumerate(region.names()):
            total[name] = total.get(name, 0) + region.values[number]
    return total
