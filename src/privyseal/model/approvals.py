"""Approvals: what several people must agree to before it is done, who they are, and where a request for it stands."""

import enum
from dataclasses import dataclass
from datetime import datetime

KEY_OPERATIONS = (
    "key:destroy",
    "key:disable",
    "key:enable",
    "key:export",
    "key:policy",
    "key:restore",
    "key:rotate",
    "key:sign",
    "key:unlock",
    "key:update",
)
"""What a quorum can guard for one key, or for every key of a core."""

ADMINISTRATIVE = (
    "appliance:lock",
    "appliance:merge",
    "backup:add-recipient",
    "backup:remove-recipient",
    "core:create",
    "core:delete",
    "core:update",
    "credential:create",
    "credential:revoke",
    "domain-key:rotate",
    "group:add-member",
    "group:create",
    "group:delete",
    "group:remove-member",
    "quorum:create",
    "rule:create",
    "rule:delete",
    "rule:update",
    "tls:renew",
    "tls:replace",
    "unlock-slot:create",
    "unlock-slot:delete",
    "unlock-slot:rotate",
    "user:add-certificate",
    "user:create",
    "user:delete",
    "user:remove-certificate",
    "user:unlock",
    "user:update",
)
"""What a quorum can guard for the whole appliance. `quorum:delete` is guarded by each quorum for itself."""


class ApprovalState(enum.Enum):
    """Where a request stands. Only an approved one can be used, once."""

    APPROVED = "approved"
    EXPIRED = "expired"
    REFUSED = "refused"
    USED = "used"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Quorum:
    """*operation* needs the approval of *needed* of the *approvers*.

    Attributes:
        core: None for every core, and for what is in none.
        key: a key's id; None for every key.
        approvers: user names. Nobody approves a request of his own.
    """

    number: int
    operation: str
    core: int | None
    key: str | None
    needed: int
    approvers: tuple[str, ...]
    created: datetime

    def covers(self, operation: str, core: int | None, key: str | None) -> bool:
        """Say whether this quorum guards an act."""
        return self.operation == operation and self.core in (None, core) and self.key in (None, key)


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval, bound to exactly what was asked.

    Attributes:
        subject: SHA-256 of the operation with everything that decides what it does, hexadecimal.
        words: the same for the people who are to agree, a line for each thing.
        approved: who has agreed; refused: who has said no. One no is enough.
    """

    number: int
    quorum: int
    requester: str
    operation: str
    core: int | None
    key: str | None
    subject: str
    words: str
    state: ApprovalState
    needed: int
    approvers: tuple[str, ...]
    approved: tuple[str, ...]
    refused: tuple[str, ...]
    created: datetime
    expires: datetime
