"""Approval by several people: asking for it, giving or refusing it, and using it once for exactly what was asked.

An act that a quorum guards is tried as always. The first try leaves a request and is refused with its number; once
enough approvers have agreed, the same act by the same user goes through, once. The request is used up in the
transaction that carries the act out, so that neither can be there without the other.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
from sqlalchemy import Connection

from privyseal.access.decide import by_role
from privyseal.errors import (
    AccessRefusedError,
    ApprovalNeededError,
    ConflictError,
    NotFoundError,
    StaleDecisionError,
)
from privyseal.model.access import Decision, Operation
from privyseal.model.approvals import Approval, ApprovalState, Quorum
from privyseal.model.event import Event, Outcome
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.perform import Act, Caller
from privyseal.operations.require_person import require_person
from privyseal.store import approvals, events
from privyseal.store.store import generation
from privyseal.store.times import now

LIFE = timedelta(hours=24)
"""How long a request waits, and how long an approval can be used, from the request on."""


class Wanted(msgspec.Struct, frozen=True):
    """What is to be approved: everything that decides what it does, and the same in words."""

    parts: tuple[str | int | None, ...]
    words: str


async def approved(appliance: Appliance, caller: Caller, act: Act, quorum: Quorum | None, wanted: Wanted) -> int | None:
    """Give the number of an approval to use, None where no quorum guards the act.

    Raises ApprovalNeededError with the number of the request, which is made here if there is none.
    """
    if quorum is None:
        return None
    found = await asyncio.to_thread(_find_or_request, appliance, caller, act, quorum, wanted)
    if found.state is ApprovalState.APPROVED:
        return found.number
    raise ApprovalNeededError(
        f"{act.operation} needs the approval of {found.needed} of {', '.join(found.approvers)}; "
        f"request {found.number} has {len(found.approved)}. Do the same again when it is approved",
        found.number,
    )


def use(connection: Connection, approval: int | None) -> None:
    """Use an approval up in the transaction that does what was approved. Raises StaleDecisionError if it is gone."""
    if approval is not None and not approvals.use(connection, approval):
        raise StaleDecisionError("the approval was used or refused meanwhile")


async def record(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    new: Sequence[Event],
    approval: int | None,
    result: Callable[[int], object],
) -> int:
    """Write events and use up the approval of what they tell of; gives the number of the first event.

    Args:
        result: what the operation gives with that number, for a request that comes again.

    Raises StaleDecisionError, UnavailableError.
    """
    basis = caller.snapshot.generation
    if approval is None:
        return await appliance.recorder.record(new, basis, act.keeps(result))

    def run() -> int:
        with appliance.store.write() as connection:
            if generation(connection) != basis:
                raise StaleDecisionError("rules, users or keys have changed")
            repeat.claim(connection, act.repeat)
            use(connection, approval)
            number = events.append(connection, new)
            repeat.keep(connection, act.repeat, result(number))
            return number

    return await asyncio.to_thread(run)


def subject(caller: Caller, act: Act, quorum: Quorum, wanted: Wanted) -> str:
    """Give the digest that binds an approval: who asks whom for which operation on which key with which parameters.

    Users and quorums by more than name and number, which another one may have after they are gone.
    """
    people = (caller.user.number, caller.user.name, caller.user.created, quorum.number, quorum.created)
    content = (people, act.operation, act.core, act.key, wanted.parts)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def words_for(mechanism: str, inputs: Sequence[bytes], *, digests: bool) -> str:
    """Say what is to be signed so that an approver can compare it: a line for each input."""
    if digests:
        return "\n".join(f"sign with {mechanism} the digest {value.hex()}" for value in inputs)
    return "\n".join(f"sign with {mechanism} data with SHA-256 {hashlib.sha256(value).hexdigest()}" for value in inputs)


def _find_or_request(appliance: Appliance, caller: Caller, act: Act, quorum: Quorum, wanted: Wanted) -> Approval:
    bound = subject(caller, act, quorum, wanted)
    with appliance.store.write() as connection:
        events.hold(connection)
        found = approvals.open_request(connection, quorum, caller.user.name, bound)
        if found is not None:
            return found
        made = approvals.request(connection, quorum, _blank(caller, act, quorum, bound, wanted.words))
        asked = Act("approval:request", act.core, act.key, act.mechanism, way_in=act.way_in)
        reason = f"request {made.number} for {act.operation}"
        events.append(connection, [asked.event(appliance, caller.user.name, Outcome.DONE, reason=reason)])
        return made


def _blank(caller: Caller, act: Act, quorum: Quorum, bound: str, words: str) -> Approval:
    created = now()
    return Approval(
        0, quorum.number, caller.user.name, act.operation, act.core, act.key, bound, words,
        ApprovalState.WAITING, quorum.needed, quorum.approvers, (), (), created, created + LIFE,
    )  # fmt: skip


async def list_approvals(
    appliance: Appliance, caller: Caller, *, open_only: bool, before: int | None, limit: int
) -> list[Approval]:
    """Give requests, the newest first: to administrators and auditors all, to others those that concern them."""
    user = None if by_role(caller.user, Operation.AUDIT_READ).allowed else caller.user.name
    wanted = approvals.Wanted(open_only, before, user)
    return await look(appliance, lambda connection: approvals.every(connection, wanted, limit))


async def get_approval(appliance: Appliance, caller: Caller, number: int) -> Approval:
    """Give one request; raises NotFoundError also to those who may not know of it."""
    found = await look(appliance, lambda connection: approvals.get(connection, number))
    if found is None or not _may_see(caller, found):
        raise NotFoundError(f"there is no request {number} that you may see; see `privyseal approval list`")
    return found


async def decide_approval(appliance: Appliance, caller: Caller, act: Act, number: int, *, agrees: bool) -> Approval:
    """Approve or refuse a request. One refusal is enough to end it.

    Raises:
        NotFoundError: no such request, or none that the caller may see.
        AccessRefusedError: the caller is no approver of it, or made it.
        ConflictError: it does not wait any more, or the caller has voted.
    """
    require_person(caller)
    found = await get_approval(appliance, caller, number)
    act.core, act.key = found.core, found.key
    _require_approver(caller, found)
    word = "approves" if agrees else "refuses"
    event = act.event(appliance, caller.user.name, Outcome.DONE, reason=f"{word} request {number}: {found.operation}")

    def run() -> Approval:
        with appliance.store.write() as connection:
            repeat.claim(connection, act.repeat)
            present = _require_waiting(approvals.get(connection, number), number)
            if caller.user.name in present.approved:
                raise ConflictError(f"you have approved request {number} already")
            approvals.vote(connection, number, caller.user.name, agrees=agrees)
            events.append(connection, [event])
            after = approvals.get(connection, number) or present
            repeat.keep(connection, act.repeat, after)
            return after

    return await asyncio.to_thread(run)


def _require_approver(caller: Caller, approval: Approval) -> None:
    if caller.user.name == approval.requester:
        raise AccessRefusedError(Decision(allowed=False, reason="nobody approves a request of his own"))
    if caller.user.name not in approval.approvers:
        reason = f"user '{caller.user.name}' is no approver of request {approval.number}"
        raise AccessRefusedError(Decision(allowed=False, reason=reason))


def _require_waiting(approval: Approval | None, number: int) -> Approval:
    if approval is None or approval.state not in (ApprovalState.WAITING, ApprovalState.APPROVED):
        state = "gone" if approval is None else approval.state.value
        raise ConflictError(f"request {number} is {state}; it cannot be decided any more")
    return approval


def _may_see(caller: Caller, approval: Approval) -> bool:
    mine = caller.user.name == approval.requester or caller.user.name in approval.approvers
    return mine or by_role(caller.user, Operation.AUDIT_READ).allowed
