"""The measuring of `privyseal bench`; that it measures an appliance is in tests/cli/signing.txt."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from privyseal.client.errors import InvalidInputError, UnreachableError
from privyseal.client.records import Key
from privyseal.client.speed import limit, measure
from privyseal.model.keys import Family, KeyType


def test_connections_are_closed_when_one_cannot_be_opened() -> None:
    """What was opened before is closed, and nothing is opened any more."""
    open_now, attempts = 0, 0

    @contextmanager
    def open_key() -> Iterator[None]:
        nonlocal open_now, attempts
        attempts += 1
        if attempts == 3:
            raise UnreachableError("no more")
        open_now += 1
        try:
            yield
        finally:
            open_now -= 1

    with pytest.raises(UnreachableError):
        measure(open_key, record("ec:P-256"), 5, 0)  # type: ignore[arg-type]  # nobody gets to use a key
    assert (open_now, attempts) == (0, 3)


@pytest.mark.parametrize("key_type", list(KeyType), ids=lambda one: one.value)
def test_the_limit_is_of_the_keys_own_type(key_type: KeyType) -> None:
    """A type that does not sign in this way has none, rather than that of another type."""
    if key_type.family not in {Family.EC, Family.ED, Family.ML_DSA, Family.RSA}:
        with pytest.raises(InvalidInputError, match=key_type.value):
            limit(key_type, 0)
    elif key_type.bits < 4096:  # longer ones take seconds to make
        assert limit(key_type, 0) > 0


def record(key_type: str) -> Key:
    """What the appliance says of a key."""
    return Key(
        id="00",
        core=1,
        label="a key",
        type=key_type,
        pin=False,
        created=dt.datetime.now(dt.UTC),
        public_key=b"",
        mechanisms=("ECDSA",),
        hashes=(),
        operations=("key:sign",),
        uri="",
        document={},
    )
