"""List the keys of a core that a user may see, a page at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from privyseal.access.decide import decide
from privyseal.model.access import Decision, Operation, Role
from privyseal.model.cores import Core
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import require_entry
from privyseal.operations.perform import Act, Caller
from privyseal.store import cores, keys
from privyseal.store.store import Store

_READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Keys by creation; the number to go on from, None at the end; and the core's revision before they were read."""

    core: Core
    keys: list[Key]
    next: int | None
    revision: int


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list: everything, or the one key with this label or id."""

    label: str | None = None
    id: str | None = None


async def list_keys(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, where: Filter, after: int, limit: int
) -> Page:
    """Give up to `limit` keys after a number. Raises NotFoundError, or AccessRefusedError without any rule here."""
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    require_entry(caller, core, Operation.KEY_READ)
    return await asyncio.to_thread(_page, appliance.store, caller, core, where, after, limit)


def allowed_operations(caller: Caller, core: int, label: str, operations: tuple[Operation, ...]) -> list[str]:
    """Give those of `operations` that the caller may do with the key of this label."""
    rules = caller.snapshot.rules.get((caller.user.name, core), ())
    return [operation.value for operation in operations if decide(caller.user, operation, core, label, rules).allowed]


def _page(store: Store, caller: Caller, core: Core, where: Filter, after: int, limit: int) -> Page:
    rules = caller.snapshot.rules_of(caller.user, core)
    with store.read() as connection:
        revision = cores.get(connection, core.number).revision
    patterns = [rule.keys for rule in rules] if caller.user.role is Role.OPERATOR else ["*"]

    def decision(label: str) -> Decision:
        return decide(caller.user, Operation.KEY_READ, core.number, label, rules)

    if where.label is not None or where.id is not None:
        return Page(core, _single(store, core, where, decision), None, revision)
    found: list[tuple[int, Key]] = []
    while len(found) <= limit:
        with store.read() as connection:
            read = keys.page(connection, core.number, after, _READ_AT_ONCE, patterns)
        found += [(number, key) for number, key in read if decision(key.label).allowed]
        if len(read) < _READ_AT_ONCE:
            break
        after = read[-1][0]
    more = found[limit - 1][0] if len(found) > limit else None
    return Page(core, [key for _, key in found[:limit]], more, revision)


def _single(store: Store, core: Core, where: Filter, decision: Callable[[str], Decision]) -> list[Key]:
    if not all((name or "").isprintable() for name in (where.id, where.label)):
        return []  # no key is called that, and PostgreSQL takes no NUL
    with store.read() as connection:
        if where.id is not None:
            key = keys.by_id(connection, core.number, where.id)
        else:
            key = keys.by_label(connection, core.number, where.label or "")
    fits = key is not None and where.label in (None, key.label) and decision(key.label).allowed
    return [key] if key is not None and fits else []
