"""Credentials: tokens that stand for a user, for less than the user may and for a limited time."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from privyseal.model.access import Operation, Scope, User

SHORTEST = timedelta(seconds=1)
USUAL = timedelta(days=90)
LONGEST = timedelta(days=366)
MOST = 100
"""Credentials of one user, those that ended within `REMEMBERED` included."""
REMEMBERED = timedelta(days=30)
"""How long an ended credential is kept, so that its holder is told why it works no more."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it is stored; its secret is not.

    Attributes:
        id: 16 hexadecimal digits, public; the token names it.
        user: whom it stands for.
        operations: None for all that the user may.
        core: the only core; None for every one.
        keys: label pattern of the keys.
        digest: SHA-256 of the token.
        last_used: roughly, to the hour.
    """

    id: str
    user: str
    name: str
    operations: frozenset[Operation] | None
    core: int | None
    keys: str
    digest: bytes
    created: datetime
    expires: datetime
    revoked: datetime | None = None
    last_used: datetime | None = None

    def __repr__(self) -> str:
        """Leave the digest out."""
        return f"Credential({self.id!r}, {self.user!r})"

    def state(self, now: datetime) -> str:
        """Say whether it is `active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "active" if now < self.expires else "expired"


@dataclass(frozen=True, slots=True)
class KnownCredential:
    """A credential with the user that it makes of its user, prepared once for a snapshot."""

    credential: Credential
    user: User

    @classmethod
    def of(cls, credential: Credential, account: User) -> "KnownCredential":
        """Prepare a credential."""
        scope = Scope(credential.id, account, credential.operations, credential.core, credential.keys)
        return cls(credential, replace(account, scope=scope))
