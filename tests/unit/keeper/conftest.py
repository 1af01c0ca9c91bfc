"""A keyring without a process around it."""

import pytest

from privyseal.keeper.keyring import Keyring
from privyseal.wire import frames
from support.keeper import SECRET


@pytest.fixture
def keyring() -> Keyring:
    """A keyring with a fresh domain key, as it is inside the keeper."""
    ring = Keyring({})
    assert isinstance(ring.handle(frames.Provision(frames.Opener("key-file", SECRET))), frames.Slot)
    return ring
