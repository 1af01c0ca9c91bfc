"""Metrics, in the text format that Prometheus and most other monitoring reads."""

import asyncio
from datetime import datetime
from pathlib import Path

from cryptography import x509
from fastapi import APIRouter, Response

from privyseal.operations.read_metrics import read_metrics
from privyseal.rest.entrance import Enter
from privyseal.telemetry.exposition import CONTENT_TYPE

router = APIRouter(tags=["appliance"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(enter: Enter) -> Response:
    """Give what the appliance measures of itself; for the roles metrics and administrator."""
    ends = await asyncio.to_thread(_end, enter.appliance.certificate)
    found = await enter("metrics:read", lambda caller, _: read_metrics(enter.appliance, caller, ends))
    return Response(found, headers={"Content-Type": CONTENT_TYPE})


def _end(certificate: Path | None) -> datetime | None:
    """Read when the TLS certificate ends, each time anew: it may have been replaced."""
    try:
        return (
            None
            if certificate is None
            else x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
        )
    except (OSError, ValueError):
        return None
