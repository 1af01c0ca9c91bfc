"""What a credential leaves of what its user may. It only ever takes away: the user's role and rules still decide."""

from privyseal.access.patterns import pattern
from privyseal.model.access import KEY_RULE_OPERATIONS, RULE_OPERATIONS, Decision, Operation, Role, Scope, User

NEVER = frozenset({Operation.USER_MANAGE})
"""What no credential may: whoever sets passwords is everybody, whatever the scope says."""

_INCLUDES_READ = frozenset(KEY_RULE_OPERATIONS)


def outside(user: User, operation: Operation, core: int | None = None, label: str | None = None) -> Decision | None:
    """Give the refusal of what lies outside the scope of the caller's credential, None when nothing does.

    Args:
        core: the core's number; None for what is about the whole appliance, which a narrower scope never covers.
        label: the key's label, None likewise.
    """
    scope = user.scope
    if scope is None or (_covers(user, scope, operation) and _reaches(scope, core, label)):
        return None
    where = "" if core is None else f" with key '{label}' in core {core}"
    return _refusal(user, scope, operation, where)


def outside_core(user: User, core: int, operation: Operation | None = None) -> Decision | None:
    """Give the refusal of a core in which the caller's credential is of no use, or of no use for an operation."""
    scope = user.scope
    if scope is None:
        return None
    if scope.core in (None, core):
        return None if operation is None or _covers(user, scope, operation) else _refusal(user, scope, operation, "")
    reason = f"credential {scope.credential} of user '{user.name}' is for core {scope.core} only"
    return Decision(allowed=False, reason=reason)


def _refusal(user: User, scope: Scope, operation: Operation, where: str) -> Decision:
    return Decision(
        allowed=False,
        reason=f"credential {scope.credential} of user '{user.name}' does not cover {operation.value}{where}; "
        f"`privyseal credential show {scope.credential}` has what it does",
    )


def _covers(user: User, scope: Scope, operation: Operation) -> bool:
    if operation in NEVER:
        return False
    if scope.operations is None:  # an operator who was made administrator later has not meant this
        return user.role is not Role.ADMINISTRATOR
    if operation is Operation.KEY_READ:
        return not _INCLUDES_READ.isdisjoint(scope.operations)
    if operation is Operation.OBJECT_READ:
        return not scope.operations.isdisjoint(RULE_OPERATIONS)
    return operation in scope.operations


def _reaches(scope: Scope, core: int | None, label: str | None) -> bool:
    if scope.core not in (None, core):
        return False
    return scope.keys == "*" or (label is not None and pattern(scope.keys).fullmatch(label) is not None)
