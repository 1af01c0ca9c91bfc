"""Change a key's label, tags and object id. Rules go by the first two: a change may not widen what its maker may do.

Else somebody who may manage keys `test*` and sign with keys tagged `prod` would tag a test key `prod`, or call it
`release` where hosts look for a key of that name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from privyseal.access.decide import refusal
from privyseal.errors import AccessRefusedError, ConflictError
from privyseal.model.access import KEY_RULE_OPERATIONS, Decision, Operation
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import require_unscheduled
from privyseal.operations.list_keys import allowed_operations
from privyseal.operations.manage import change
from privyseal.operations.perform import Act, Caller
from privyseal.store import keys
from privyseal.wire import names


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be changed.

    Attributes:
        label, object_id: None means it stays.
        add_tags: each takes the place of the tag of the same name.
        remove_tags: a whole tag, or the name of one whatever its value; one that is not there is no error.
    """

    label: str | None = None
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()
    object_id: str | None = None


async def update_key(appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], changes: Changes) -> Key:
    """Change a key's label, tags and object id; the id stays.

    Raises:
        InvalidRequestError: label or tags do not fit.
        ConflictError: the label is taken in this core, or the key is scheduled for destruction.
        AccessRefusedError: also when the change would let the caller do more with this key, or not manage it any more.
        NotFoundError, KeyNotFoundError, UnavailableError, StaleDecisionError
    """
    known = await find_key(appliance, caller, act, *place, Operation.KEY_MANAGE)
    require_unscheduled(known.key)
    key = _changed(known.key, changes)
    _refuse_widening(caller, known.key, key)

    def work(connection: Connection) -> Key:
        other = keys.by_label(connection, key.core, key.label)
        if other is not None and other.id != key.id:
            raise ConflictError(f"core {key.core} has a key with label '{key.label}' already")
        return keys.rename(connection, key)

    return await change(appliance, caller, act, _words(known.key, key), work)


def _changed(key: Key, changes: Changes) -> Key:
    added = names.tags(changes.add_tags, "add_tags")
    gone = {names.tag(one, "remove_tags") for one in changes.remove_tags}
    replaced = {names.tag_name(one) for one in added}
    left = [one for one in key.tags if not gone & {one, names.tag_name(one)} and names.tag_name(one) not in replaced]
    label = key.label if changes.label is None else names.label(changes.label)
    object_id = names.object_id(changes.object_id) or key.object_id
    return replace(key, label=label, tags=names.tags([*left, *added], "add_tags"), object_id=object_id)


def _refuse_widening(caller: Caller, old: Key, new: Key) -> None:
    before, after = (set(allowed_operations(caller, one, KEY_RULE_OPERATIONS)) for one in (old, new))
    if Operation.KEY_MANAGE.value not in after:
        raise AccessRefusedError(refusal(caller.user, Operation.KEY_MANAGE, new.core, new.label))
    gained = sorted(after - before)
    if gained:
        reason = f"the change would let user '{caller.user.name}' do {', '.join(gained)} with this key too"
        raise AccessRefusedError(Decision(allowed=False, reason=f"{reason}; ask an administrator to make it"))


def _words(old: Key, new: Key) -> str:
    label = f"label '{old.label}'" if old.label == new.label else f"label '{old.label}' -> '{new.label}'"
    words = f"{label}, tags {_listed(old)} -> {_listed(new)}"
    return words if old.object_id == new.object_id else f"{words}, object_id {old.object_id} -> {new.object_id}"


def _listed(key: Key) -> str:
    return ",".join(key.tags) or "none"
