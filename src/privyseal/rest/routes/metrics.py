"""Metrics, in the text format that Prometheus and most other monitoring reads."""

from fastapi import APIRouter, Response

from privyseal.operations.read_metrics import read_metrics
from privyseal.rest.entrance import Enter
from privyseal.telemetry.exposition import CONTENT_TYPE

router = APIRouter(tags=["appliance"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(enter: Enter) -> Response:
    """Give what the appliance measures of itself; for the roles metrics and administrator."""
    found = await enter("metrics:read", lambda caller, _: read_metrics(enter.appliance, caller))
    return Response(found, headers={"Content-Type": CONTENT_TYPE})
