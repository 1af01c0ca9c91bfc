"""Health, state and information."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from privyseal import __version__
from privyseal.errors import UnavailableError
from privyseal.keeper.client import KeeperClient
from privyseal.rest.entrance import Enter
from privyseal.state import State
from privyseal.telemetry.metrics import SET_BACK
from privyseal.wire import frames

router = APIRouter(tags=["appliance"])


async def _status(request: Request) -> frames.Status:
    keeper: KeeperClient = request.app.state.appliance.keeper
    return await keeper.ask(frames.Inspect(), frames.Status)


def _state(status: frames.Status) -> State:
    return State.OPERATIONAL if status.unlocked else State.LOCKED


@router.get("/health/alive")
async def alive() -> dict[str, bool]:
    """Say that this process answers."""
    return {"alive": True}


@router.get("/health/ready")
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Say whether signatures can be made; 503 while they cannot."""
    try:
        state = _state(await _status(request)).value
    except UnavailableError:
        state = "unavailable"
    response.status_code = 200 if state == State.OPERATIONAL.value else 503
    return {"state": state, **_warnings(request)}


@router.get("/state")
async def state(request: Request) -> dict[str, Any]:
    """Give the appliance's state."""
    return {"state": _state(await _status(request)).value, **_warnings(request)}


def _warnings(request: Request) -> dict[str, list[str]]:
    """Give what an operator should look at, if there is anything."""
    found: Mapping[str, int] = request.app.state.appliance.metrics.total()
    return {"warnings": ["clock-set-back"]} if found.get(SET_BACK) else {}


@router.get("/info")
async def info(request: Request, enter: Enter) -> dict[str, Any]:
    """Give version, state and the protections that are in force, to any user."""

    async def work(_caller: object, _act: object) -> frames.Status:
        return await _status(request)

    status = await enter("appliance:info", work)
    return {
        "product": "Privyseal",
        "version": __version__,
        "state": _state(status).value,
        "keeper": {"hardening": status.hardening},
    }
