"""A bell that all API workers of a node hear: a worker that changed what TLS goes by rings it.

It is one number in shared memory, the generation of the last such change, so asking it costs less than a microsecond.
Workers of other nodes hear nothing; they look at the database once a second.
"""

from privyseal.telemetry.cells import make_memory, open_file

_BYTES = 8  # one aligned word: it is written and read in one piece


class Bell:
    """One process's handle on the bell.

    Args:
        descriptor: of the shared memory; None for a bell that this process alone hears.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        memory = memoryview(bytearray(_BYTES)) if descriptor is None else open_file(descriptor)
        self._number = memory.cast("Q")

    @property
    def heard(self) -> int:
        """The generation of the last change."""
        return self._number[0]

    def ring(self, generation: int) -> None:
        """Say that something has changed."""
        self._number[0] = generation


def make_bell() -> int:
    """Make the shared memory; gives its file descriptor, to be passed to children."""
    return make_memory("bell", _BYTES)
