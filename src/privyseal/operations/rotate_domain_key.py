"""Rotate the domain key: a new one, and every sealed record sealed with it, while signatures go on.

The steps in the keeper are in `keeper.custody`. Here each of them is followed by a transaction, and whoever comes next
begins where the last transaction ended, so that a worker, the keeper or all of them may die between any two:

(1) begin      the slots get both domain keys, and the rotation its row
(2) adopt      the keeper seals with the new key; then the generation moves on, so that nothing that was sealed with the
               old key before can be stored after; the slots are written once more, for one that was added meanwhile
(3) reseal     group after group; a record that somebody changed meanwhile was sealed with the new key then
(4) conclude   the slots get the new key alone and the row goes
(5) forget     the keeper forgets the old key

Whichever worker holds the lease drives it. A record that opens with neither key holds up (4): nothing is given up.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from privyseal.errors import ConflictError, PrivysealError, StaleDecisionError
from privyseal.keeper.client import NoSuccessorError, RecordDamagedError
from privyseal.model.access import Operation
from privyseal.model.event import Event, Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import appliance as appliance_rows
from privyseal.store import events, rotation, sealed
from privyseal.store.appliance import UnlockSlot
from privyseal.store.rotation import RESEALING, Rotation
from privyseal.store.store import changed
from privyseal.store.times import now_micros
from privyseal.wire import frames

_log = logging.getLogger("privyseal.rotation")
_GROUP = 50  # records in one transaction: a tenth of a second, so that signatures do not wait for it
_POLL_SECONDS = 1.0
_DAMAGED_SECONDS = 5.0


@dataclass(slots=True)
class Driver:
    """One worker's part in it. `forgotten` is set once the keeper is known to hold no old key."""

    appliance: Appliance
    name: str
    forgotten: bool = False


async def begin(appliance: Appliance, caller: Caller, act: Act) -> Rotation:
    """(1) Begin a rotation. Raises ConflictError while one is under way, or when a slot came from elsewhere."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    if await look(appliance, rotation.get) is not None:
        raise ConflictError("the domain key is being rotated already; see `privyseal domain-key status`")
    before = await look(appliance, appliance_rows.slots)
    try:
        await appliance.keeper.ask(frames.Forget(_sealed(before)), frames.Done)  # what is left of the rotation before
        both = await appliance.keeper.ask(frames.Succeed(_sealed(before)), frames.Slots)
    except RecordDamagedError as error:
        raise ConflictError("an unlock slot is not of this appliance's making; find out who put it there") from error

    def work(connection: Connection) -> Rotation:
        rotation.begin(connection, both.name, caller.user.name)
        _replace(connection, before, both.sealed)
        found = rotation.get(connection)
        assert found is not None  # noqa: S101 - written just above
        return found

    return await change(appliance, caller, act, "begun", work)


async def status(appliance: Appliance, caller: Caller) -> Rotation | None:
    """Give the rotation that is under way, or None."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    return await look(appliance, rotation.get)


async def drive(appliance: Appliance) -> None:
    """Carry on with whatever rotation there is, for ever. Each API worker runs this."""
    driver = Driver(appliance, os.urandom(16).hex())
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        if appliance.is_operational:
            try:
                await _carry_on(driver)
            except (PrivysealError, NoSuccessorError, RecordDamagedError) as error:
                _log.warning("the rotation of the domain key waits: %s", error)
        else:
            driver.forgotten = False


async def _carry_on(driver: Driver) -> None:
    while (found := await asyncio.to_thread(_take, driver)) is not None:
        driver.forgotten = False
        if not await _step(driver, found):
            return
    if not driver.forgotten:
        await _forget(driver)


def _take(driver: Driver) -> Rotation | None:
    """Give the rotation if there is one that this worker may drive."""
    store = driver.appliance.store
    with store.read() as connection:
        if rotation.get(connection) is None:
            return None
    driver.forgotten = False  # whoever drives it may die before the last step
    with store.write() as connection:
        return rotation.get(connection) if rotation.lease(connection, driver.name) else None


async def _step(driver: Driver, found: Rotation) -> bool:
    """Do the next step; False when it has to wait."""
    if found.phase != RESEALING:
        await _adopt(driver, found)
    elif found.source < len(sealed.SOURCES):
        await _reseal(driver, found)
    elif found.damaged:
        _log.warning("%s does not open, so the old domain key has to stay; destroy or restore it", found.damaged)
        await asyncio.sleep(_DAMAGED_SECONDS)  # the status names it meanwhile
        await _write(driver, lambda connection: rotation.move(connection, source=0, position=0, done=0, damaged=""))
        return False
    else:
        await _conclude(driver, found)
    return True


async def _adopt(driver: Driver, found: Rotation) -> None:
    """(2) From here on everything new is sealed with the new key."""
    keeper = driver.appliance.keeper
    await keeper.ask(frames.Adopt(found.name), frames.Done)
    before = await look(driver.appliance, appliance_rows.slots)
    both = await keeper.ask(frames.Succeed(_sealed(before)), frames.Slots)

    def work(connection: Connection) -> None:
        _replace(connection, before, both.sealed)
        rotation.move(connection, phase=RESEALING, total=sealed.count(connection))
        changed(connection)

    await _write(driver, work)


async def _reseal(driver: Driver, found: Rotation) -> None:
    """(3) Seal one group anew."""
    source = sealed.SOURCES[found.source]
    page = await look(driver.appliance, lambda connection: source.page(connection, found.position, _GROUP))
    if not page:
        await _write(driver, lambda connection: rotation.move(connection, source=found.source + 1, position=0))
        return
    records = tuple(record for _, record in page)
    answer = await driver.appliance.keeper.ask(frames.Reseal(records), frames.Resealed)
    damaged = next((f"{source.name} {records[index].id}" for index in answer.damaged), found.damaged)

    def work(connection: Connection) -> None:
        for (number, record), new in zip(page, answer.sealed, strict=True):
            if new is not None:
                source.replace(connection, number, record.sealed, new)
        rotation.move(connection, position=page[-1][0], done=found.done + len(page), damaged=damaged)

    await _write(driver, work)


async def _conclude(driver: Driver, found: Rotation) -> None:
    """(4) The slots get the new key alone."""
    appliance = driver.appliance
    before = await look(appliance, appliance_rows.slots)
    alone = await appliance.keeper.ask(frames.Conclude(_sealed(before)), frames.Slots)
    event = Event(
        time=now_micros(),
        node=appliance.node,
        user=found.user,
        operation="domain-key:rotate",
        outcome=Outcome.DONE,
        reason=f"{found.done} records are sealed with the new domain key",
    )

    def work(connection: Connection) -> None:
        _replace(connection, before, alone.sealed)
        rotation.end(connection)
        changed(connection)  # whoever remembers a record from before has to look again
        events.append(connection, [event])

    await _write(driver, work)


async def _forget(driver: Driver) -> None:
    """(5) The keeper forgets the old key. It refuses unless the slots are the new key's."""
    keeper = driver.appliance.keeper
    if (await keeper.ask(frames.Inspect(), frames.Status)).following is not None:
        slots = await look(driver.appliance, appliance_rows.slots)
        if await look(driver.appliance, rotation.get) is not None:
            return
        await keeper.ask(frames.Forget(_sealed(slots)), frames.Done)
    driver.forgotten = True


async def _write(driver: Driver, work: Callable[[Connection], None]) -> None:
    """Write a step down, unless another worker has taken over meanwhile."""

    def run() -> None:
        with driver.appliance.store.write() as connection:
            if not rotation.lease(connection, driver.name):
                raise StaleDecisionError("another worker goes on with it")
            work(connection)

    await asyncio.to_thread(run)


def _sealed(slots: list[UnlockSlot]) -> tuple[bytes, ...]:
    return tuple(slot.sealed for slot in slots)


def _replace(connection: Connection, before: list[UnlockSlot], new: tuple[bytes, ...]) -> None:
    if appliance_rows.slots(connection) != before:
        raise StaleDecisionError("an unlock slot was added or removed meanwhile")
    for slot, content in zip(before, new, strict=True):
        appliance_rows.replace_slot(connection, slot.number, content)
