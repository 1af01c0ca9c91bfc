"""The record."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from privyseal.operations.read_events import read_events
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
