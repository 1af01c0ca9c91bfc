"""A store on either database and a real keeper process, for the rooms that rest on one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from privyseal.operations.manage_cores import blank_core
from privyseal.store import appliance, cores
from privyseal.store.store import Store
from support.keeper import Keeper


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of either kind."""
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgresql").new_database()
        return found
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A store with its tables and one core."""
    opened = Store(url)
    opened.migrate()
    with opened.write() as connection:
        appliance.create(connection, "node")
        cores.add(connection, blank_core("core1", pin_required=True))
    yield opened
    opened.close()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """A keeper with a fresh domain key."""
    with tempfile.TemporaryDirectory(prefix="keeper-") as folder:  # pytest's own is too long: unix(7) has 108 bytes
        started = Keeper(Path(folder) / "keeper.sock")
        try:
            yield started
        finally:
            started.stop()
