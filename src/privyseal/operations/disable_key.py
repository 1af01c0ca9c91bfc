"""Disable and enable a key: while it is disabled it is listed, verifies, and refuses use."""

from dataclasses import replace

from privyseal.model.access import Operation
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import require_unscheduled
from privyseal.operations.manage import change
from privyseal.operations.perform import Act, Caller
from privyseal.store import key_life


async def set_disabled(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], *, disabled: bool
) -> Key:
    """Disable or enable a key; doing so twice is no error. Raises ConflictError for one scheduled for destruction."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_MANAGE)
    require_unscheduled(known.key)
    key = replace(known.key, disabled=disabled)
    reason = f"label '{key.label}'"
    return await change(appliance, caller, act, reason, lambda connection: key_life.change(connection, key))
