"""The states of an appliance and the changes between them."""

import itertools

from privyseal.state import TABLE, Change, State, after


def test_what_is_not_in_the_table_cannot_happen() -> None:
    """Three changes are possible, each from one state; every other pair is refused."""
    possible = {pair for pair in itertools.product(State, Change) if after(*pair) is not None}
    assert possible == set(TABLE)
    assert len(possible) == 3
    assert after(State.OPERATIONAL, Change.PROVISION) is None
