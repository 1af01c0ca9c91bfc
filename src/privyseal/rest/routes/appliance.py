"""Health, state and information."""

from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

from fastapi import APIRouter, Request, Response

from privyseal import __version__
from privyseal.errors import UnavailableError
from privyseal.keeper.client import KeeperClient
from privyseal.operations.gate import find_state
from privyseal.rest.entrance import Enter
from privyseal.state import State
from privyseal.telemetry.metrics import SET_BACK
from privyseal.wire import frames

router = APIRouter(tags=["appliance"])


async def _state(request: Request) -> State:
    return await find_state(request.app.state.appliance)


async def _status(request: Request) -> frames.Status:
    keeper: KeeperClient = request.app.state.appliance.keeper
    return await keeper.ask(frames.Inspect(), frames.Status)


@router.get("/health/alive")
async def alive() -> dict[str, bool]:
    """Say that this process answers."""
    return {"alive": True}


@router.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether signatures can be made; 503 while they cannot."""
    try:
        state = (await _state(request)).value
    except UnavailableError:
        state = "unavailable"
    response.status_code = 200 if state == State.OPERATIONAL.value else 503
    return {"state": state, **_warnings(request)}


@router.get("/state")
async def state(request: Request, response: Response) -> dict[str, Any]:
    """Give the appliance's state, and of shares that were given how many are here.

    The Date header (RFC 9110, 6.6.1) lets a host see that its clock is wrong.
    """
    response.headers["Date"] = formatdate(usegmt=True)
    now = await _state(request)
    document: dict[str, Any] = {"state": now.value, **_warnings(request)}
    if now is State.LOCKED:
        status = await _status(request)
        document |= {"shares": {"have": status.have, "needed": status.needed}} if status.have else {}
    return document


def _warnings(request: Request) -> dict[str, list[str]]:
    """Give what an operator should look at, if there is anything."""
    found: Mapping[str, int] = request.app.state.appliance.metrics.total()
    return {"warnings": ["clock-set-back"]} if found.get(SET_BACK) else {}


@router.get("/info")
async def info(request: Request, enter: Enter) -> dict[str, Any]:
    """Give version, state and, to any user of an operational appliance, the protections that are in force."""
    now = await _state(request)
    if now is not State.OPERATIONAL:
        return {"product": "Privyseal", "version": __version__, "state": now.value}

    async def work(_caller: object, _act: object) -> frames.Status:
        return await _status(request)

    status = await enter("appliance:info", work)
    return {
        "product": "Privyseal",
        "version": __version__,
        "state": now.value,
        "keeper": {"hardening": status.hardening},
    }
