"""Every state change of the appliance is a row in this table; what is not in it cannot happen."""

import enum


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


def after(state: State, change: Change) -> State | None:
    """Give the state after a change, None when the change is not possible now."""
    return TABLE.get((state, change))
