"""Objects beside keys: certificates, public keys and data that hosts keep on the appliance, for every host to see.

Rules go by label, as for keys. Whoever may do anything in a core with such a label may see the object.
"""

import asyncio
import hashlib
import os
from dataclasses import dataclass, replace
from typing import Any

from privyseal.access.decide import by_role, decide
from privyseal.errors import AccessRefusedError, NotFoundError
from privyseal.model.access import Operation, Role
from privyseal.model.cores import Core
from privyseal.model.objects import ObjectClass, StoredObject
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import require_entry
from privyseal.operations.look import look
from privyseal.operations.manage import change
from privyseal.operations.perform import Act, Caller
from privyseal.store import cores, objects
from privyseal.store.objects import Filter
from privyseal.store.store import Store
from privyseal.store.times import now
from privyseal.wire import names
from privyseal.wire.names import is_key_id
from privyseal.wire.objects import checked

_READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Objects by creation; the number to go on from, None at the end; and the core's revision before they were read."""

    objects: list[StoredObject]
    next: int | None
    revision: int


async def list_objects(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, where: Filter, after: int, limit: int
) -> Page:
    """Give up to `limit` objects after a number. Raises NotFoundError, or AccessRefusedError without any rule here."""
    names.object_id(where.object_id)
    core = _entered(caller, act, core_ref, Operation.OBJECT_READ)
    if not (where.label or "").isprintable():  # no label is like that, and PostgreSQL takes no NUL
        where = replace(where, label="*")
    return await asyncio.to_thread(_page, appliance.store, caller, core, where, after, limit)


async def get_object(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    core_ref: str,
    object_id: str,
    operation: Operation = Operation.OBJECT_READ,
) -> StoredObject:
    """Give one object, for `operation`; raises NotFoundError also to those who may not see it."""
    core = _entered(caller, act, core_ref, operation)
    act.key = object_id[:128]
    known = is_key_id(object_id)
    found = await look(
        appliance, lambda connection: objects.by_id(connection, core.number, object_id) if known else None
    )
    if found is None or not _may(caller, Operation.OBJECT_READ, found):
        raise NotFoundError(f"core {core.number} has no object '{object_id}' that user '{caller.user.name}' may see")
    return found


async def create_object(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, object_class: ObjectClass, values: dict[str, Any]
) -> StoredObject:
    """Keep an object.

    Args:
        values: by the names of `StoredObject`: `label`, `object_id`, `value`, `application`, `oid`.

    Raises: InvalidRequestError, NotFoundError, AccessRefusedError, UnavailableError, StaleDecisionError
    """
    core = _entered(caller, act, core_ref, Operation.OBJECT_CREATE)
    blank = StoredObject(os.urandom(8).hex(), core.number, object_class, "", "", b"", now())
    made = checked(replace(blank, **values))
    act.key = made.id
    _require(caller, Operation.OBJECT_CREATE, made)
    return await change(appliance, caller, act, _words(made), lambda connection: objects.add(connection, made))


async def update_object(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, object_id: str, values: dict[str, Any]
) -> StoredObject:
    """Change an object; who may, may destroy the old one and create the new one. Raises as `create_object`."""
    old = await get_object(appliance, caller, act, core_ref, object_id, Operation.OBJECT_CREATE)
    _require(caller, Operation.OBJECT_DESTROY, old)
    new = checked(replace(old, **values))
    _require(caller, Operation.OBJECT_CREATE, new)
    reason = f"{_words(old)} -> {_words(new)}"
    return await change(appliance, caller, act, reason, lambda connection: objects.change(connection, new))


async def destroy_object(appliance: Appliance, caller: Caller, act: Act, core_ref: str, object_id: str) -> None:
    """Remove an object; keys are not touched. Raises as `create_object`."""
    gone = await get_object(appliance, caller, act, core_ref, object_id, Operation.OBJECT_DESTROY)
    _require(caller, Operation.OBJECT_DESTROY, gone)
    await change(appliance, caller, act, _words(gone), lambda connection: objects.remove(connection, gone))


def _entered(caller: Caller, act: Act, core_ref: str, operation: Operation) -> Core:
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    require_entry(caller, core, operation)
    account = caller.user if caller.user.scope is None else caller.user.scope.account
    if account.role is not Role.OPERATOR and not (decision := by_role(account, operation)).allowed:
        raise AccessRefusedError(decision)
    return core


def _page(store: Store, caller: Caller, core: Core, where: Filter, after: int, limit: int) -> Page:
    with store.read() as connection:
        revision = cores.get(connection, core.number).revision
    found: list[tuple[int, StoredObject]] = []
    while len(found) <= limit:
        with store.read() as connection:
            read = objects.page(connection, core.number, after, _READ_AT_ONCE, where)
        found += [(number, one) for number, one in read if _may(caller, Operation.OBJECT_READ, one)]
        if len(read) < _READ_AT_ONCE:
            break
        after = read[-1][0]
    more = found[limit - 1][0] if len(found) > limit else None
    return Page([one for _, one in found[:limit]], more, revision)


def _may(caller: Caller, operation: Operation, one: StoredObject) -> bool:
    rules = caller.snapshot.rules.get((caller.user.name, one.core), ())
    return decide(caller.user, operation, one.core, one.label, rules).allowed


def _require(caller: Caller, operation: Operation, one: StoredObject) -> None:
    rules = caller.snapshot.rules.get((caller.user.name, one.core), ())
    decision = decide(caller.user, operation, one.core, one.label, rules)
    if not decision.allowed:
        raise AccessRefusedError(decision)


def _words(one: StoredObject) -> str:
    digest = hashlib.sha256(one.value).hexdigest()
    return f"{one.object_class.value} '{one.label}' with object_id {one.object_id or 'none'} and SHA-256 {digest}"
