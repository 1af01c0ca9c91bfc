"""Users: create, list, change, unlock, delete; and a user's own password."""

import asyncio
from dataclasses import dataclass

from sqlalchemy import Connection

from privyseal.access.attempts import PASSWORD_LIMITS, password_subject
from privyseal.access.passwords import check_strength, hash_password, verify_password
from privyseal.errors import ConflictError, NotFoundError, UnauthenticatedError
from privyseal.model.access import Operation, Role, User
from privyseal.operations.appliance import Appliance
from privyseal.operations.attempt import attempt
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.operations.require_person import require_person
from privyseal.store import approvals, attempts, cores, users
from privyseal.wire import names


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and whether too many wrong PINs have locked it somewhere."""

    user: User
    locked: bool


async def create_user(appliance: Appliance, caller: Caller, act: Act, name: str, role: Role, password: str) -> Account:
    """Make a user. Raises InvalidRequestError, ConflictError, AccessRefusedError."""
    require_role(caller, Operation.USER_MANAGE)
    names.name(name)
    check_strength(password)
    stored = await asyncio.to_thread(hash_password, password)

    def work(connection: Connection) -> Account:
        if users.get(connection, name) is not None:
            raise ConflictError(f"there is a user '{name}' already")
        return Account(users.add(connection, name, role, stored), locked=False)

    return await change(appliance, caller, act, f"user '{name}', role {role.value}", work)


async def list_users(appliance: Appliance, caller: Caller) -> list[Account]:
    """Give all users by name."""
    require_role(caller, Operation.USER_MANAGE)
    return await look(appliance, _accounts)


async def get_user(appliance: Appliance, caller: Caller, name: str) -> Account:
    """Give one user; everybody may see the own account. Raises NotFoundError."""
    if name != caller.user.name:
        require_role(caller, Operation.USER_MANAGE)
    accounts = await look(appliance, _accounts)
    for account in accounts:
        if account.user.name == name:
            return account
    raise _unknown(name)


async def update_user(
    appliance: Appliance, caller: Caller, act: Act, name: str, role: Role | None, password: str | None
) -> Account:
    """Change a user's role or password. The last administrator keeps the role."""
    require_role(caller, Operation.USER_MANAGE)
    values: dict[str, object] = {}
    if role is not None:
        values["role"] = role.value
    if password is not None:
        check_strength(password)
        values["password"] = await asyncio.to_thread(hash_password, password)

    def work(connection: Connection) -> None:
        user = _require(connection, name)
        if user.role is Role.ADMINISTRATOR and role not in (None, Role.ADMINISTRATOR):
            _keep_one_administrator(connection, name)
        users.change(connection, name, values)

    words = ["password changed"] * (password is not None) + ([] if role is None else [f"role is {role.value}"])
    await change(appliance, caller, act, f"user '{name}': {', '.join(words) or 'nothing changed'}", work)
    return await get_user(appliance, Caller(caller.user, appliance.snapshot), name)


async def delete_user(appliance: Appliance, caller: Caller, act: Act, name: str) -> None:
    """Remove a user and the rules that name it. The last administrator stays."""
    require_role(caller, Operation.USER_MANAGE)

    def work(connection: Connection) -> None:
        if _require(connection, name).role is Role.ADMINISTRATOR:
            _keep_one_administrator(connection, name)
        _keep_approvers(connection, name)
        users.remove(connection, name)

    await change(appliance, caller, act, f"user '{name}'", work)


async def unlock_user(appliance: Appliance, caller: Caller, act: Act, name: str) -> None:
    """Forget a user's wrong PINs and passwords."""
    require_role(caller, Operation.USER_MANAGE)

    def work(connection: Connection) -> None:
        _require(connection, name)
        attempts.forgive(connection, f"pin:user:{name}:")
        attempts.forgive_one(connection, password_subject(name))

    await change(appliance, caller, act, f"user '{name}' unlocked", work)


async def change_own_password(appliance: Appliance, caller: Caller, act: Act, old: str, new: str) -> None:
    """Change the caller's password; the old one is asked again, and counted if it is wrong."""
    require_person(caller)
    check_strength(new, "new")
    name = caller.user.name
    async with attempt(appliance, (password_subject(name),), PASSWORD_LIMITS) as trial:
        if not await asyncio.to_thread(verify_password, old, caller.user.password):
            await trial.failed()
            raise UnauthenticatedError("the old password is not right")
    stored = await asyncio.to_thread(hash_password, new)
    await change(
        appliance,
        caller,
        act,
        f"user '{name}': password changed",
        lambda c: users.change(c, name, {"password": stored}),
    )


def _accounts(connection: Connection) -> list[Account]:
    found = attempts.locked(connection, cores.every(connection))
    locked = {known.subject.split(":")[2] for known in found if _is_of_user(known.subject)}
    return [Account(user, user.name in locked) for user in users.every(connection)]


def _is_of_user(subject: str) -> bool:
    return subject.startswith("pin:user:")


def _require(connection: Connection, name: str) -> User:
    user = users.get(connection, name)
    if user is None:
        raise _unknown(name)
    return user


def _unknown(name: str) -> NotFoundError:
    return NotFoundError(f"there is no user '{name}'; see `privyseal user list`")


def _keep_approvers(connection: Connection, name: str) -> None:
    """Keep a user who approves: else a quorum could not be reached any more, or a namesake would be in it."""
    for quorum in approvals.every_quorum(connection):
        if name in quorum.approvers:
            raise ConflictError(f"'{name}' is an approver in quorum {quorum.number}; delete that first")


def _keep_one_administrator(connection: Connection, name: str) -> None:
    others = (user for user in users.every(connection) if user.name != name)
    if not any(user.role is Role.ADMINISTRATOR for user in others):
        raise ConflictError(f"'{name}' is the last administrator; make another one first")
