"""Stored objects: certificates, public keys and data."""

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field

from privyseal.model.objects import ObjectClass, StoredObject
from privyseal.operations.manage_objects import (
    Page,
    create_object,
    destroy_object,
    get_object,
    list_objects,
    update_object,
)
from privyseal.operations.perform import Act, Caller
from privyseal.rest.documents import timestamp
from privyseal.rest.entrance import NUMBER_MAX, Body, Enter, etag_of
from privyseal.rest.routes.key_life import Base64
from privyseal.store.objects import Filter

router = APIRouter(prefix="/cores/{core}/objects", tags=["objects"])
_PAGE_MAX = 1000


class ObjectChanges(Body):
    """`PUT …`; what is left out stays."""

    label: str = ""
    object_id: str = ""
    value: Base64 = b""
    application: str | None = None
    oid: str | None = None

    def values(self) -> dict[str, Any]:
        """Give the fields that the request has, but the class."""
        return {name: getattr(self, name) for name in self.model_fields_set if name != "object_class"}


class NewObject(ObjectChanges):
    """`POST /cores/{core}/objects`."""

    object_class: ObjectClass = Field(alias="class")
    value: Base64


def object_document(one: StoredObject) -> dict[str, Any]:
    """Write an object."""
    return {
        "id": one.id,
        "core": one.core,
        "class": one.object_class.value,
        "label": one.label,
        "object_id": one.object_id,
        "value": base64.b64encode(one.value).decode(),
        "application": one.application,
        "oid": one.oid,
        "created": timestamp(one.created),
    }


@router.get("", response_model=None)
async def objects(
    core: str,
    enter: Enter,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=_PAGE_MAX)] = 200,
    cursor: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    *,
    object_class: Annotated[ObjectClass | None, Query(alias="class")] = None,
    label: str | None = None,
    object_id: str | None = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response | dict[str, Any]:
    """List the objects that the caller may see, by creation."""

    async def work(caller: Caller, act: Act) -> tuple[Caller, Page]:
        where = Filter(object_class, label, object_id)
        return caller, await list_objects(enter.appliance, caller, act, core, where, cursor, limit)

    caller, page = await enter("object:list", work)
    etag = etag_of(caller, page.revision)
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return {"objects": [object_document(one) for one in page.objects], "next": page.next}


@router.post("", status_code=201)
async def create(core: str, body: NewObject, enter: Enter) -> dict[str, Any]:
    """Keep an object."""
    return await enter.once(
        "object:create",
        lambda caller, act: create_object(enter.appliance, caller, act, core, body.object_class, body.values()),
        object_document,
    )


@router.get("/{id}")
async def show(core: str, id: str, enter: Enter) -> dict[str, Any]:  # noqa: A002 - the parameter's name in the URL
    """Show an object."""
    return object_document(
        await enter("object:read", lambda caller, act: get_object(enter.appliance, caller, act, core, id))
    )


@router.put("/{id}")
async def update(core: str, id: str, body: ObjectChanges, enter: Enter) -> dict[str, Any]:  # noqa: A002 - as above
    """Change an object."""
    return object_document(
        await enter(
            "object:update",
            lambda caller, act: update_object(enter.appliance, caller, act, core, id, body.values()),
        )
    )


@router.delete("/{id}", status_code=204)
async def delete(core: str, id: str, enter: Enter) -> None:  # noqa: A002 - as above
    """Remove an object."""
    await enter("object:destroy", lambda caller, act: destroy_object(enter.appliance, caller, act, core, id))
