"""What is counted while the appliance works. A number costs less than a microsecond where signatures pass.

A cell's name is the sample's name in Prometheus' text format, labels and all, so reading is adding up. Label values are
ours alone (operations, mechanisms, outcomes): nothing that a caller can choose, or memory would grow with it.
"""

from bisect import bisect_left

from privyseal.telemetry.cells import REGION, Region, open_file, read

SET_BACK = "privyseal_clock_set_back_total"
SYNCHRONISED = "privyseal_clock_synchronised"
RELOADS = "privyseal_reloads_total"
_MILLI = 1_000_000
BOUNDS = tuple(int(ms * _MILLI) for ms in (0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000))
"""Upper bounds of the latency buckets, nanoseconds."""


class Histogram:
    """Durations in buckets. The cells are not cumulative; `exposition` adds them up."""

    def __init__(self, region: Region, name: str, labels: str = "") -> None:
        comma = "," if labels else ""
        bounds = [f"{bound / 1e9:g}" for bound in BOUNDS] + ["+Inf"]
        self._buckets = [region.cell(f'{name}_bucket{{{labels}{comma}le="{bound}"}}') for bound in bounds]
        self._sum = region.cell(f"{name}_sum{{{labels}}}" if labels else f"{name}_sum")
        self._values = region.values

    def add(self, nanoseconds: int) -> None:
        """Count one duration."""
        self._values[self._buckets[bisect_left(BOUNDS, nanoseconds)]] += 1
        self._values[self._sum] += nanoseconds


class Metrics:
    """One process's numbers.

    Args:
        descriptor: of the memory that all processes share; None for numbers of this process alone.
        place: this process's region.
    """

    def __init__(self, descriptor: int | None = None, place: int = 0) -> None:
        self._memory = memoryview(bytearray(REGION)) if descriptor is None else open_file(descriptor)
        self._region = Region(self._memory[place * REGION : (place + 1) * REGION])
        self._values = self._region.values
        self._operations: dict[tuple[str, str | None, str], tuple[int, Histogram]] = {}
        self._singles: dict[str, int] = {}

    def operation(self, operation: str, mechanism: str | None, outcome: str, nanoseconds: int) -> None:
        """Count an operation that ended, and how long its caller waited for it."""
        mark = (operation, mechanism, outcome)
        known = self._operations.get(mark)
        if known is None:
            labels = f'operation="{operation}",mechanism="{mechanism or ""}",outcome="{outcome}"'
            cell = self._region.cell(f"privyseal_operations_total{{{labels}}}")
            durations = self.histogram("privyseal_operation_seconds", f'operation="{operation}"')
            known = self._operations[mark] = (cell, durations)
        self._values[known[0]] += 1
        known[1].add(nanoseconds)

    def histogram(self, name: str, labels: str = "") -> Histogram:
        """Give a histogram of this process, made if it is new."""
        return Histogram(self._region, name, labels)

    def count(self, name: str, more: int = 1) -> None:
        """Add to a number."""
        self._values[self._single(name)] += more

    def set(self, name: str, value: int) -> None:
        """Set a number that may fall again; it is zero or more."""
        self._values[self._single(name)] = value

    def _single(self, name: str) -> int:
        cell = self._singles.get(name)
        if cell is None:
            cell = self._singles[name] = self._region.cell(name)
        return cell

    def total(self) -> dict[str, int]:
        """Add up what all processes have counted."""
        return read(self._memory)
