"""May this user do this? A pure function of the user, the rules and what is asked; it always says why.

Nothing is allowed by default. Administrators manage and cannot sign; everybody else needs a rule.
"""

import shlex
from collections.abc import Iterable, Sequence

from privyseal.access.patterns import pattern
from privyseal.access.scope import outside
from privyseal.model.access import KEY_RULE_OPERATIONS, AccessRule, Decision, Operation, Role, Selector, User
from privyseal.wire.names import is_key_id

INCLUDES_READ = frozenset(KEY_RULE_OPERATIONS)
"""A rule that lets a user do something with a key lets the user see it; one word is enough for a signing host."""

_BY_ROLE = {
    Role.ADMINISTRATOR: frozenset(
        {
            Operation.APPLIANCE_MANAGE,
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
            Operation.OBJECT_CREATE,
            Operation.OBJECT_DESTROY,
            Operation.OBJECT_READ,
            Operation.RULE_MANAGE,
            Operation.USER_MANAGE,
        }
    ),
    Role.AUDITOR: frozenset({Operation.AUDIT_READ, Operation.KEY_READ, Operation.OBJECT_READ}),
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


def decide(
    user: User,
    operation: Operation,
    core: int,
    label: str,
    rules: Iterable[AccessRule],
    key_id: str | None = None,
    tags: Sequence[str] = (),
) -> Decision:
    """Decide about one key by its label, id and tags. Rules are for operators; no rule helps another role.

    Args:
        user: who asks.
        operation: one of those that may stand in a rule.
        core: the core's number.
        label: the key's label, also of one that is about to be made.
        rules: the user's rules in this core, and those of the user's groups.
        key_id: None for a key that is about to be made.
        tags: the key's tags.
    """
    if user.scope is not None:
        without = user.scope.account
        return outside(user, operation, core, label) or decide(without, operation, core, label, rules, key_id, tags)
    if user.role is not Role.OPERATOR:
        return by_role(user, operation)
    for rule in rules:
        if _covers(rule, operation) and fits(rule, label, key_id, tags):
            return Decision(allowed=True, reason=_why(rule, operation), rule=rule.number, group=rule.group)
    return refusal(user, operation, core, label)


def refusal(user: User, operation: Operation, core: int, key_ref: str) -> Decision:
    """Refuse an operator. It says nothing of the key but the name that it was asked for."""
    return Decision(
        allowed=False,
        reason=f"no access rule lets user '{user.name}' do {operation.value} with {_noun(operation)} '{key_ref}' "
        f"in core {core}",
        missing_rule=missing_rule(user.name, operation, core, key_ref),
    )


def fits(rule: AccessRule, label: str, key_id: str | None, tags: Sequence[str]) -> bool:
    """Say whether a rule is about this key."""
    if rule.selector is Selector.LABEL:
        return pattern(rule.keys).fullmatch(label) is not None
    if rule.selector is Selector.ID:
        return rule.keys == key_id
    return rule.keys in tags


def missing_rule(user: str, operation: Operation, core: int, key_ref: str) -> str | None:
    """Give the command that would allow it for one key, by its label or id.

    `key_ref` comes from whoever asked, and whoever pastes the command has a shell and may allow more than was meant:
    for a reference with `*` in it, which no label has, there is no suggestion.
    """
    if "*" in key_ref:
        return None
    return _command(user, operation, core, "--key-id" if is_key_id(key_ref) else "--keys", key_ref)


def missing_entry(user: str, operation: Operation, core: int) -> str:
    """Give the command that would allow it for all keys of a core, where no key was named."""
    return _command(user, operation, core, "--keys", "*")


def _command(user: str, operation: Operation, core: int, option: str, value: str) -> str:
    words = ["privyseal", "rule", "create", "--user", user, "--core", str(core), "--operations", operation.value]
    return " ".join([shlex.join([*words, option]), _quoted(value)])


def _why(rule: AccessRule, operation: Operation) -> str:
    whose = "" if rule.group is None else f" of group '{rule.group}'"
    return f"rule {rule.number}{whose} allows {operation.value}"


def _quoted(word: str) -> str:
    """Quote a word for a shell, also where `shlex.quote` would not, so that every command looks alike."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _noun(operation: Operation) -> str:
    return "object" if operation.value.startswith("object:") else "key"


def _covers(rule: AccessRule, operation: Operation) -> bool:
    if operation is Operation.KEY_READ:
        return not INCLUDES_READ.isdisjoint(rule.operations)
    if operation is Operation.OBJECT_READ:  # what goes with a key that a host uses, the host may see
        return True
    return operation in rule.operations
