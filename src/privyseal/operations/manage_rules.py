"""Access rules: create, list, change, delete; and why somebody may or may not do something."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from privyseal.access.decide import fits
from privyseal.errors import InvalidRequestError, NotFoundError
from privyseal.model.access import RULE_OPERATIONS, AccessRule, Operation, Role, Selector
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import keys as key_rows
from privyseal.store import users
from privyseal.store.times import now
from privyseal.wire import names
from privyseal.wire.names import LABEL_MAX

_MAKING = frozenset(  # of use before there is a key
    {
        Operation.KEY_GENERATE,
        Operation.KEY_IMPORT,
        Operation.OBJECT_CREATE,
        Operation.OBJECT_DESTROY,
        Operation.OBJECT_READ,
    }
)
_WORDS = {Selector.LABEL: "a label like", Selector.ID: "the id", Selector.TAG: "the tag"}


@dataclass(frozen=True, slots=True)
class Subject:
    """For whom a rule is: a user or a group."""

    user: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """Which keys a rule is about: a label pattern, a key's id, or a tag."""

    keys: str | None = None
    key_id: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class MadeRule:
    """A rule as it is now, and what whoever made it may not have meant."""

    rule: AccessRule
    warnings: tuple[str, ...]


async def create_rule(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    subject: Subject,
    core_ref: str,
    operations: list[Operation],
    selected: Selected,
) -> MadeRule:
    """Make a rule. Raises NotFoundError for user, group or core, InvalidRequestError, AccessRefusedError."""
    require_role(caller, Operation.RULE_MANAGE)
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    _check_subject(caller, subject)
    selector, keys = _selector(selected)
    rule = AccessRule(0, subject.user, core.number, _checked(operations), keys, now(), selector, subject.group)
    warnings = await warnings_about(appliance, caller, rule)
    return await change(
        appliance, caller, act, _words(rule), lambda connection: MadeRule(users.add_rule(connection, rule), warnings)
    )


async def list_rules(
    appliance: Appliance, caller: Caller, user: str | None, core_ref: str | None, group: str | None = None
) -> list[AccessRule]:
    """Give the rules, all or those of a user with the user's groups, a group or a core. Users may see their own."""
    if user is None or user != caller.user.name:
        require_role(caller, Operation.RULE_MANAGE)
    core = None if core_ref is None else caller.snapshot.core(core_ref).number
    if user is not None and user not in caller.snapshot.users:
        return []
    return await look(appliance, lambda connection: users.every_rule(connection, user, core, group))


async def get_rule(appliance: Appliance, caller: Caller, number: int) -> AccessRule:
    """Give one rule; raises NotFoundError."""
    require_role(caller, Operation.RULE_MANAGE)
    return await look(appliance, lambda connection: _require(connection, number))


async def update_rule(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    number: int,
    operations: list[Operation] | None,
    selected: Selected,
) -> MadeRule:
    """Change what a rule allows, or with which keys."""
    require_role(caller, Operation.RULE_MANAGE)
    rule = await get_rule(appliance, caller, number)
    act.core = rule.core
    if operations is not None:
        rule = replace(rule, operations=_checked(operations))
    if selected != Selected():
        selector, keys = _selector(selected)
        rule = replace(rule, selector=selector, keys=keys)
    warnings = await warnings_about(appliance, caller, rule)

    def work(connection: Connection) -> MadeRule:
        users.change_rule(connection, rule)
        return MadeRule(_require(connection, number), warnings)

    return await change(appliance, caller, act, f"rule {number}: {_words(rule)}", work)


async def delete_rule(appliance: Appliance, caller: Caller, act: Act, number: int) -> None:
    """Remove a rule; whoever used it is refused from the next answer on."""
    require_role(caller, Operation.RULE_MANAGE)

    def work(connection: Connection) -> None:
        _require(connection, number)
        users.remove_rule(connection, number)

    await change(appliance, caller, act, f"rule {number}", work)


async def warnings_about(appliance: Appliance, caller: Caller, rule: AccessRule) -> tuple[str, ...]:
    """Say what of a rule gives nothing now, or everything."""
    found = list(_about_subject(caller, rule))
    if rule.selector is Selector.LABEL and not rule.keys.strip("*"):
        found.append(f"this is every key in core {rule.core}, also those that are made later")
    elif not _MAKING & rule.operations and not await look(appliance, lambda c: _fits_any(c, rule)):
        found.append(
            f"no key in core {rule.core} has {_WORDS[rule.selector]} '{rule.keys}' now; see `privyseal key list`"
        )
    return tuple(found)


def _about_subject(caller: Caller, rule: AccessRule) -> Iterator[str]:
    if rule.group is not None:
        if not caller.snapshot.groups[rule.group].members:
            yield f"group '{rule.group}' has no members; see `privyseal group add {rule.group} USER`"
        return
    role = caller.snapshot.users[rule.user or ""].role
    if role is not Role.OPERATOR:
        yield f"user '{rule.user}' has role {role.value}, and rules are for operators"


def _fits_any(connection: Connection, rule: AccessRule) -> bool:
    after, size = 0, 1000
    while read := key_rows.page(connection, rule.core, after, size, [(rule.selector, rule.keys)]):
        if any(fits(rule, key.label, key.id, key.tags) for _, key in read):
            return True
        after = read[-1][0]
    return False


def _check_subject(caller: Caller, subject: Subject) -> None:
    if (subject.user is None) == (subject.group is None):
        raise InvalidRequestError.of("user", "give exactly one of user and group")
    if subject.user is not None and subject.user not in caller.snapshot.users:
        raise NotFoundError(f"there is no user '{subject.user}'; see `privyseal user list`")
    if subject.group is not None and subject.group not in caller.snapshot.groups:
        raise NotFoundError(f"there is no group '{subject.group}'; see `privyseal group list`")


def _selector(selected: Selected) -> tuple[Selector, str]:
    given = [(one, value) for one in Selector if (value := getattr(selected, one.value)) is not None]
    if len(given) != 1:
        raise InvalidRequestError.of("keys", "give exactly one of keys (a label pattern), key_id and tag")
    selector, value = given[0]
    if selector is Selector.LABEL:
        return selector, _pattern(value)
    if selector is Selector.TAG:
        return selector, names.tag(value)
    if not names.is_key_id(value):
        raise InvalidRequestError.of("key_id", "a key's id is 16 hexadecimal digits, in small letters")
    return selector, value


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
    who = f"user '{rule.user}'" if rule.group is None else f"group '{rule.group}'"
    which = "" if rule.selector is Selector.LABEL else f"{_WORDS[rule.selector]} "
    return f"{who} may {operations} with {which}'{rule.keys}' in core {rule.core}"


def _require(connection: Connection, number: int) -> AccessRule:
    rule = users.get_rule(connection, number)
    if rule is None:
        raise NotFoundError(f"there is no rule {number}; see `privyseal rule list`")
    return rule
