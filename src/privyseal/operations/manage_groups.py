"""Groups: create, list, show, delete; who is in them. What a group may is said by access rules that name it."""

from collections.abc import Sequence

from sqlalchemy import Connection

from privyseal.access.decide import by_role
from privyseal.errors import ConflictError, NotFoundError
from privyseal.model.access import Group, Operation
from privyseal.operations.appliance import Appliance
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.store import groups
from privyseal.wire import names


async def create_group(appliance: Appliance, caller: Caller, act: Act, name: str, members: Sequence[str]) -> Group:
    """Make a group. Raises InvalidRequestError, ConflictError, AccessRefusedError, NotFoundError for a member."""
    require_role(caller, Operation.USER_MANAGE)
    names.name(name)
    found = sorted(set(members))
    for user in found:
        _require_user(caller, user)

    def work(connection: Connection) -> Group:
        if groups.get(connection, name) is not None:
            raise ConflictError(f"there is a group '{name}' already")
        groups.add(connection, name)
        for user in found:
            groups.add_member(connection, name, user)
        return _require(connection, name)

    return await change(appliance, caller, act, f"group '{name}', members {_listed(found)}", work)


async def list_groups(caller: Caller) -> list[Group]:
    """Give all groups by name; to users who are no administrators their own."""
    there = caller.snapshot.groups.values()
    if by_role(caller.user, Operation.USER_MANAGE).allowed:
        return list(there)
    return [group for group in there if caller.user.name in group.members]


async def get_group(caller: Caller, name: str) -> Group:
    """Give one group. Raises NotFoundError, AccessRefusedError."""
    require_role(caller, Operation.USER_MANAGE)
    return _known(caller, name)


async def delete_group(appliance: Appliance, caller: Caller, act: Act, name: str) -> None:
    """Remove a group and the rules that name it. Its members stay users. Raises NotFoundError."""
    require_role(caller, Operation.USER_MANAGE)
    _known(caller, name)
    await change(appliance, caller, act, f"group '{name}'", lambda connection: groups.remove(connection, name))


async def add_member(appliance: Appliance, caller: Caller, act: Act, name: str, user: str) -> Group:
    """Put a user into a group; doing so twice is no error. Raises NotFoundError."""
    require_role(caller, Operation.USER_MANAGE)
    group = _known(caller, name)
    _require_user(caller, user)

    def work(connection: Connection) -> Group:
        if user not in group.members:
            groups.add_member(connection, name, user)
        return _require(connection, name)

    return await change(appliance, caller, act, f"group '{name}': '{user}' joins", work)


async def remove_member(appliance: Appliance, caller: Caller, act: Act, name: str, user: str) -> Group:
    """Take a user out of a group; what its rules allowed ends with the next answer. Raises NotFoundError."""
    require_role(caller, Operation.USER_MANAGE)
    if user not in _known(caller, name).members:
        raise NotFoundError(f"user '{user}' is not in group '{name}'; see `privyseal group show {name}`")

    def work(connection: Connection) -> Group:
        groups.remove_member(connection, name, user)
        return _require(connection, name)

    return await change(appliance, caller, act, f"group '{name}': '{user}' leaves", work)


def _known(caller: Caller, name: str) -> Group:
    group = caller.snapshot.groups.get(name)
    if group is None:
        raise NotFoundError(f"there is no group '{name}'; see `privyseal group list`")
    return group


def _require(connection: Connection, name: str) -> Group:
    group = groups.get(connection, name)
    assert group is not None  # noqa: S101 - the generation says that it is there as in the snapshot
    return group


def _require_user(caller: Caller, user: str) -> None:
    if user not in caller.snapshot.users:
        raise NotFoundError(f"there is no user '{user}'; see `privyseal user list`")


def _listed(members: list[str]) -> str:
    return ", ".join(members) or "none"
