"""A real keeper process, and a keyring without a process around it."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from privyseal.keeper.keyring import Keyring
from privyseal.wire import frames
from support.keeper import SECRET, Keeper


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """A keeper with a fresh domain key."""
    with tempfile.TemporaryDirectory(prefix="keeper-") as folder:  # pytest's own is too long: unix(7) has 108 bytes
        started = Keeper(Path(folder) / "keeper.sock")
        try:
            yield started
        finally:
            started.stop()


@pytest.fixture
def keyring() -> Keyring:
    """A keyring with a fresh domain key, as it is inside the keeper."""
    ring = Keyring({})
    assert isinstance(ring.handle(frames.Provision(frames.Opener("key-file", SECRET))), frames.Slot)
    return ring
