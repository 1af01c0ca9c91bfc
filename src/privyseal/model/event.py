"""An event: one entry of the record. It never holds a secret and never the payload."""

import enum
from dataclasses import dataclass
from datetime import datetime


class Outcome(enum.Enum):
    """How an operation ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, before it has a number; the store numbers events in the order in which they become durable.

    Attributes:
        operation: resource:action, as in `model.access.Operation`, and a few that are no permission (`user:login`).
        key: the key's id, or the name that the caller used for a key which is not there.
        input: SHA-256 of what was signed or verified, hexadecimal.
        reason: the decision's or the error's words.
    """

    time: datetime
    node: str
    user: str
    operation: str
    outcome: Outcome
    core: int | None = None
    key: str | None = None
    mechanism: str | None = None
    input: str | None = None
    reason: str | None = None
