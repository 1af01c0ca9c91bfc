"""Managing: what changes users, rules and cores. A change, its event and the check of who asks are one transaction."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from privyseal.access.decide import by_role
from privyseal.errors import AccessRefusedError, StaleDecisionError
from privyseal.model.access import Operation
from privyseal.model.approvals import Quorum
from privyseal.model.event import Outcome
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance
from privyseal.operations.approve import Wanted, approved, use
from privyseal.operations.perform import Act, Caller
from privyseal.store import events
from privyseal.store.store import generation

_Result = TypeVar("_Result")


def require_role(caller: Caller, operation: Operation) -> None:
    """Refuse a caller whose role does not allow this; raises AccessRefusedError."""
    decision = by_role(caller.user, operation)
    if not decision.allowed:
        raise AccessRefusedError(decision)


async def change(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    reason: str,
    work: Callable[[Connection], _Result],
    quorum: Quorum | None = None,
    asked: str | None = None,
    made: str | None = None,
) -> _Result:
    """Carry out a change with its event, all or nothing, and with the approval of those who guard it.

    Args:
        reason: what is changed, for the record and for approvers: everything that decides what `work` does.
        work: the change; it runs inside the transaction and may raise what the caller should see. What it gives is
            what a repeated request is answered with, so it is what the operation gives.
        quorum: who guards it; None means whoever guards the act's operation.
        asked: what approvers agree to, where `reason` has something in it that each try makes anew.
        made: the SHA-256 of the public half that a key got, hexadecimal.
    """
    quorum = quorum or caller.snapshot.quorum(act.operation, act.core, act.key)
    asked = asked or reason
    approval = await approved(appliance, caller, act, quorum, Wanted((asked,), asked))
    event = act.event(appliance, caller.user.name, Outcome.DONE, input=made, reason=reason)

    def run() -> _Result:
        with appliance.store.write() as connection:
            if generation(connection) != caller.snapshot.generation:
                raise StaleDecisionError("rules, users or keys have changed")
            repeat.claim(connection, act.repeat)
            use(connection, approval)
            events.append(connection, [event])
            result = work(connection)
            repeat.keep(connection, act.repeat, result)
            return result

    result = await asyncio.to_thread(run)
    await appliance.current()
    return result
