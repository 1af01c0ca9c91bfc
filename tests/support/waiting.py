"""Waiting for what happens by itself, without knowing how long it takes."""

import time
from collections.abc import Callable


def wait_until(true: Callable[[], bool], *, seconds: float = 120) -> None:
    """Ask again and again until something is true; fail the test when it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
