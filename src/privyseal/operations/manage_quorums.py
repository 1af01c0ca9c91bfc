"""Quorums: who has to agree before something is done. To take one away, those who are in it have to agree."""

from dataclasses import dataclass

from sqlalchemy import Connection

from privyseal.errors import InvalidRequestError, NotFoundError
from privyseal.model.access import Operation
from privyseal.model.approvals import ADMINISTRATIVE, KEY_OPERATIONS, Quorum
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import approvals
from privyseal.store.times import now

_MOST_APPROVERS = 32


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a quorum is to guard: an operation, in a core or everywhere, for one key or for all."""

    operation: str
    core: str | None
    key: str | None


async def create_quorum(
    appliance: Appliance, caller: Caller, act: Act, guarded: Guarded, needed: int, approvers: list[str]
) -> Quorum:
    """Make a quorum. Raises InvalidRequestError, NotFoundError, KeyNotFoundError, AccessRefusedError."""
    require_role(caller, Operation.RULE_MANAGE)
    _check_guarded(guarded)
    _check_approvers(caller, needed, approvers)
    core, key = await _place(appliance, caller, guarded)
    act.core, act.key = core, key
    quorum = Quorum(0, guarded.operation, core, key, needed, tuple(approvers), now())
    return await change(appliance, caller, act, _words(quorum), lambda c: approvals.add_quorum(c, quorum))


async def list_quorums(appliance: Appliance, caller: Caller) -> list[Quorum]:
    """Give all quorums to administrators and auditors."""
    require_role(caller, Operation.AUDIT_READ)
    return await look(appliance, approvals.every_quorum)


async def delete_quorum(appliance: Appliance, caller: Caller, act: Act, number: int) -> None:
    """Remove a quorum, which needs its own approval. Raises NotFoundError, ApprovalNeededError."""
    require_role(caller, Operation.RULE_MANAGE)
    found = next((one for one in caller.snapshot.quorums if one.number == number), None)
    if found is None:
        raise NotFoundError(f"there is no quorum {number}; see `privyseal quorum list`")
    act.core, act.key = found.core, found.key

    def work(connection: Connection) -> None:
        approvals.remove_quorum(connection, number)

    await change(appliance, caller, act, f"quorum {number}: {_words(found)}", work, quorum=found)


def _check_guarded(guarded: Guarded) -> None:
    if guarded.operation not in (*KEY_OPERATIONS, *ADMINISTRATIVE):
        raise InvalidRequestError.of("operation", f"give one of {', '.join((*KEY_OPERATIONS, *ADMINISTRATIVE))}")
    if guarded.operation not in KEY_OPERATIONS and (guarded.core, guarded.key) != (None, None):
        raise InvalidRequestError.of("core", f"{guarded.operation} is guarded for the whole appliance; leave core out")
    if guarded.key is not None and guarded.core is None:
        raise InvalidRequestError.of("core", "say in which core the key is")


def _check_approvers(caller: Caller, needed: int, approvers: list[str]) -> None:
    unknown = [name for name in approvers if name not in caller.snapshot.users]
    if unknown:
        raise InvalidRequestError.of("approvers", f"there is no user {', '.join(map(repr, unknown))}")
    if len(set(approvers)) != len(approvers) or not 1 <= len(approvers) <= _MOST_APPROVERS:
        raise InvalidRequestError.of("approvers", f"name 1 to {_MOST_APPROVERS} users, each once")
    if not 1 <= needed <= len(approvers):
        raise InvalidRequestError.of("needed", f"needed is 1 to {len(approvers)}, as many as there are approvers")


async def _place(appliance: Appliance, caller: Caller, guarded: Guarded) -> tuple[int | None, str | None]:
    if guarded.core is None:
        return None, None
    core = caller.snapshot.core(guarded.core)
    if guarded.key is None:
        return core.number, None
    known = await find_key(appliance, caller, Act("key:read"), guarded.core, guarded.key, Operation.KEY_READ)
    return core.number, known.key.id


def _words(quorum: Quorum) -> str:
    where = "" if quorum.core is None else f" in core {quorum.core}"
    which = "" if quorum.key is None else f" with key {quorum.key}"
    return f"{quorum.operation}{which}{where} needs {quorum.needed} of {', '.join(quorum.approvers)}"
