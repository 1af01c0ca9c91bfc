"""Queries for quorums, requests for approval and votes."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, insert, select, update

from privyseal.model.approvals import Approval, ApprovalState, Quorum
from privyseal.store.store import changed
from privyseal.store.tables import approvals, quorums, votes
from privyseal.store.times import from_micros, now_micros, to_micros


def add_quorum(connection: Connection, quorum: Quorum) -> Quorum:
    """Keep a quorum; it gets the next number."""
    result = connection.execute(
        insert(quorums).values(
            operation=quorum.operation,
            core=quorum.core,
            key=quorum.key,
            needed=quorum.needed,
            approvers=",".join(quorum.approvers),
            created=to_micros(quorum.created),
        )
    )
    changed(connection)
    assert result.inserted_primary_key is not None  # noqa: S101 - one row was inserted
    number = result.inserted_primary_key.number
    return next(one for one in every_quorum(connection) if one.number == number)


def every_quorum(connection: Connection) -> list[Quorum]:
    """Give all quorums by number."""
    return [_quorum(row) for row in connection.execute(select(quorums).order_by(quorums.c.number))]


def remove_quorum(connection: Connection, number: int) -> None:
    """Remove a quorum. Requests that were made for it stay to be read and can be used no more."""
    connection.execute(delete(quorums).where(quorums.c.number == number))
    changed(connection)


def request(connection: Connection, quorum: Quorum, approval: Approval) -> Approval:
    """Keep a request for approval; it gets the next number."""
    result = connection.execute(
        insert(approvals).values(
            quorum=quorum.number,
            requester=approval.requester,
            operation=approval.operation,
            core=approval.core,
            key=approval.key,
            subject=approval.subject,
            words=approval.words,
            created=to_micros(approval.created),
            expires=to_micros(approval.expires),
        )
    )
    assert result.inserted_primary_key is not None  # noqa: S101 - one row was inserted
    found = get(connection, result.inserted_primary_key.number)
    assert found is not None  # noqa: S101 - it was written a line above
    return found


def get(connection: Connection, number: int) -> Approval | None:
    """Give a request by number."""
    found = _select(connection, approvals.c.number == number, 1)
    return found[0] if found else None


def open_request(connection: Connection, quorum: Quorum, requester: str, subject: str) -> Approval | None:
    """Give the requester's request for exactly this that waits or may be used, if there is one."""
    asked = (
        (approvals.c.subject == subject) & (approvals.c.requester == requester) & (approvals.c.quorum == quorum.number)
    )
    live = (ApprovalState.WAITING, ApprovalState.APPROVED)
    return next((one for one in _select(connection, asked & _OPEN, 1) if one.state in live), None)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests to list: those that are open, those before a number, those that concern a user."""

    open_only: bool = False
    before: int | None = None
    user: str | None = None


def every(connection: Connection, wanted: Wanted, limit: int) -> list[Approval]:
    """Give requests, the newest first; open ones were not used yet and have not expired."""
    condition = _OPEN & (approvals.c.expires > now_micros()) if wanted.open_only else approvals.c.number > 0
    if wanted.before is not None:
        condition &= approvals.c.number < wanted.before
    if wanted.user is not None:
        own = [one.number for one in every_quorum(connection) if wanted.user in one.approvers]
        condition &= (approvals.c.requester == wanted.user) | approvals.c.quorum.in_(own)
    return _select(connection, condition, limit)


def vote(connection: Connection, number: int, user: str, *, agrees: bool) -> None:
    """Keep a vote. Raises ConflictError when this user has voted already."""
    connection.execute(insert(votes).values(approval=number, user=user, agrees=agrees, time=now_micros()))


def use(connection: Connection, number: int) -> bool:
    """Use a request up; says False when somebody else did, or somebody refused it, or its time is over."""
    refused = exists().where((votes.c.approval == number) & votes.c.agrees.is_(False))
    wanted = (approvals.c.number == number) & _OPEN & (approvals.c.expires > now_micros()) & ~refused
    return connection.execute(update(approvals).where(wanted).values(used=now_micros())).rowcount == 1


_OPEN = approvals.c.used.is_(None)


def _select(connection: Connection, wanted: ColumnElement[bool], limit: int) -> list[Approval]:
    rows = connection.execute(
        select(approvals, quorums.c.needed, quorums.c.approvers)
        .outerjoin(quorums, quorums.c.number == approvals.c.quorum)
        .where(wanted)
        .order_by(approvals.c.number.desc())
        .limit(limit)
    ).all()
    cast = connection.execute(
        select(votes).where(votes.c.approval.in_([row.number for row in rows])).order_by(votes.c.time)
    ).all()
    return [_approval(row, [vote for vote in cast if vote.approval == row.number]) for row in rows]


def _approval(row: Row[tuple[object, ...]], cast: Sequence[Row[tuple[object, ...]]]) -> Approval:
    approvers = tuple(row.approvers.split(",")) if row.approvers else ()
    agreed = tuple(vote.user for vote in cast if vote.agrees and vote.user in approvers)
    refused = tuple(vote.user for vote in cast if not vote.agrees)
    return Approval(
        number=row.number,
        quorum=row.quorum,
        requester=row.requester,
        operation=row.operation,
        core=row.core,
        key=row.key,
        subject=row.subject,
        words=row.words,
        state=_state(row, agreed, refused),
        needed=row.needed or 0,
        approvers=approvers,
        approved=agreed,
        refused=refused,
        created=from_micros(row.created),
        expires=from_micros(row.expires),
    )


def _state(row: Row[tuple[object, ...]], agreed: Sequence[str], refused: Sequence[str]) -> ApprovalState:
    if row.used is not None:
        return ApprovalState.USED
    if refused:
        return ApprovalState.REFUSED
    if row.expires <= now_micros() or not row.needed:  # a request outlives its quorum only to be read
        return ApprovalState.EXPIRED
    return ApprovalState.APPROVED if len(agreed) >= row.needed else ApprovalState.WAITING


def _quorum(row: Row[tuple[object, ...]]) -> Quorum:
    approvers = tuple(row.approvers.split(","))
    return Quorum(row.number, row.operation, row.core, row.key, row.needed, approvers, from_micros(row.created))
