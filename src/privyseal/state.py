"""Every state change of the appliance is a row in this table; what is not in it cannot happen."""

import enum

from privyseal.errors import ConflictError


class State(enum.Enum):
    """What an appliance can do now."""

    LOCKED = "locked"
    OPERATIONAL = "operational"
    UNPROVISIONED = "unprovisioned"


class Change(enum.Enum):
    """What changes the state."""

    LOCK = "lock"
    PROVISION = "provision"
    UNLOCK = "unlock"


TABLE = {
    (State.UNPROVISIONED, Change.PROVISION): State.OPERATIONAL,
    (State.LOCKED, Change.UNLOCK): State.OPERATIONAL,
    (State.OPERATIONAL, Change.LOCK): State.LOCKED,
}


def state_of(*, provisioned: bool, unlocked: bool) -> State:
    """Give the state: whether the database belongs to an appliance, and whether the keeper has its domain key."""
    if not provisioned:
        return State.UNPROVISIONED
    return State.OPERATIONAL if unlocked else State.LOCKED


def after(state: State, change: Change) -> State | None:
    """Give the state after a change, None when the change is not possible now."""
    return TABLE.get((state, change))


def require(state: State, change: Change) -> State:
    """Give the state after a change. Raises ConflictError when the change is not possible now."""
    following = after(state, change)
    if following is None:
        raise ConflictError(f"the appliance is {state.value}: there is nothing to {change.value}")
    return following
