"""List the keys of a core that a user may see, a page at a time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from privyseal.model.access import Operation, Role, Selector
from privyseal.model.cores import Core
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import decide_about, require_entry
from privyseal.operations.perform import Act, Caller
from privyseal.store import cores, keys
from privyseal.store.store import Store
from privyseal.wire import names

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
    """What to list: everything, the keys with a tag or an object id, or the one key with this label or id."""

    label: str | None = None
    id: str | None = None
    tag: str | None = None
    object_id: str | None = None


async def list_keys(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, where: Filter, after: int, limit: int
) -> Page:
    """Give up to `limit` keys after a number. Raises NotFoundError, or AccessRefusedError without any rule here."""
    if where.tag is not None:
        names.tag(where.tag)
    names.object_id(where.object_id)
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    require_entry(caller, core, Operation.KEY_READ)
    return await asyncio.to_thread(_page, appliance.store, caller, core, where, after, limit)


def allowed_operations(caller: Caller, key: Key, operations: tuple[Operation, ...]) -> list[str]:
    """Give those of `operations` that the caller may do with a key."""
    return [operation.value for operation in operations if decide_about(caller, operation, key).allowed]


def _page(store: Store, caller: Caller, core: Core, where: Filter, after: int, limit: int) -> Page:
    rules = caller.snapshot.rules_of(caller.user, core)
    with store.read() as connection:
        revision = cores.get(connection, core.number).revision
    everything = [(Selector.LABEL, "*")]
    selected = [(rule.selector, rule.keys) for rule in rules] if caller.user.role is Role.OPERATOR else everything

    def visible(key: Key) -> bool:
        return decide_about(caller, Operation.KEY_READ, key).allowed

    if where.label is not None or where.id is not None:
        return Page(core, _single(store, core, where, visible), None, revision)
    found: list[tuple[int, Key]] = []
    while len(found) <= limit:
        with store.read() as connection:
            read = keys.page(connection, core.number, after, _READ_AT_ONCE, selected, where.tag, where.object_id)
        found += [(number, key) for number, key in read if visible(key)]
        if len(read) < _READ_AT_ONCE:
            break
        after = read[-1][0]
    more = found[limit - 1][0] if len(found) > limit else None
    return Page(core, [key for _, key in found[:limit]], more, revision)


def _single(store: Store, core: Core, where: Filter, visible: Callable[[Key], bool]) -> list[Key]:
    if not all((name or "").isprintable() for name in (where.id, where.label)):
        return []  # no key is called that, and PostgreSQL takes no NUL
    with store.read() as connection:
        if where.id is not None:
            key = keys.by_id(connection, core.number, where.id)
        else:
            key = keys.by_label(connection, core.number, where.label or "")
    if key is None or where.label not in (None, key.label) or where.object_id not in (None, key.object_id):
        return []
    if where.tag is not None and where.tag not in key.tags:
        return []
    return [key] if visible(key) else []
