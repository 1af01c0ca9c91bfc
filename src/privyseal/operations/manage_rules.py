"""Access rules: create, list, change, delete; and why somebody may or may not do something."""

from dataclasses import replace

from sqlalchemy import Connection

from privyseal.access.decide import by_role, decide
from privyseal.errors import InvalidRequestError, NotFoundError
from privyseal.model.access import RULE_OPERATIONS, AccessRule, Decision, Operation
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import users
from privyseal.store.times import now
from privyseal.wire.names import LABEL_MAX


async def create_rule(
    appliance: Appliance, caller: Caller, act: Act, user: str, core_ref: str, operations: list[Operation], keys: str
) -> AccessRule:
    """Make a rule. Raises NotFoundError for user or core, InvalidRequestError, AccessRefusedError."""
    require_role(caller, Operation.RULE_MANAGE)
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    if user not in caller.snapshot.users:
        raise NotFoundError(f"there is no user '{user}'; see `privyseal user list`")
    rule = AccessRule(0, user, core.number, _checked(operations), _pattern(keys), now())
    return await change(appliance, caller, act, _words(rule), lambda connection: users.add_rule(connection, rule))


async def list_rules(appliance: Appliance, caller: Caller, user: str | None, core_ref: str | None) -> list[AccessRule]:
    """Give the rules, all or those of a user or core. Users may see their own."""
    if user is None or user != caller.user.name:
        require_role(caller, Operation.RULE_MANAGE)
    core = None if core_ref is None else caller.snapshot.core(core_ref).number
    if user is not None and user not in caller.snapshot.users:
        return []
    return await look(appliance, lambda connection: users.every_rule(connection, user, core))


async def get_rule(appliance: Appliance, caller: Caller, number: int) -> AccessRule:
    """Give one rule; raises NotFoundError."""
    require_role(caller, Operation.RULE_MANAGE)
    return await look(appliance, lambda connection: _require(connection, number))


async def update_rule(
    appliance: Appliance, caller: Caller, act: Act, number: int, operations: list[Operation] | None, keys: str | None
) -> AccessRule:
    """Change what a rule allows, or with which keys."""
    require_role(caller, Operation.RULE_MANAGE)
    rule = await get_rule(appliance, caller, number)
    act.core = rule.core
    if operations is not None:
        rule = replace(rule, operations=_checked(operations))
    if keys is not None:
        rule = replace(rule, keys=_pattern(keys))

    def work(connection: Connection) -> AccessRule:
        users.change_rule(connection, rule)
        return _require(connection, number)

    return await change(appliance, caller, act, f"rule {number}: {_words(rule)}", work)


async def delete_rule(appliance: Appliance, caller: Caller, act: Act, number: int) -> None:
    """Remove a rule; whoever used it is refused from the next answer on."""
    require_role(caller, Operation.RULE_MANAGE)

    def work(connection: Connection) -> None:
        _require(connection, number)
        users.remove_rule(connection, number)

    await change(appliance, caller, act, f"rule {number}", work)


async def explain_access(caller: Caller, user: str, core_ref: str, operation: Operation, key_ref: str) -> Decision:
    """Say whether and why a user may do something, naming the rule that decides or the one that is missing."""
    if user != caller.user.name:
        require_role(caller, Operation.RULE_MANAGE)
    snapshot = caller.snapshot
    core = snapshot.core(core_ref)
    account = snapshot.users.get(user)
    if account is None:
        raise NotFoundError(f"there is no user '{user}'; see `privyseal user list`")
    if operation not in RULE_OPERATIONS:
        return by_role(account, operation)
    return decide(account, operation, core.number, key_ref, snapshot.rules_of(account, core))


def _checked(operations: list[Operation]) -> frozenset[Operation]:
    wrong = [operation.value for operation in operations if operation not in RULE_OPERATIONS]
    if wrong or not operations:
        allowed = ", ".join(operation.value for operation in RULE_OPERATIONS)
        raise InvalidRequestError.of("operations", f"give one or more of {allowed}")
    return frozenset(operations)


def _pattern(keys: str) -> str:
    if not 1 <= len(keys) <= LABEL_MAX or not keys.isprintable():
        raise InvalidRequestError.of("keys", f"a label pattern has 1 to {LABEL_MAX} printable characters")
    return keys


def _words(rule: AccessRule) -> str:
    operations = ",".join(sorted(operation.value for operation in rule.operations))
    return f"user '{rule.user}' may {operations} with '{rule.keys}' in core {rule.core}"


def _require(connection: Connection, number: int) -> AccessRule:
    rule = users.get_rule(connection, number)
    if rule is None:
        raise NotFoundError(f"there is no rule {number}; see `privyseal rule list`")
    return rule
