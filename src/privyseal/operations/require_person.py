"""What takes a person: a credential must not vouch for itself, nor for another person."""

from privyseal.errors import AccessRefusedError
from privyseal.model.access import Decision
from privyseal.operations.perform import Caller


def require_person(caller: Caller) -> None:
    """Refuse a caller who came with a credential; raises AccessRefusedError."""
    scope = caller.user.scope
    if scope is None:
        return
    reason = f"credential {scope.credential} may not do this, whatever its scope; log in with name and password"
    raise AccessRefusedError(Decision(allowed=False, reason=reason))
