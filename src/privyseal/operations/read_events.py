"""Read the record: for administrators and auditors."""

from privyseal.model.access import Operation
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Caller
from privyseal.store import events


async def read_events(appliance: Appliance, caller: Caller, after: int, limit: int) -> list[events.Recorded]:
    """Give up to `limit` events whose number is above `after`. Raises AccessRefusedError."""
    require_role(caller, Operation.AUDIT_READ)
    return await look(appliance, lambda connection: events.page(connection, after, limit))
