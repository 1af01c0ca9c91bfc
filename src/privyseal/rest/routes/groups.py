"""Groups of users."""

from typing import Any

from fastapi import APIRouter

from privyseal.operations import manage_groups
from privyseal.rest.documents import group_document
from privyseal.rest.entrance import Body, Enter

router = APIRouter(prefix="/groups", tags=["access"])


class NewGroup(Body):
    """`POST /groups`."""

    name: str
    members: tuple[str, ...] = ()


@router.get("")
async def groups(enter: Enter) -> dict[str, Any]:
    """List the groups; who is no administrator sees the own ones."""
    found = await enter("group:list", lambda caller, _: manage_groups.list_groups(caller))
    return {"groups": [group_document(group) for group in found]}


@router.post("", status_code=201)
async def create(body: NewGroup, enter: Enter) -> dict[str, Any]:
    """Make a group."""
    return await enter.once(
        "group:create",
        lambda caller, act: manage_groups.create_group(enter.appliance, caller, act, body.name, body.members),
        group_document,
    )


@router.get("/{name}")
async def show(name: str, enter: Enter) -> dict[str, Any]:
    """Show a group."""
    return group_document(await enter("group:read", lambda caller, _: manage_groups.get_group(caller, name)))


@router.delete("/{name}", status_code=204)
async def delete(name: str, enter: Enter) -> None:
    """Delete a group with the rules that name it."""
    await enter("group:delete", lambda caller, act: manage_groups.delete_group(enter.appliance, caller, act, name))


@router.put("/{name}/members/{user}")
async def add(name: str, user: str, enter: Enter) -> dict[str, Any]:
    """Put a user into a group."""
    changed = await enter(
        "group:add-member",
        lambda caller, act: manage_groups.add_member(enter.appliance, caller, act, name, user),
    )
    return group_document(changed)


@router.delete("/{name}/members/{user}")
async def remove(name: str, user: str, enter: Enter) -> dict[str, Any]:
    """Take a user out of a group."""
    changed = await enter(
        "group:remove-member",
        lambda caller, act: manage_groups.remove_member(enter.appliance, caller, act, name, user),
    )
    return group_document(changed)
