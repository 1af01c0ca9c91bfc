"""The record."""

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from privyseal.operations.export_record import begin_export, export
from privyseal.operations.prove import checkpoint, consistency, receipt
from privyseal.operations.read_events import read_events
from privyseal.operations.take_checkpoint import Taken, audit_key, verifier_key
from privyseal.rest.documents import event_document
from privyseal.rest.entrance import NUMBER_MAX, Enter

router = APIRouter(prefix="/audit", tags=["audit"])
_PAGE_MAX = 1000


@router.get("/events")
async def events(
    enter: Enter,
    after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE_MAX)] = 100,
) -> dict[str, Any]:
    """List events after a number."""
    found = await enter("audit:read", lambda caller, _: read_events(enter.appliance, caller, after, limit))
    following = found[-1].number if len(found) == limit else None
    return {"events": [event_document(one) for one in found], "next": following}


@router.get("/key")
async def key(enter: Enter) -> dict[str, Any]:
    """Give the public half of the key that signs checkpoints, to any user."""

    async def work(_caller: object, _act: object) -> str:
        return str(verifier_key(await audit_key(enter.appliance.store, enter.appliance.keeper)))

    return {"key": await enter("audit:key", work)}


@router.get("/checkpoint")
async def take(enter: Enter) -> dict[str, Any]:
    """Take a checkpoint of the record."""
    taken: Taken = await enter("audit:read", lambda caller, _: checkpoint(enter.appliance, caller))
    return {"size": taken.size, "root": _text(taken.root), "checkpoint": taken.note, "key": str(taken.key)}


@router.get("/proof")
async def proof(enter: Enter, event: Annotated[int, Query(ge=1, le=NUMBER_MAX)]) -> dict[str, Any]:
    """Give the receipt of an event: a proof that it is in the record."""
    found = await enter("audit:proof", lambda caller, _: receipt(enter.appliance, caller, event))
    return {
        "format": found.format,
        "key": found.key,
        "leaf": found.leaf,
        "proof": [_text(each) for each in found.proof],
        "made": [{"leaf": one.leaf, "proof": [_text(each) for each in one.proof]} for one in found.made],
        "checkpoint": found.checkpoint,
    }


@router.get("/consistency")
async def proof_of_consistency(
    enter: Enter,
    old: Annotated[int, Query(alias="from", ge=0, le=NUMBER_MAX)],
    new: Annotated[int | None, Query(alias="to", ge=0, le=NUMBER_MAX)] = None,
) -> dict[str, Any]:
    """Prove that the record of an earlier length is the beginning of a later one."""
    found = await enter("audit:read", lambda caller, _: consistency(enter.appliance, caller, old, new))
    return {"from": found.old, "to": found.new, "proof": [_text(each) for each in found.proof]}


@router.get("/export", response_class=Response)
async def export_all(enter: Enter) -> Response:
    """Export the whole record as JSON lines."""
    taken = await enter("audit:export", lambda caller, act: begin_export(enter.appliance, caller, act))
    return _Lines(export(enter.appliance, taken), {"privyseal-events": str(taken.size)})


class _Lines(Response):
    """An answer that is sent while it is made; Starlette's own would wait for a disconnect that never comes."""

    media_type = "application/jsonl"

    def __init__(self, parts: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self._parts = parts
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; each part waits until the one before has gone."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
