"""Keys: generate, list, show, public half, URI, unlock. Signing is in `hot.py`, what changes a key in `key_life.py`."""

from collections.abc import Awaitable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import SecretStr

from privyseal.model.access import Operation
from privyseal.model.keys import Key, KeyType
from privyseal.operations.count_uses import uses_of
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import find_version, with_public_half
from privyseal.operations.generate_key import generate_key
from privyseal.operations.list_keys import Filter, Page, list_keys
from privyseal.operations.manage_cores import unlock_key
from privyseal.operations.perform import Act, Caller
from privyseal.rest.documents import key_document
from privyseal.rest.entrance import NUMBER_MAX, Body, Enter, etag_of
from privyseal.rest.key_answer import key_answer
from privyseal.rest.policy import PolicyFields, revealed
from privyseal.wire.primitives import pem
from privyseal.wire.uri import key_uri

router = APIRouter(prefix="/cores/{core}/keys", tags=["keys"])
_PAGE_MAX = 1000


class NewKey(Body):
    """`POST /cores/{core}/keys`. A lost PIN is a lost key."""

    label: str
    type: KeyType
    pin: SecretStr | None = None
    policy: PolicyFields | None = None
    tags: tuple[str, ...] = ()
    object_id: str | None = None


@router.get("", response_model=None)
async def keys(
    core: str,
    enter: Enter,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=_PAGE_MAX)] = 200,
    cursor: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    *,
    label: str | None = None,
    id: str | None = None,  # noqa: A002 - the parameter's name in the URL
    tag: str | None = None,
    object_id: str | None = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response | dict[str, Any]:
    """List the keys that the caller may see, by creation."""

    async def work(caller: Caller, act: Act) -> tuple[Caller, Page]:
        where = Filter(label, id, tag, object_id)
        return caller, await list_keys(enter.appliance, caller, act, core, where, cursor, limit)

    caller, page = await enter("key:list", work)
    etag = etag_of(caller, page.revision)
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return {"keys": [key_document(caller, page.core, key) for key in page.keys], "next": page.next}


@router.post("", status_code=201)
async def generate(core: str, body: NewKey, enter: Enter) -> dict[str, Any]:
    """Generate a key."""
    pin, policy = revealed(body.pin), None if body.policy is None else body.policy.values()

    def work(caller: Caller, act: Act) -> Awaitable[Key]:
        return generate_key(
            enter.appliance, caller, act, core, body.label, body.type, pin, policy,
            tags=body.tags, object_id=body.object_id,
        )  # fmt: skip

    return await key_answer(enter, "key:generate", work)


@router.get("/{key}")
async def show(core: str, key: str, enter: Enter, version: int | None = None) -> dict[str, Any]:
    """Show a key, in its current version or an older one."""

    async def work(caller: Caller, act: Act) -> dict[str, Any]:
        known = await find_version(enter.appliance, caller, act, (core, key), Operation.KEY_READ, version)
        uses = await uses_of(enter.appliance, known)
        document = key_document(caller, caller.snapshot.cores[known.key.core], known.key)
        return document if uses is None else document | {"uses": uses}

    return await enter("key:read", work)


@router.get("/{key}/public.pem", response_class=Response, responses={200: {"content": {"application/x-pem-file": {}}}})
async def public(core: str, key: str, enter: Enter, version: int | None = None) -> Response:
    """Give the public key as PEM, of the current version or an older one."""

    async def work(caller: Caller, act: Act) -> Key:
        return with_public_half(
            await find_version(enter.appliance, caller, act, (core, key), Operation.KEY_READ, version)
        )

    found = await enter("key:read", work)
    return Response(pem(found.public_key), media_type="application/x-pem-file")


@router.get("/{key}/uri")
async def uri(core: str, key: str, enter: Enter) -> dict[str, str]:
    """Give the PKCS #11 URI (RFC 7512)."""

    async def work(caller: Caller, act: Act) -> str:
        known = await find_key(enter.appliance, caller, act, core, key, Operation.KEY_READ)
        return key_uri(caller.snapshot.cores[known.key.core], known.key)

    return {"uri": await enter("key:read", work)}


@router.post("/{key}/unlock", status_code=204)
async def unlock(core: str, key: str, enter: Enter) -> None:
    """Unlock a key after too many wrong PINs."""
    await enter.once(
        "key:unlock", lambda caller, act: unlock_key(enter.appliance, caller, act, (core, key)), lambda _: None
    )
