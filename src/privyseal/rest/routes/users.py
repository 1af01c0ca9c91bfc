"""Users, and the caller's own password."""

from typing import Any

from fastapi import APIRouter
from pydantic import SecretStr

from privyseal.model.access import Role
from privyseal.operations import manage_certificates, manage_users
from privyseal.rest.documents import certificate_document, user_document
from privyseal.rest.entrance import Body, Enter

router = APIRouter(prefix="/users", tags=["users"])


class NewUser(Body):
    """`POST /users`."""

    name: str
    role: Role
    password: SecretStr


class UserChanges(Body):
    """`PUT /users/{name}`; what is left out stays."""

    role: Role | None = None
    password: SecretStr | None = None


class NewCertificate(Body):
    """`POST /users/{name}/certificates`: one certificate in PEM, without its key."""

    certificate: str


class OwnPassword(Body):
    """`PUT /users/me/password`."""

    old: SecretStr
    new: SecretStr


@router.get("")
async def users(enter: Enter) -> dict[str, Any]:
    """List all users."""
    found = await enter("user:list", lambda caller, _: manage_users.list_users(enter.appliance, caller))
    return {"users": [user_document(account) for account in found]}


@router.post("", status_code=201)
async def create(body: NewUser, enter: Enter) -> dict[str, Any]:
    """Make a user."""
    password = body.password.get_secret_value()
    return await enter.once(
        "user:create",
        lambda caller, act: manage_users.create_user(enter.appliance, caller, act, body.name, body.role, password),
        user_document,
    )


@router.put("/me/password", status_code=204)
async def change_own_password(body: OwnPassword, enter: Enter) -> None:
    """Change the caller's own password."""
    old, new = body.old.get_secret_value(), body.new.get_secret_value()
    await enter(
        "user:password",
        lambda caller, act: manage_users.change_own_password(enter.appliance, caller, act, old, new),
    )


@router.get("/{name}")
async def show(name: str, enter: Enter) -> dict[str, Any]:
    """Show a user."""
    return user_document(
        await enter("user:read", lambda caller, _: manage_users.get_user(enter.appliance, caller, name))
    )


@router.put("/{name}")
async def update(name: str, body: UserChanges, enter: Enter) -> dict[str, Any]:
    """Change a user."""
    password = None if body.password is None else body.password.get_secret_value()
    changed = await enter(
        "user:update",
        lambda caller, act: manage_users.update_user(enter.appliance, caller, act, name, body.role, password),
    )
    return user_document(changed)


@router.post("/{name}/unlock", status_code=204)
async def unlock(name: str, enter: Enter) -> None:
    """Unlock a user after too many wrong PINs or passwords."""
    await enter.once(
        "user:unlock",
        lambda caller, act: manage_users.unlock_user(enter.appliance, caller, act, name),
        lambda _: None,
    )


@router.get("/{name}/certificates")
async def certificates(name: str, enter: Enter) -> dict[str, Any]:
    """List a user's client certificates."""
    found = await enter(
        "user:list-certificates",
        lambda caller, _: manage_certificates.list_certificates(enter.appliance, caller, name),
    )
    return {"certificates": [certificate_document(one) for one in found]}


@router.post("/{name}/certificates", status_code=201)
async def add_certificate(name: str, body: NewCertificate, enter: Enter) -> dict[str, Any]:
    """Register a client certificate for a user."""
    return await enter.once(
        "user:add-certificate",
        lambda caller, act: manage_certificates.add_certificate(enter.appliance, caller, act, name, body.certificate),
        certificate_document,
    )


@router.delete("/{name}/certificates/{fingerprint}", status_code=204)
async def remove_certificate(name: str, fingerprint: str, enter: Enter) -> None:
    """Remove a client certificate, at once."""
    await enter(
        "user:remove-certificate",
        lambda caller, act: manage_certificates.remove_certificate(enter.appliance, caller, act, name, fingerprint),
    )


@router.delete("/{name}", status_code=204)
async def delete(name: str, enter: Enter) -> None:
    """Delete a user with the rules that name it."""
    await enter("user:delete", lambda caller, act: manage_users.delete_user(enter.appliance, caller, act, name))
