"""Cores and their random numbers."""

import base64
import os
from typing import Annotated, Any

from fastapi import APIRouter, Query

from privyseal.model.cores import PIN_DELAY_FROM, PIN_LOCK_AT
from privyseal.operations.manage_cores import CoreLimits, create_core, delete_core, get_core, list_cores, update_core
from privyseal.rest.documents import core_document
from privyseal.rest.entrance import Body, Enter

router = APIRouter(prefix="/cores", tags=["cores"])
_RANDOM_MAX = 4096


class NewCore(Body):
    """`POST /cores`."""

    name: str
    pin_required: bool = True
    destroy_days: int = 30
    pin_delay_from: int = PIN_DELAY_FROM
    pin_lock_at: int = PIN_LOCK_AT


class CoreChanges(Body):
    """`PUT /cores/{core}`; what is left out stays."""

    name: str | None = None
    pin_required: bool | None = None
    token_label: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    destroy_days: int | None = None
    pin_delay_from: int | None = None
    pin_lock_at: int | None = None


@router.get("")
async def cores(enter: Enter) -> dict[str, Any]:
    """List the cores in which the caller has a rule; to administrators and auditors, all."""
    found = await enter("core:list", lambda caller, _: list_cores(enter.appliance, caller))
    return {"cores": [core_document(core) for core in found]}


@router.post("", status_code=201)
async def create(body: NewCore, enter: Enter) -> dict[str, Any]:
    """Make a core."""
    limits = CoreLimits(body.destroy_days, body.pin_delay_from, body.pin_lock_at)
    return await enter.once(
        "core:create",
        lambda caller, act: create_core(
            enter.appliance, caller, act, body.name, pin_required=body.pin_required, limits=limits
        ),
        core_document,
    )


@router.get("/{core}")
async def show(core: str, enter: Enter) -> dict[str, Any]:
    """Show a core with what PKCS #11 hosts see as its token."""
    return core_document(await enter("core:read", lambda caller, act: get_core(enter.appliance, caller, act, core)))


@router.put("/{core}")
async def update(core: str, body: CoreChanges, enter: Enter) -> dict[str, Any]:
    """Change a core."""
    values = body.model_dump(exclude_none=True)
    changed = await enter("core:update", lambda caller, act: update_core(enter.appliance, caller, act, core, values))
    return core_document(changed)


@router.delete("/{core}", status_code=204)
async def delete(core: str, enter: Enter) -> None:
    """Delete an empty core."""
    await enter("core:delete", lambda caller, act: delete_core(enter.appliance, caller, act, core))


@router.get("/{core}/random")
async def random(
    core: str, enter: Enter, count: Annotated[int, Query(alias="bytes", ge=1, le=_RANDOM_MAX)] = 32
) -> dict[str, str]:
    """Give random bytes of the operating system. No key is used, so it is no event."""
    await enter("core:read", lambda caller, act: get_core(enter.appliance, caller, act, core))
    return {"random": base64.b64encode(os.urandom(count)).decode()}
