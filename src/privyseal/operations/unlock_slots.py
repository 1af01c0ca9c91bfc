"""Unlock slots: list, add, remove, rotate. There is always one left, and what opens one is shown once."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from privyseal.errors import ConflictError, NotFoundError
from privyseal.model.access import Operation
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.openers import Handed, handed
from privyseal.operations.perform import Act, Caller
from privyseal.store import appliance as appliance_rows
from privyseal.store.store import changed
from privyseal.wire import frames

SLOTS_MAX = 16


@dataclass(frozen=True, slots=True)
class ListedSlot:
    """A slot as people see it."""

    number: int
    kind: str
    created: datetime


async def list_slots(appliance: Appliance, caller: Caller) -> list[ListedSlot]:
    """Give all unlock slots."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    found = await look(appliance, appliance_rows.slots)
    return [ListedSlot(slot.number, slot.kind, slot.created) for slot in found]


async def add_slot(appliance: Appliance, caller: Caller, act: Act, opener: frames.Opener) -> Handed:
    """Add a slot. Raises ConflictError when there are too many."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    made = await appliance.keeper.ask(frames.AddSlot(opener), frames.Slot)

    def work(connection: Connection) -> Handed:
        if len(appliance_rows.slots(connection)) >= SLOTS_MAX:
            raise ConflictError(f"there are {SLOTS_MAX} unlock slots already; remove one first")
        return _add(connection, opener, made)

    return await change(appliance, caller, act, f"slot of kind {_kind(opener)}", work)


async def remove_slot(appliance: Appliance, caller: Caller, act: Act, number: int) -> None:
    """Remove a slot. Raises NotFoundError, or ConflictError for the last one."""
    require_role(caller, Operation.APPLIANCE_MANAGE)

    def work(connection: Connection) -> None:
        _require(connection, number)
        if len(appliance_rows.slots(connection)) == 1:
            raise ConflictError("this is the last unlock slot: without it nobody could unlock again; add another first")
        appliance_rows.remove_slot(connection, number)
        changed(connection)

    await change(appliance, caller, act, f"slot {number}", work)


async def rotate_slot(appliance: Appliance, caller: Caller, act: Act, number: int, opener: frames.Opener) -> Handed:
    """Replace a slot by a new one of any kind, in one step: what opened the old one opens nothing any more."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    await look(appliance, lambda connection: _require(connection, number))
    made = await appliance.keeper.ask(frames.AddSlot(opener), frames.Slot)

    def work(connection: Connection) -> Handed:
        _require(connection, number)
        new = _add(connection, opener, made)
        appliance_rows.remove_slot(connection, number)
        return new

    return await change(appliance, caller, act, f"slot {number}, now of kind {_kind(opener)}", work)


def _kind(opener: frames.Opener) -> str:
    return f"{opener.way}, {opener.needed} of {opener.total}" if opener.needed else opener.way


def _add(connection: Connection, opener: frames.Opener, made: frames.Slot) -> Handed:
    number = appliance_rows.add_slot(connection, opener.way, made.sealed)
    changed(connection)  # a rotation of the domain key must not overlook it
    return handed(number, opener, made)


def _require(connection: Connection, number: int) -> None:
    if all(slot.number != number for slot in appliance_rows.slots(connection)):
        raise NotFoundError(f"there is no unlock slot {number}; see `privyseal unlock-slot list`")
