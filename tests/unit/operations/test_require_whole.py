"""A place into which a restore has not come to its end is known by its mark."""

from pathlib import Path

import pytest

from privyseal.errors import ConfigurationError, ConflictError
from privyseal.operations.provision import Place, require_whole
from privyseal.operations.restore import marked
from privyseal.store.store import Store


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A data directory."""
    return Place(tmp_path, tmp_path / "keeper.sock")


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    """A database of no appliance."""
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    store.migrate()
    return store


def test_a_mark_refuses_the_start_of_an_empty_place(empty: Store, place: Place) -> None:
    """It stays until a restore has come to its end, and so does the refusal."""
    require_whole(empty, place)
    with pytest.raises(RuntimeError), marked(place):
        raise RuntimeError
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="was cut off"):
            require_whole(empty, place)
    with marked(place):
        assert place.restoring.exists()
    require_whole(empty, place)
    empty.close()


def test_a_mark_beside_an_appliance_is_removed(store: Store, place: Place) -> None:
    """The restore was cut off behind its commit, or was refused because the appliance was there."""
    with pytest.raises(RuntimeError), marked(place):
        raise RuntimeError
    require_whole(store, place)
    assert not place.restoring.exists()
    with pytest.raises(ConflictError), marked(place):
        raise ConflictError("there is an appliance")
    assert not place.restoring.exists()
