"""Quorums, and the requests that wait for approval."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from privyseal.operations import approve, manage_quorums
from privyseal.operations.manage_quorums import Guarded
from privyseal.rest.documents import approval_document, quorum_document
from privyseal.rest.entrance import NUMBER_MAX, Body, Enter

router = APIRouter(tags=["approvals"])
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
_PAGE_MAX = 200


class NewQuorum(Body):
    """`POST /quorums`."""

    operation: str
    core: int | str | None = None
    key: str | None = None
    needed: int
    approvers: list[str]


@router.get("/quorums")
async def quorums(enter: Enter) -> dict[str, Any]:
    """List the quorums."""
    found = await enter("quorum:list", lambda caller, _: manage_quorums.list_quorums(enter.appliance, caller))
    return {"quorums": [quorum_document(one) for one in found]}


@router.post("/quorums", status_code=201)
async def create(body: NewQuorum, enter: Enter) -> dict[str, Any]:
    """Let an operation need the approval of several people."""
    guarded = Guarded(body.operation, None if body.core is None else str(body.core), body.key)
    return await enter.once(
        "quorum:create",
        lambda caller, act: manage_quorums.create_quorum(
            enter.appliance, caller, act, guarded, body.needed, body.approvers
        ),
        quorum_document,
    )


@router.delete("/quorums/{number}", status_code=204)
async def delete(number: Number, enter: Enter) -> None:
    """Take a quorum away, with the approval of those who are in it."""
    await enter("quorum:delete", lambda caller, act: manage_quorums.delete_quorum(enter.appliance, caller, act, number))


@router.get("/approvals")
async def approvals(
    enter: Enter,
    open: bool = False,  # noqa: A002, FBT001, FBT002 - a parameter of the URL
    before: Annotated[int | None, Query(ge=1, le=NUMBER_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=_PAGE_MAX)] = 50,
) -> dict[str, Any]:
    """List requests for approval, the newest first."""
    found = await enter(
        "approval:list",
        lambda caller, _: approve.list_approvals(enter.appliance, caller, open_only=open, before=before, limit=limit),
    )
    following = found[-1].number if len(found) == limit else None
    return {"approvals": [approval_document(one) for one in found], "next": following}


@router.get("/approvals/{number}")
async def show(number: Number, enter: Enter) -> dict[str, Any]:
    """Show a request with what exactly is asked."""
    return approval_document(
        await enter("approval:read", lambda caller, _: approve.get_approval(enter.appliance, caller, number))
    )


@router.post("/approvals/{number}/approve")
async def approve_(number: Number, enter: Enter) -> dict[str, Any]:
    """Agree to a request."""
    return await _decide(enter, "approval:approve", number, agrees=True)


@router.post("/approvals/{number}/refuse")
async def refuse(number: Number, enter: Enter) -> dict[str, Any]:
    """Refuse a request, which ends it."""
    return await _decide(enter, "approval:refuse", number, agrees=False)


async def _decide(enter: Enter, operation: str, number: int, *, agrees: bool) -> dict[str, Any]:
    return await enter.once(
        operation,
        lambda caller, act: approve.decide_approval(enter.appliance, caller, act, number, agrees=agrees),
        approval_document,
    )
