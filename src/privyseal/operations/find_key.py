"""Finding one key by id or label, for an operation that a user asks for. What a user may not know of is not there.

Whether a key is missing or hidden, the answer is the same words: it names the rule that would be needed, and says
nothing about the key. It takes the same steps too: a key that is remembered because others use it is read from the
store all the same for who may not know of it, and for one that is not there another key is read and judged.
"""

import asyncio

from privyseal.access.decide import decide, missing_entry, missing_rule
from privyseal.access.scope import outside_core
from privyseal.errors import AccessRefusedError, KeyNotFoundError
from privyseal.model.access import Decision, Operation, Role
from privyseal.model.cores import Core
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.perform import Act, Caller
from privyseal.store import keys
from privyseal.store.store import Store
from privyseal.wire.names import is_key_id


async def find_key(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, key_ref: str, operation: Operation
) -> KnownKey:
    """Give the key if the caller may do `operation` with it.

    Raises:
        NotFoundError: there is no such core.
        AccessRefusedError: no rule allows it, and the caller may know that the key is there.
        KeyNotFoundError: no such key, or the caller may not know of it.
    """
    core = caller.snapshot.core(core_ref)
    act.core, act.key = core.number, key_ref[:128]
    require_entry(caller, core, operation, key_ref)
    known = caller.snapshot.keys.get((core.number, key_ref))
    decision = None if known is None else _told(caller, operation, known.key)
    if known is None or decision is None:
        key, is_it = await read_key(appliance, core, key_ref)
        decision = None if key is None else _told(caller, operation, key)
        if key is None or not is_it or decision is None:
            raise _hidden(caller, core, operation, key_ref)
        known = KnownKey.of(key)
        caller.snapshot.remember(core, key_ref, known)
    act.key = known.key.id
    if not decision.allowed:
        raise AccessRefusedError(decision)
    return known


async def read_key(appliance: Appliance, core: Core, key_ref: str) -> tuple[Key | None, bool]:
    """Give a key by id or label whoever asks, and whether it is that one: for want of it there is another to judge.

    What comes of it is for those who may know of the key.
    """
    return await asyncio.to_thread(_query, appliance.store, core.number, key_ref)


def _told(caller: Caller, operation: Operation, key: Key) -> Decision | None:
    """Decide about a key; None for who may not know of it."""
    decision = decide_about(caller, operation, key)
    return decision if decision.allowed or decide_about(caller, Operation.KEY_READ, key).allowed else None


def decide_about(caller: Caller, operation: Operation, key: Key) -> Decision:
    """Decide whether the caller may do something with a key that is there."""
    rules = caller.snapshot.rules.get((caller.user.name, key.core), ())
    return decide(caller.user, operation, key.core, key.label, rules, key.id, key.tags)


def may_enter(caller: Caller, core: Core) -> bool:
    """Say whether a core is there for the caller: who manages or audits, or an operator with a rule in it."""
    if outside_core(caller.user, core.number) is not None:
        return False
    if caller.user.role in _EVERYWHERE:
        return True
    return _goes_by_rules(caller) and bool(caller.snapshot.rules_of(caller.user, core))


def require_entry(caller: Caller, core: Core, operation: Operation, key_ref: str | None = None) -> None:
    """Refuse a core that is not there for the caller, before anything is looked up; raises AccessRefusedError."""
    if may_enter(caller, core):
        return
    refusal = outside_core(caller.user, core.number)
    if refusal is not None:
        raise AccessRefusedError(refusal)
    user, role = caller.user.name, caller.user.role.value
    if not _goes_by_rules(caller):
        raise AccessRefusedError(Decision(allowed=False, reason=f"user '{user}' has role {role}, which enters no core"))
    reason = f"user '{user}' has no access rule in core {core.number}"
    if key_ref is None:
        command: str | None = missing_entry(user, operation, core.number)
    else:
        command = missing_rule(user, operation, core.number, key_ref)
    raise AccessRefusedError(Decision(allowed=False, reason=reason, missing_rule=command))


_EVERYWHERE = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})


def _goes_by_rules(caller: Caller) -> bool:
    return caller.user.role is Role.OPERATOR


def _hidden(caller: Caller, core: Core, operation: Operation, key_ref: str) -> KeyNotFoundError:
    command = missing_rule(caller.user.name, operation, core.number, key_ref)
    words = f"core {core.number} has no key '{key_ref}' that user '{caller.user.name}' may know of"
    return KeyNotFoundError(
        words if command is None else f"{words}; if there is one, this is missing: {command}", command
    )


def _query(store: Store, core: int, key_ref: str) -> tuple[Key | None, bool]:
    if not key_ref.isprintable():  # no label is like that, and PostgreSQL takes no NUL
        return None, False
    with store.read() as connection:
        return keys.by_name(connection, core, key_ref, is_id=is_key_id(key_ref)) or (None, False)
