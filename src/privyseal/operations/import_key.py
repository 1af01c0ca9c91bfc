"""Take in a key that was not made here: it comes wrapped to a key of the keeper's own, so no API worker sees it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from privyseal.access.decide import missing_entry
from privyseal.access.scope import outside_core
from privyseal.errors import AccessRefusedError, InvalidRequestError
from privyseal.model.access import Decision, Operation, Role
from privyseal.model.event import Outcome
from privyseal.model.keys import Key
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import require_entry
from privyseal.operations.generate_key import Named, keep, place_for
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Act, Caller
from privyseal.wire import frames, names, policies


@dataclass(frozen=True, slots=True)
class ImportKey:
    """The public half of a key that wraps one private key on its way in; it serves once."""

    id: str
    public_key: bytes
    expires: datetime


async def new_import_key(appliance: Appliance, caller: Caller, act: Act, core_ref: str) -> ImportKey:
    """Make an import key; for those who may import something into this core."""
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    require_entry(caller, core, Operation.KEY_IMPORT)
    refusal = outside_core(caller.user, core.number, Operation.KEY_IMPORT)
    if refusal is not None:
        raise AccessRefusedError(refusal)
    rules = caller.snapshot.rules_of(caller.user, core)
    if caller.user.role is not Role.OPERATOR:
        require_role(caller, Operation.KEY_IMPORT)
    elif not any(Operation.KEY_IMPORT in rule.operations for rule in rules):
        reason = f"no access rule lets user '{caller.user.name}' do key:import in core {core.number}"
        command = missing_entry(caller.user.name, Operation.KEY_IMPORT, core.number)
        raise AccessRefusedError(Decision(allowed=False, reason=reason, missing_rule=command))
    made = await appliance.keeper.ask(frames.NewImportKey(caller.user.name, core.number), frames.ImportKey)
    found = ImportKey(made.id, made.public_key, datetime.fromtimestamp(made.expires, UTC))
    done = act.event(appliance, caller.user.name, Outcome.DONE, reason=f"import key {made.id}")
    await appliance.recorder.record([done], caller.snapshot.generation, act.keeps(lambda _: found))
    return found


async def import_key(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    core_ref: str,
    label: str,
    import_key: str,
    wrapped: bytes,
    *,
    pin: str | None,
    policy: Mapping[str, Any] | None,
    tags: Sequence[str] = (),
    object_id: str | None = None,
) -> Key:
    """Take in a wrapped key; it is marked as imported for ever.

    Args:
        import_key: the id of an import key of the same user and core.
        wrapped: see `wire.keywrap`.
        object_id: as for `generate_key`.

    Raises:
        InvalidRequestError: also when the key does not unwrap or is none that is kept here.
        ConflictError, NotFoundError, AccessRefusedError, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    named = Named(label, names.tags(tags), names.object_id(object_id))
    core = await place_for(appliance, caller, act, core_ref, named, pin, Operation.KEY_IMPORT)
    wanted = policies.changed(policies.EVERYTHING, policy or {}, None)
    request = frames.Import(
        caller.user.name, core.number, import_key, wrapped, os.urandom(8).hex(), pin, core.pin_salt, wanted
    )
    try:
        made = await appliance.keeper.ask(request, frames.Generated)
    except InvalidRequestError:
        await repeat.wait_for_other(
            appliance.store, act.repeat
        )  # the import key serves once, and may just have done so
        raise
    return await keep(appliance, caller, act, made, named)
