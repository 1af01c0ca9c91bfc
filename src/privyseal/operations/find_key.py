"""Finding one key by id or label, for an operation that a user asks for. What a user may not know of is not there.

Whether a key is missing or hidden, the answer is the same words: it names the rule that would be needed, and says
nothing about the key.
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
    known = caller.snapshot.keys.get((core.number, key_ref)) or await look_up(appliance, caller, core, key_ref)
    if known is None:
        raise _hidden(caller, core, operation, key_ref)
    act.key = known.key.id
    decision = decide_about(caller, operation, known.key)
    if decision.allowed:
        return known
    if decide_about(caller, Operation.KEY_READ, known.key).allowed:
        raise AccessRefusedError(decision)
    act.key = key_ref[:128]
    raise _hidden(caller, core, operation, key_ref)


async def look_up(appliance: Appliance, caller: Caller, core: Core, key_ref: str) -> KnownKey | None:
    """Give a key by id or label whoever asks. What comes of it is for those who may know of the key."""
    found = caller.snapshot.keys.get((core.number, key_ref))
    if found is not None:
        return found
    key = await asyncio.to_thread(_query, appliance.store, core.number, key_ref)
    if key is None:
        return None
    known = KnownKey.of(key)
    caller.snapshot.remember(core, key_ref, known)
    return known


def decide_about(caller: Caller, operation: Operation, key: Key) -> Decision:
    """Decide whether the caller may do something with a key that is there."""
    rules = caller.snapshot.rules.get((caller.user.name, key.core), ())
    return decide(caller.user, operation, key.core, key.label, rules, key.id, key.tags)


def require_entry(caller: Caller, core: Core, operation: Operation, key_ref: str | None = None) -> None:
    """Refuse an operator without any rule in a core, before anything is looked up there; raises AccessRefusedError."""
    refusal = outside_core(caller.user, core.number)
    if refusal is not None:
        raise AccessRefusedError(refusal)
    if caller.user.role is not Role.OPERATOR or caller.snapshot.rules_of(caller.user, core):
        return
    reason = f"user '{caller.user.name}' has no access rule in core {core.number}"
    user = caller.user.name
    if key_ref is None:
        command: str | None = missing_entry(user, operation, core.number)
    else:
        command = missing_rule(user, operation, core.number, key_ref)
    raise AccessRefusedError(Decision(allowed=False, reason=reason, missing_rule=command))


def _hidden(caller: Caller, core: Core, operation: Operation, key_ref: str) -> KeyNotFoundError:
    command = missing_rule(caller.user.name, operation, core.number, key_ref)
    words = f"core {core.number} has no key '{key_ref}' that user '{caller.user.name}' may know of"
    return KeyNotFoundError(
        words if command is None else f"{words}; if there is one, this is missing: {command}", command
    )


def _query(store: Store, core: int, key_ref: str) -> Key | None:
    if not key_ref.isprintable():  # no label is like that, and PostgreSQL takes no NUL
        return None
    find = keys.by_id if is_key_id(key_ref) else keys.by_label
    with store.read() as connection:
        return find(connection, core, key_ref)
