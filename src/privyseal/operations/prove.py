"""Prove things of the record: that an event is in it, and that one length of it is the beginning of another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from privyseal.audit import tree
from privyseal.audit.tree import ProofError
from privyseal.audit.verify import Receipt, Shown
from privyseal.errors import FieldError, InvalidRequestError, NotFoundError, UnavailableError
from privyseal.model.access import Operation
from privyseal.model.event import Event, encode, leaf
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Caller
from privyseal.operations.take_checkpoint import Taken, take_checkpoint
from privyseal.store import events, record
from privyseal.store.events import Recorded
from privyseal.store.record import StoredNodes

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Consistency:
    """A proof that the first `old` events of the record are still what they were."""

    old: int
    new: int
    proof: list[bytes]


async def checkpoint(appliance: Appliance, caller: Caller) -> Taken:
    """Take a checkpoint for a caller. Raises AccessRefusedError, ApplianceLockedError or UnavailableError."""
    require_role(caller, Operation.AUDIT_READ)
    return await take_checkpoint(appliance.store, appliance.keeper)


async def receipt(appliance: Appliance, caller: Caller, number: int) -> Receipt:
    """Give the receipt of one event, to auditors and administrators and to the user whose event it is.

    Where a key was used it also shows which public halves that key had got until then.

    Raises:
        AccessRefusedError: it is another user's, or there is no such event and the caller may not know.
        NotFoundError: there is no such event.
    """
    event = await look(appliance, lambda connection: events.get(connection, number))
    if event is None or event.user != caller.user.name:
        require_role(caller, Operation.AUDIT_READ)
    if event is None:
        raise NotFoundError(f"there is no event {number}")
    taken = await take_checkpoint(appliance.store, appliance.keeper)

    def shown(connection: Connection) -> list[Shown]:
        nodes = StoredNodes(connection)
        return [_shown(nodes, one, taken.size) for one in (Recorded(number, event), *_made(connection, number, event))]

    itself, *made = await _proof(appliance, shown)
    return Receipt(key=str(taken.key), leaf=itself.leaf, proof=itself.proof, made=tuple(made), checkpoint=taken.note)


def _made(connection: Connection, number: int, event: Event) -> list[Recorded]:
    """Give what says which key was used. Of a refusal nothing: whoever was refused may not know that there is a key."""
    if event.use is None or event.core is None or event.key is None:
        return []
    return events.made(connection, event.core, event.key, number)


def _shown(nodes: StoredNodes, recorded: Recorded, size: int) -> Shown:
    proof = tree.inclusion_proof(nodes, recorded.number - 1, size)
    return Shown(leaf(recorded.number, encode(recorded.event)).decode(), tuple(proof))


async def consistency(appliance: Appliance, caller: Caller, old: int, new: int | None) -> Consistency:
    """Prove that the record of `old` events is the beginning of the one of `new`; None means of today's."""
    require_role(caller, Operation.AUDIT_READ)

    def prove(connection: Connection) -> Consistency:
        size = record.edge(connection).size
        until = size if new is None else new
        if not old <= until <= size:
            message = f"the record has {size} events; from is at most to, and to at most that"
            raise InvalidRequestError(FieldError("query.to" if until > size else "query.from", message))
        return Consistency(old, until, tree.consistency_proof(StoredNodes(connection), old, until))

    return await _proof(appliance, prove)


async def _proof(appliance: Appliance, work: Callable[[Connection], _Result]) -> _Result:
    try:
        return await look(appliance, work)
    except ProofError as error:
        raise UnavailableError(f"{error}; find out more with `privyseal audit verify`") from error
