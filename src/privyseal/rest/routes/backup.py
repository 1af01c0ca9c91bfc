"""Backups, and who can open them."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from privyseal.operations import manage_recipients
from privyseal.operations.make_backup import make_backup
from privyseal.rest.documents import recipient_document
from privyseal.rest.entrance import Body, Enter

router = APIRouter(prefix="/backup", tags=["backup"])
MEDIA_TYPE = "application/vnd.privyseal.backup"


class NewRecipient(Body):
    """`POST /backup/recipients`: exactly one of passphrase and public key."""

    name: str
    passphrase: SecretStr | None = None
    public_key: str | None = None


@router.post("", response_class=StreamingResponse, responses={200: {"content": {MEDIA_TYPE: {}}}})
async def create(enter: Enter) -> StreamingResponse:
    """Make a backup while the appliance signs; the answer is the file."""
    backup = await enter("backup:create", lambda caller, act: make_backup(enter.appliance, caller, act))
    return StreamingResponse(backup.pieces, media_type=MEDIA_TYPE, headers={"Estimated-Length": str(backup.length)})


@router.get("/recipients")
async def recipients(enter: Enter) -> dict[str, Any]:
    """List who can open backups."""
    found = await enter(
        "backup:recipients", lambda caller, _: manage_recipients.list_recipients(enter.appliance, caller)
    )
    return {"recipients": [recipient_document(one) for one in found]}


@router.post("/recipients", status_code=201)
async def add(body: NewRecipient, enter: Enter) -> dict[str, Any]:
    """Let somebody open the backups made from now on."""
    passphrase = None if body.passphrase is None else body.passphrase.get_secret_value()
    return await enter.once(
        "backup:add-recipient",
        lambda caller, act: manage_recipients.add_recipient(
            enter.appliance, caller, act, body.name, passphrase=passphrase, public_key=body.public_key
        ),
        recipient_document,
    )


@router.delete("/recipients/{name}", status_code=204)
async def remove(name: str, enter: Enter) -> None:
    """Seal no further backup for somebody."""
    await enter(
        "backup:remove-recipient",
        lambda caller, act: manage_recipients.remove_recipient(enter.appliance, caller, act, name),
    )
