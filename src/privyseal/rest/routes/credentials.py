"""Credentials: bearer tokens that stand for a user, for less than the user may."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from privyseal.model.access import Operation
from privyseal.model.credentials import LONGEST, USUAL
from privyseal.operations import manage_credentials
from privyseal.operations.manage_credentials import Issued, Wanted
from privyseal.rest.documents import credential_document
from privyseal.rest.entrance import Body, Enter

router = APIRouter(prefix="/credentials", tags=["credentials"])


class NewCredential(Body):
    """`POST /credentials`; `expires_in` is in seconds."""

    user: str | None = None
    name: str
    operations: list[Operation] | None = None
    core: int | str | None = None
    keys: str = "*"
    expires_in: Annotated[int, Field(ge=1, le=int(LONGEST.total_seconds()))] = int(USUAL.total_seconds())


@router.get("")
async def credentials(enter: Enter, user: str | None = None) -> dict[str, Any]:
    """List credentials."""
    found = await enter(
        "credential:list", lambda caller, _: manage_credentials.list_credentials(enter.appliance, caller, user)
    )
    return {"credentials": [credential_document(one) for one in found]}


@router.post("", status_code=201)
async def create(body: NewCredential, enter: Enter) -> dict[str, Any]:
    """Make a credential; the answer is the only place where its token ever stands."""
    core = None if body.core is None else str(body.core)
    wanted = Wanted(body.user, body.name, body.operations, core, body.keys, timedelta(seconds=body.expires_in))
    return await enter.once(
        "credential:create",
        lambda caller, act: manage_credentials.create_credential(enter.appliance, caller, act, wanted),
        _issued,
    )


@router.get("/{id}")
async def show(id: str, enter: Enter) -> dict[str, Any]:  # noqa: A002 - the name in the path
    """Show a credential."""
    return credential_document(
        await enter("credential:read", lambda caller, _: manage_credentials.get_credential(enter.appliance, caller, id))
    )


@router.delete("/{id}", status_code=204)
async def revoke(id: str, enter: Enter) -> None:  # noqa: A002 - the name in the path
    """Revoke a credential, at once."""
    await enter(
        "credential:revoke",
        lambda caller, act: manage_credentials.revoke_credential(enter.appliance, caller, act, id),
    )


def _issued(issued: Issued) -> dict[str, Any]:
    return credential_document(issued.credential) | {"token": issued.token}
