"""A key's life: label and tags, policy, versions, disable and enable, destroy and restore, import and export."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator, SecretStr
from pydantic_core import PydanticCustomError

from privyseal.operations.change_policy import change_policy
from privyseal.operations.destroy_key import destroy_now, restore_key, schedule_destruction
from privyseal.operations.disable_key import set_disabled
from privyseal.operations.export_key import export_key
from privyseal.operations.import_key import ImportKey, import_key, new_import_key
from privyseal.operations.perform import Act, Caller
from privyseal.operations.rotate_key import list_versions, rotate_key, set_rotation
from privyseal.operations.update_key import Changes, update_key
from privyseal.operations.use_pin import Secret
from privyseal.rest.documents import key_document, timestamp
from privyseal.rest.entrance import Body, Enter
from privyseal.rest.key_answer import key_answer
from privyseal.rest.policy import PolicyFields, revealed

router = APIRouter(prefix="/cores/{core}", tags=["keys"])


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else b"!", validate=True)
    except ValueError as error:
        raise PydanticCustomError("base64", "this is not standard base64 (RFC 4648, section 4)") from error


Base64 = Annotated[bytes, BeforeValidator(_decoded, json_schema_input_type=str)]


class Using(Body):
    """What opens a key."""

    pin: SecretStr | None = None
    ticket: SecretStr | None = None

    def secret(self) -> Secret:
        """Give what opens the key."""
        return Secret(revealed(self.pin), revealed(self.ticket))


class PolicyChange(Using):
    """`PUT …/policy`."""

    policy: PolicyFields


class Rotation(Using):
    """`POST …/rotate`."""

    new_pin: SecretStr | None = None


class RotationSetting(Body):
    """`PUT …/rotation`."""

    rotate_after: int | None = None


class ImportedKey(Body):
    """`POST /cores/{core}/import`."""

    label: str
    import_key: str
    wrapped: Base64
    pin: SecretStr | None = None
    policy: PolicyFields | None = None
    tags: tuple[str, ...] = ()
    object_id: str | None = None


class KeyChanges(Body):
    """`PUT …`; what is left out stays."""

    label: str | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    object_id: str | None = None


class ExportRequest(Using):
    """`POST …/export`."""

    public_key: Base64


@router.put("/keys/{key}")
async def update(core: str, key: str, body: KeyChanges, enter: Enter) -> dict[str, Any]:
    """Change a key's label, tags and object id."""
    place, changes = (core, key), Changes(body.label, body.add_tags, body.remove_tags, body.object_id)
    return await key_answer(
        enter, "key:update", lambda caller, act: update_key(enter.appliance, caller, act, place, changes)
    )


@router.put("/keys/{key}/policy")
async def policy(core: str, key: str, body: PolicyChange, enter: Enter) -> dict[str, Any]:
    """Change a key's policy."""
    place, values, secret = (core, key), body.policy.values(), body.secret()
    return await key_answer(
        enter, "key:policy", lambda caller, act: change_policy(enter.appliance, caller, act, place, values, secret)
    )


@router.post("/keys/{key}/rotate", status_code=201)
async def rotate(core: str, key: str, enter: Enter, body: Rotation | None = None) -> dict[str, Any]:
    """Make the next version of a key."""
    given = body or Rotation()
    place, secret, new_pin = (core, key), given.secret(), revealed(given.new_pin)
    return await key_answer(
        enter, "key:rotate", lambda caller, act: rotate_key(enter.appliance, caller, act, place, secret, new_pin)
    )


@router.put("/keys/{key}/rotation")
async def rotation(core: str, key: str, body: RotationSetting, enter: Enter) -> dict[str, Any]:
    """Say after how many days the appliance rotates a key by itself."""
    days = body.rotate_after
    return await key_answer(
        enter, "key:rotate", lambda caller, act: set_rotation(enter.appliance, caller, act, (core, key), days)
    )


@router.get("/keys/{key}/versions")
async def versions(core: str, key: str, enter: Enter) -> dict[str, Any]:
    """List a key's versions, the current one last."""

    async def work(caller: Caller, act: Act) -> list[dict[str, Any]]:
        found = await list_versions(enter.appliance, caller, act, (core, key))
        return [key_document(caller, caller.snapshot.cores[one.core], one) for one in found]

    return {"versions": await enter("key:read", work)}


@router.post("/keys/{key}/disable")
async def disable(core: str, key: str, enter: Enter) -> dict[str, Any]:
    """Let a key refuse use until it is enabled."""
    place = (core, key)
    return await key_answer(
        enter, "key:disable", lambda caller, act: set_disabled(enter.appliance, caller, act, place, disabled=True)
    )


@router.post("/keys/{key}/enable")
async def enable(core: str, key: str, enter: Enter) -> dict[str, Any]:
    """Let a key be used again."""
    place = (core, key)
    return await key_answer(
        enter, "key:enable", lambda caller, act: set_disabled(enter.appliance, caller, act, place, disabled=False)
    )


@router.delete("/keys/{key}", status_code=202, response_model=None, responses={204: {"description": "It is gone"}})
async def delete(
    core: str, key: str, enter: Enter, days: Annotated[int | None, Query()] = None, *, now: bool = False
) -> dict[str, Any] | Response:
    """Schedule a key's destruction; with `now`, where the core allows it, destroy it at once."""
    place = (core, key)
    if now:
        await enter("key:destroy", lambda caller, act: destroy_now(enter.appliance, caller, act, place))
        return Response(status_code=204)
    return await key_answer(
        enter, "key:destroy", lambda caller, act: schedule_destruction(enter.appliance, caller, act, place, days)
    )


@router.post("/keys/{key}/restore")
async def restore(core: str, key: str, enter: Enter) -> dict[str, Any]:
    """Take back a scheduled destruction."""
    return await key_answer(
        enter, "key:restore", lambda caller, act: restore_key(enter.appliance, caller, act, (core, key))
    )


@router.post("/import-key", status_code=201)
async def wrapping_key(core: str, enter: Enter) -> dict[str, str]:
    """Make a key that wraps one private key on its way in; it serves once."""
    return await enter.once(
        "key:import-key", lambda caller, act: new_import_key(enter.appliance, caller, act, core), _import_key
    )


def _import_key(made: ImportKey) -> dict[str, str]:
    return {
        "id": made.id,
        "public_key": base64.b64encode(made.public_key).decode(),
        "mechanism": "CKM_RSA_AES_KEY_WRAP",
        "hash": "SHA-256",
        "expires": timestamp(made.expires),
    }


@router.post("/import", status_code=201)
async def take_in(core: str, body: ImportedKey, enter: Enter) -> dict[str, Any]:
    """Take in a wrapped private key."""
    wanted = None if body.policy is None else body.policy.values()
    return await key_answer(
        enter,
        "key:import",
        lambda caller, act: import_key(
            enter.appliance,
            caller,
            act,
            core,
            body.label,
            body.import_key,
            body.wrapped,
            pin=revealed(body.pin),
            policy=wanted,
            tags=body.tags,
            object_id=body.object_id,
        ),
    )


@router.post("/keys/{key}/export")
async def export(core: str, key: str, body: ExportRequest, enter: Enter) -> dict[str, Any]:
    """Give a key that may leave, wrapped to an RSA public key."""
    place, secret = (core, key), body.secret()
    return await enter.once(
        "key:export",
        lambda caller, act: export_key(enter.appliance, caller, act, place, body.public_key, secret),
        lambda done: {"wrapped": base64.b64encode(done.wrapped).decode(), "event": done.event},
    )
