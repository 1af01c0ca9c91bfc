"""Reading from the store for a caller who may see what is read."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from privyseal.operations.appliance import Appliance

_Result = TypeVar("_Result")


async def look(appliance: Appliance, work: Callable[[Connection], _Result]) -> _Result:
    """Carry out `work` in a transaction that sees one state and changes nothing."""

    def run() -> _Result:
        with appliance.store.read() as connection:
            return work(connection)

    return await asyncio.to_thread(run)
