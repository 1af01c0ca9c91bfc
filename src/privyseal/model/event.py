"""An event: one entry of the record. It never holds a secret and never the payload."""

import enum

import msgspec


class Outcome(enum.Enum):
    """How an operation ended. Dropped: what it made was thrown away, because its request had been answered before."""

    DONE = "done"
    DROPPED = "dropped"
    FAILED = "failed"
    REFUSED = "refused"


class Event(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What happened, before it has a number; the store numbers events in the order in which they become durable.

    A struct and not a dataclass, because every signature makes one and its JSON form goes to the database in one piece.

    Attributes:
        time: microseconds since the epoch, UTC.
        operation: resource:action, as in `model.access.Operation`, and a few that are no permission (`user:login`).
        key: the key's id, or the name that the caller used for a key which is not there.
        input: SHA-256 of what was signed or verified, hexadecimal.
        reason: the decision's or the error's words.
    """

    time: int
    node: str
    user: str
    operation: str
    core: int | None = None
    key: str | None = None
    mechanism: str | None = None
    input: str | None = None
    outcome: Outcome
    reason: str | None = None
