"""Credentials: make, list, show and revoke. Users do it for themselves, administrators for others too.

A credential makes, ends or approves nothing itself: that takes the person with the password. So who finds one cannot
live on with another one after it was revoked.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from privyseal.access.decide import by_role
from privyseal.access.scope import NEVER
from privyseal.access.tokens import new_token
from privyseal.errors import ConflictError, InvalidRequestError, NotFoundError
from privyseal.model.access import Operation, Role
from privyseal.model.credentials import LONGEST, MOST, REMEMBERED, SHORTEST, Credential
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.operations.require_person import require_person
from privyseal.store import credentials
from privyseal.store.times import now
from privyseal.wire import names
from privyseal.wire.names import LABEL_MAX

_SCOPABLE = tuple(one for one in Operation if one not in NEVER | {Operation.CORE_LOGIN, Operation.KEY_VERIFY})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credential that is asked for. `user` is None for the caller's own; `operations` None for all the user may."""

    user: str | None
    name: str
    operations: list[Operation] | None
    core: str | None
    keys: str
    lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Issued:
    """A new credential with its token, which nobody can show again."""

    credential: Credential
    token: str

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Issued({self.credential!r})"


async def create_credential(appliance: Appliance, caller: Caller, act: Act, wanted: Wanted) -> Issued:
    """Make a credential. Raises NotFoundError, InvalidRequestError, ConflictError, AccessRefusedError."""
    require_person(caller)
    user = wanted.user or caller.user.name
    _require_own(caller, user)
    made, token = _checked(caller, user, wanted)

    def work(connection: Connection) -> Issued:
        credentials.forget(connection, now() - REMEMBERED)
        _require_room(connection, made)
        credentials.add(connection, made)
        return Issued(made, token)

    return await change(appliance, caller, act, _words(made, wanted.lifetime), work)


async def list_credentials(appliance: Appliance, caller: Caller, user: str | None) -> list[Credential]:
    """Give those of a user, or all; users may see their own, which is what they get without a name."""
    if user is None and not by_role(caller.user, Operation.USER_MANAGE).allowed:
        user = caller.user.name
    if user is None or user != caller.user.name:
        require_role(caller, Operation.USER_MANAGE)
    if user is not None and user not in caller.snapshot.users:
        return []
    return await look(appliance, lambda connection: credentials.every(connection, user))


async def get_credential(appliance: Appliance, caller: Caller, id_: str) -> Credential:
    """Give one credential; raises NotFoundError also to those who may not know of it."""
    known = caller.snapshot.credentials.get(id_)
    if known is None:
        raise _unknown(id_)
    if known.credential.user != caller.user.name:
        _require_manager(caller, id_)
    return await look(appliance, lambda connection: _require(connection, id_))


async def revoke_credential(appliance: Appliance, caller: Caller, act: Act, id_: str) -> None:
    """End a credential, at once and in every worker. Raises NotFoundError, AccessRefusedError."""
    require_person(caller)
    found = await get_credential(appliance, caller, id_)

    def work(connection: Connection) -> None:
        _require(connection, id_)
        credentials.revoke(connection, id_, now())

    await change(appliance, caller, act, f"credential {id_} '{found.name}' of user '{found.user}'", work)


def _require_own(caller: Caller, user: str) -> None:
    if user == caller.user.name:
        return
    require_role(caller, Operation.USER_MANAGE)
    if user not in caller.snapshot.users:
        raise NotFoundError(f"there is no user '{user}'; see `privyseal user list`")


def _require_manager(caller: Caller, id_: str) -> None:
    if caller.user.role is not Role.ADMINISTRATOR or caller.user.scope is not None:
        raise _unknown(id_)


def _checked(caller: Caller, user: str, wanted: Wanted) -> tuple[Credential, str]:
    """Make the credential of what is asked for; raises InvalidRequestError or NotFoundError."""
    names.name(wanted.name)
    if not 1 <= len(wanted.keys) <= LABEL_MAX or not wanted.keys.isprintable():
        raise InvalidRequestError.of("keys", f"a label pattern has 1 to {LABEL_MAX} printable characters")
    core = None if wanted.core is None else caller.snapshot.core(wanted.core).number
    operations = _operations(caller.snapshot.users[user].role, wanted.operations)
    token, created = new_token(), now()
    expires = _expiry(created, wanted.lifetime)
    made = Credential(token.id, user, wanted.name, operations, core, wanted.keys, token.digest, created, expires)
    return made, token.text


def _operations(role: Role, wanted: list[Operation] | None) -> frozenset[Operation] | None:
    if wanted is None and role is Role.ADMINISTRATOR:
        raise InvalidRequestError.of("operations", "a credential of an administrator has to name its operations")
    if wanted is None:
        return None
    if not wanted or not set(wanted) <= set(_SCOPABLE):
        allowed = ", ".join(operation.value for operation in _SCOPABLE)
        raise InvalidRequestError.of("operations", f"give one or more of {allowed}")
    return frozenset(wanted)


def _expiry(created: datetime, lifetime: timedelta) -> datetime:
    if not SHORTEST <= lifetime <= LONGEST:
        raise InvalidRequestError.of("expires_in", f"a credential lives 1 second to {LONGEST.days} days")
    return created + lifetime


def _require_room(connection: Connection, made: Credential) -> None:
    others = credentials.every(connection, made.user)
    if len(others) >= MOST:
        raise ConflictError(f"user '{made.user}' has {MOST} credentials, ended ones included; that is the most")
    if any(one.name == made.name and one.state(made.created) == "active" for one in others):
        raise ConflictError(f"user '{made.user}' has a credential '{made.name}' already; revoke it or choose a name")


def _words(made: Credential, lifetime: timedelta) -> str:
    """Say what is made, without its id: it is the same request whenever it is approved."""
    listed = sorted(one.value for one in made.operations or ())
    operations = "whatever the user may" if made.operations is None else ",".join(listed)
    where = "every core" if made.core is None else f"core {made.core}"
    return (
        f"credential '{made.name}' of user '{made.user}': {operations} with '{made.keys}' in {where}, "
        f"for {int(lifetime.total_seconds())} seconds"
    )


def _require(connection: Connection, id_: str) -> Credential:
    found = credentials.get(connection, id_)
    if found is None:
        raise _unknown(id_)
    return found


def _unknown(id_: str) -> NotFoundError:
    return NotFoundError(f"there is no credential '{id_}' that you may see; see `privyseal credential list`")
