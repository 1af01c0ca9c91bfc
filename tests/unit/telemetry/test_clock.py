"""A clock that is set back is noticed; one that runs on, is corrected a little or set forward is not."""

from pathlib import Path

from privyseal.operations import watch_clock
from privyseal.store import appliance, events
from privyseal.store.store import Store
from privyseal.telemetry.clock import Clock, synchronised


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall = self.steady = 1000.0
        self.clock = Clock(lambda: self.wall, lambda: self.steady)

    def pass_time(self, wall: float, steady: float) -> float:
        """Move both; how far the clock was set back."""
        self.wall += wall
        self.steady += steady
        return self.clock.set_back()


def test_steps_back_are_noticed_once() -> None:
    """And each further one again."""
    hands = Hands()
    assert hands.pass_time(10, 10) == 0
    assert hands.pass_time(-3590, 10) == 3600
    assert hands.pass_time(10, 10) == 0
    assert hands.pass_time(5, 10) == 5


def test_other_changes_are_none() -> None:
    """A slow correction, a step forward, a machine that slept."""
    hands = Hands()
    assert hands.pass_time(9.7, 10) == 0
    assert hands.pass_time(3600, 10) == 0
    assert hands.pass_time(86400, 86400) == 0


def test_the_record_knows_a_later_time() -> None:
    """At start, the last event's time is compared."""
    hands = Hands()
    assert hands.clock.behind(1000.5) == 0
    assert hands.clock.behind(0) == 0
    assert hands.clock.behind(1060) == 60


def test_it_is_an_event(tmp_path: Path) -> None:
    """Of nobody, with the seconds as its reason."""
    store = Store.in_directory(tmp_path)
    store.migrate()
    with store.write() as connection:
        appliance.create(connection, "node")
    assert watch_clock.latest_event(store) == 0
    number = watch_clock.record_set_back(store, 12.34)
    with store.read() as connection:
        (recorded,) = events.page(connection, 0, 9)
    assert (recorded.number, recorded.event.operation) == (number, "clock:set-back")
    assert recorded.event.reason == "the clock is 12.3 s behind where it was"
    assert watch_clock.latest_event(store) > 1e9
    store.close()


def test_the_kernel_is_asked() -> None:
    """It says yes or no, or may not be asked."""
    assert synchronised() in (True, False, None)
