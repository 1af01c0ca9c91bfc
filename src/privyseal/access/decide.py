"""May this user do this? A pure function of the user, the rules and what is asked; it always says why.

Nothing is allowed by default. Administrators manage and cannot sign; everybody else needs a rule.
"""

import shlex
from collections.abc import Iterable

from privyseal.access.patterns import pattern
from privyseal.access.scope import outside
from privyseal.model.access import RULE_OPERATIONS, AccessRule, Decision, Operation, Role, User

INCLUDES_READ = frozenset(RULE_OPERATIONS)
"""A rule that lets a user do something with a key lets the user see it; one word is enough for a signing host."""

_BY_ROLE = {
    Role.ADMINISTRATOR: frozenset(
        {
            Operation.AUDIT_READ,
            Operation.BACKUP_CREATE,
            Operation.BACKUP_MANAGE,
            Operation.CORE_MANAGE,
            Operation.KEY_DESTROY,
            Operation.KEY_GENERATE,
            Operation.KEY_IMPORT,
            Operation.KEY_MANAGE,
            Operation.KEY_READ,
            Operation.METRICS_READ,
            Operation.RULE_MANAGE,
            Operation.USER_MANAGE,
        }
    ),
    Role.AUDITOR: frozenset({Operation.AUDIT_READ, Operation.KEY_READ}),
    Role.BACKUP: frozenset({Operation.BACKUP_CREATE}),
    Role.METRICS: frozenset({Operation.METRICS_READ}),
    Role.OPERATOR: frozenset[Operation](),
}


def by_role(user: User, operation: Operation) -> Decision:
    """Decide what a role alone decides: managing the appliance and reading the record."""
    if (refusal := outside(user, operation)) is not None:
        return refusal
    if operation in _BY_ROLE[user.role]:
        return Decision(allowed=True, reason=f"role {user.role.value} may {operation.value}")
    return Decision(
        allowed=False, reason=f"user '{user.name}' has role {user.role.value}, which may not {operation.value}"
    )


def decide(user: User, operation: Operation, core: int, label: str, rules: Iterable[AccessRule]) -> Decision:
    """Decide about one key by its label.

    Args:
        user: who asks.
        operation: one of `RULE_OPERATIONS`.
        core: the core's number.
        label: the key's label, also of one that is about to be made.
        rules: the user's rules in this core.
    """
    if user.scope is not None:
        return outside(user, operation, core, label) or decide(user.scope.account, operation, core, label, rules)
    if operation in _BY_ROLE[user.role]:
        return by_role(user, operation)
    for rule in rules:
        if _covers(rule, operation) and pattern(rule.keys).fullmatch(label):
            return Decision(allowed=True, reason=f"rule {rule.number} allows {operation.value}", rule=rule.number)
    if user.role is not Role.OPERATOR:
        return by_role(user, operation)
    return Decision(
        allowed=False,
        reason=f"no access rule lets user '{user.name}' do {operation.value} with key '{label}' in core {core}",
        missing_rule=missing_rule(user.name, operation, core, label),
    )


def missing_rule(user: str, operation: Operation, core: int, keys: str) -> str:
    """Give the command that would allow it. `keys` comes from whoever asked, and whoever pastes it has a shell."""
    words = ["privyseal", "rule", "create", "--user", user, "--core", str(core)]
    return " ".join([shlex.join([*words, "--operations", operation.value]), "--keys", _quoted(keys)])


def _quoted(word: str) -> str:
    """Quote a word for a shell, also where `shlex.quote` would not, so that every command looks alike."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _covers(rule: AccessRule, operation: Operation) -> bool:
    if operation is Operation.KEY_READ:
        return not INCLUDES_READ.isdisjoint(rule.operations)
    return operation in rule.operations
