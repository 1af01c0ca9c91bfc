"""The states of an appliance and the changes between them."""

import itertools

import pytest

from privyseal.errors import ConflictError
from privyseal.state import TABLE, Change, State, after, require, state_of


def test_what_is_not_in_the_table_cannot_happen() -> None:
    """Three changes are possible, each from one state; every other pair is refused."""
    possible = {pair for pair in itertools.product(State, Change) if after(*pair) is not None}
    assert possible == set(TABLE)
    assert len(possible) == 3
    assert after(State.OPERATIONAL, Change.PROVISION) is None


def test_a_change_that_cannot_be_is_refused_in_words() -> None:
    """What is possible gives the next state; the rest says what the appliance is now."""
    for state, change in itertools.product(State, Change):
        following = after(state, change)
        if following is not None:
            assert require(state, change) is following
        else:
            with pytest.raises(ConflictError, match=f"{state.value}: there is nothing to {change.value}"):
                require(state, change)


def test_the_state_is_what_store_and_keeper_say() -> None:
    """Without an appliance in the database nothing else counts."""
    assert state_of(provisioned=False, unlocked=True) is State.UNPROVISIONED
    assert state_of(provisioned=True, unlocked=False) is State.LOCKED
    assert state_of(provisioned=True, unlocked=True) is State.OPERATIONAL
