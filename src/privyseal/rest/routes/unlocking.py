"""Provision, lock, unlock, and the unlock slots."""

import base64
import binascii
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import SecretStr

from privyseal.errors import InvalidRequestError
from privyseal.operations import rotate_domain_key, unlock, unlock_slots
from privyseal.operations.openers import Handed, opener
from privyseal.rest.documents import timestamp
from privyseal.rest.entrance import NUMBER_MAX, Body, Enter
from privyseal.state import State
from privyseal.store.rotation import Rotation
from privyseal.wire.frames import Opener
from privyseal.wire.names import name

router = APIRouter(tags=["unlocking"])
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]


class NewSlot(Body):
    """What a slot shall open with. A key file and shares are made here and given out once."""

    kind: Literal["key-file", "passphrase", "shares"]
    passphrase: SecretStr | None = None
    needed: int | None = None
    total: int | None = None

    def opener(self) -> Opener:
        """Check it; raises InvalidRequestError."""
        passphrase = None if self.passphrase is None else self.passphrase.get_secret_value()
        return opener(self.kind, passphrase, self.needed, self.total)


class Provision(Body):
    """`POST /provision`."""

    password: SecretStr
    node: str | None = None
    unlock: NewSlot


class Unlock(Body):
    """`POST /unlock`: exactly one of them. `key_file` is base64."""

    passphrase: SecretStr | None = None
    share: SecretStr | None = None
    key_file: SecretStr | None = None

    def attempt(self, peer: str) -> unlock.Attempt:
        """Say what was brought; raises InvalidRequestError."""
        given = {"passphrase": self.passphrase, "share": self.share, "key-file": self.key_file}
        found = [(kind, value.get_secret_value()) for kind, value in given.items() if value is not None]
        if len(found) != 1:
            raise InvalidRequestError.of("passphrase", "give exactly one of passphrase, share and key_file")
        kind, text = found[0]
        return unlock.Attempt(peer, kind, _key_file(text) if kind == "key-file" else text.encode())


def _key_file(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError.of("key_file", "this is not base64 (RFC 4648, section 4)") from error


@router.post("/provision", status_code=201)
async def provision(body: Provision, request: Request) -> dict[str, Any]:
    """Provision an empty appliance: administrator, core 1, and its first unlock slot. It works once."""
    node = None if body.node is None else name(body.node, "node")
    asked, password = body.unlock.opener(), body.password.get_secret_value()
    made = await unlock.provision_here(request.app.state.appliance, password, node, asked)
    return {"state": State.OPERATIONAL.value, "slot": _document(made)}


@router.post("/unlock")
async def unlock_(body: Unlock, request: Request) -> dict[str, Any]:
    """Unlock with a passphrase or key file, or give one share; no account is needed. Attempts are counted."""
    peer = request.client.host if request.client else ""
    opening = await unlock.unlock(request.app.state.appliance, body.attempt(peer))
    state = State.OPERATIONAL if opening.unlocked else State.LOCKED
    shares = {"shares": {"have": opening.have, "needed": opening.needed}} if opening.needed else {}
    return {"state": state.value, **shares}


@router.post("/lock")
async def lock(enter: Enter) -> dict[str, str]:
    """Lock the appliance: the keeper forgets every key until somebody unlocks it."""
    return await enter.once(
        "appliance:lock",
        lambda caller, act: unlock.lock(enter.appliance, caller, act),
        lambda _: {"state": State.LOCKED.value},
    )


@router.get("/unlock-slots")
async def slots(enter: Enter) -> dict[str, Any]:
    """List the unlock slots."""
    found = await enter("unlock-slot:list", lambda caller, _: unlock_slots.list_slots(enter.appliance, caller))
    listed = [{"number": slot.number, "kind": slot.kind, "created": timestamp(slot.created)} for slot in found]
    return {"slots": listed}


@router.post("/unlock-slots", status_code=201)
async def add(body: NewSlot, enter: Enter) -> dict[str, Any]:
    """Add an unlock slot; its shares or key file are in this answer and nowhere else."""
    asked = body.opener()
    return await enter.once(
        "unlock-slot:create", lambda caller, act: unlock_slots.add_slot(enter.appliance, caller, act, asked), _document
    )


@router.delete("/unlock-slots/{number}", status_code=204)
async def remove(number: Number, enter: Enter) -> None:
    """Remove an unlock slot, unless it is the last one."""
    await enter(
        "unlock-slot:delete", lambda caller, act: unlock_slots.remove_slot(enter.appliance, caller, act, number)
    )


@router.post("/unlock-slots/{number}/rotate", status_code=201)
async def rotate(number: Number, body: NewSlot, enter: Enter) -> dict[str, Any]:
    """Replace an unlock slot by a new one."""
    asked = body.opener()
    return await enter.once(
        "unlock-slot:rotate",
        lambda caller, act: unlock_slots.rotate_slot(enter.appliance, caller, act, number, asked),
        _document,
    )


@router.get("/domain-key")
async def domain_key(enter: Enter) -> dict[str, Any]:
    """Say whether the domain key is being rotated, and how far that is."""
    found = await enter("domain-key:read", lambda caller, _: rotate_domain_key.status(enter.appliance, caller))
    return _rotation(found)


@router.post("/domain-key/rotate", status_code=202)
async def rotate_domain_key_(enter: Enter) -> dict[str, Any]:
    """Begin to rotate the domain key; it goes on in the background, also after a restart."""
    return await enter.once(
        "domain-key:rotate", lambda caller, act: rotate_domain_key.begin(enter.appliance, caller, act), _rotation
    )


def _rotation(found: Rotation | None) -> dict[str, Any]:
    if found is None:
        return {"rotating": False}
    progress = {"done": found.done, "total": found.total, "started": timestamp(found.started)}
    return {"rotating": True, **progress, "damaged": found.damaged or None}


def _document(made: Handed) -> dict[str, Any]:
    document: dict[str, Any] = {"number": made.number, "kind": made.kind}
    if made.key_file is not None:
        document["key_file"] = base64.b64encode(made.key_file).decode()
    if made.shares:
        document["shares"] = list(made.shares)
    return document
