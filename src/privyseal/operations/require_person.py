"""What takes a person: a credential must not vouch for itself, nor for another person.

A client certificate is a host's as often as a person's, and nobody can tell them apart, so it is treated likewise.
"""

from privyseal.errors import AccessRefusedError
from privyseal.model.access import Decision
from privyseal.operations.perform import Caller


def require_person(caller: Caller) -> None:
    """Refuse a caller who came with a credential or a certificate; raises AccessRefusedError."""
    way_in = caller.user.way_in
    if way_in is None:
        return
    reason = f"{way_in} may not do this, whatever else it may; log in with name and password"
    raise AccessRefusedError(Decision(allowed=False, reason=reason))
