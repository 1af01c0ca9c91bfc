"""The rotation's row and the list of sealed records, on both databases."""

import pytest

from privyseal.errors import ConflictError
from privyseal.model.keys import Key, KeyType
from privyseal.store import appliance, keys, rotation, sealed
from privyseal.store.store import Store
from privyseal.store.times import now


def add_key(store: Store, number: int) -> None:
    """A key that nothing opens."""
    key = Key(
        id=f"{number:016x}",
        core=1,
        label=f"key {number}",
        type=KeyType.ED25519,
        public_key=b"",
        has_pin=False,
        sealed=f"sealed {number}".encode(),
        policy=b"policy",
        version=1,
        created=now(),
    )
    with store.write() as connection:
        keys.add(connection, key, None)


def test_a_rotation_is_one_and_says_how_far_it_is(store: Store) -> None:
    """A second one cannot begin; in the end there is none."""
    add_key(store, 1)
    with store.write() as connection:
        assert rotation.get(connection) is None
        rotation.begin(connection, "n" * 32, "admin")
    with pytest.raises(ConflictError), store.write() as connection:
        rotation.begin(connection, "m" * 32, "admin")
    with store.write() as connection:
        rotation.move(connection, phase=rotation.RESEALING, source=0, position=7, done=3, damaged="key a")
        found = rotation.get(connection)
        assert found is not None
        assert (found.name, found.phase, found.position, found.done, found.total) == ("n" * 32, "resealing", 7, 3, 1)
        rotation.end(connection)
        assert rotation.get(connection) is None


def test_one_worker_drives_it(store: Store) -> None:
    """Another may when the lease is over."""
    with store.write() as connection:
        rotation.begin(connection, "n" * 32, "admin")
        assert rotation.lease(connection, "first")
        assert not rotation.lease(connection, "second")
        assert rotation.lease(connection, "first")
        rotation.move(connection, lease=0)
        assert rotation.lease(connection, "second")
        rotation.end(connection)
        assert not rotation.lease(connection, "second")


def test_every_sealed_record_is_found_and_replaced_once(store: Store) -> None:
    """What changed meanwhile, or is gone, stays as it is."""
    for number in range(1, 6):
        add_key(store, number)
    source = sealed.SOURCES[0]
    with store.write() as connection:
        assert sealed.count(connection) == 5
        first = source.page(connection, 0, 3)
        rest = source.page(connection, first[-1][0], 3)
        assert [record.id for _, record in [*first, *rest]] == [f"{number:016x}" for number in range(1, 6)]
        number, record = first[0]
        assert source.replace(connection, number, record.sealed, b"new")
        assert not source.replace(connection, number, record.sealed, b"newer")
        assert not source.replace(connection, 999, record.sealed, b"newer")
        assert source.page(connection, 0, 1)[0][1].sealed == b"new"


def test_slots_are_numbered_replaced_and_removed(store: Store) -> None:
    """In the order in which they were made."""
    with store.write() as connection:
        numbers = [appliance.add_slot(connection, appliance.PASSPHRASE, bytes([number])) for number in range(3)]
        appliance.replace_slot(connection, numbers[1], b"other")
        appliance.remove_slot(connection, numbers[0])
        left = [(slot.number, slot.sealed) for slot in appliance.slots(connection)]
        assert left == [(numbers[1], b"other"), (numbers[2], b"\2")]
