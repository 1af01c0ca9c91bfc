"""The door before all doors: what is not operational says so before it looks anything up.

What a worker knows here costs a request nothing: the keeper tells every change of its state by itself. Only where a
worker believes that the appliance is not operational does it ask, so an unlocked appliance is served at once.
"""

import asyncio

from privyseal.errors import ApplianceLockedError, NotProvisionedError
from privyseal.operations.appliance import Appliance, load
from privyseal.state import State, state_of
from privyseal.store import appliance as appliance_rows
from privyseal.store.store import Store


async def find_state(appliance: Appliance) -> State:
    """Give the state as it is now; a worker that was started before the provisioning finds out about it here."""
    if not appliance.node:
        await asyncio.to_thread(_discover, appliance)
    status = await appliance.keeper.watch()
    return state_of(provisioned=bool(appliance.node), unlocked=status.unlocked)


async def require_operational(appliance: Appliance) -> None:
    """Raise ApplianceLockedError or NotProvisionedError unless signatures can be made."""
    if appliance.is_operational:
        return
    match await find_state(appliance):
        case State.UNPROVISIONED:
            raise NotProvisionedError("the appliance is not provisioned yet; type `privyseal provision` first")
        case State.LOCKED:
            raise ApplianceLockedError("the appliance is locked; unlock it with `privyseal unlock`")
        case State.OPERATIONAL:
            return


def _discover(appliance: Appliance) -> None:
    node = node_of(appliance.store)
    if node is not None:
        appliance.snapshot = load(appliance.store)
        appliance.node = node  # last: from here on the snapshot is used


def node_of(store: Store) -> str | None:
    """Give the node's name, None while the database belongs to no appliance."""
    with store.read() as connection:
        return appliance_rows.node(connection)
