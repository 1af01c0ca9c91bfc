"""The TLS certificate of the node that answers."""

from typing import Any

from fastapi import APIRouter
from pydantic import SecretStr

from privyseal.operations import manage_tls
from privyseal.rest.documents import tls_document
from privyseal.rest.entrance import Body, Enter

router = APIRouter(prefix="/config/tls", tags=["appliance"])


class NewCertificate(Body):
    """`PUT /config/tls`, both in PEM: the server's certificate with those above it, and its private key."""

    certificate: str
    private_key: SecretStr


@router.get("")
async def show(enter: Enter) -> dict[str, Any]:
    """Show the certificate in force."""
    return tls_document(await enter("tls:read", lambda caller, _: manage_tls.show(enter.appliance, caller)))


@router.put("")
async def replace(body: NewCertificate, enter: Enter) -> dict[str, Any]:
    """Serve another certificate; connections that are open go on with the old one."""
    key = body.private_key.get_secret_value()
    found = await enter(
        "tls:replace", lambda caller, act: manage_tls.replace(enter.appliance, caller, act, body.certificate, key)
    )
    return tls_document(found)


@router.post("/renew")
async def renew(enter: Enter) -> dict[str, Any]:
    """Serve a new certificate of the appliance's own CA."""
    return await enter.once(
        "tls:renew", lambda caller, act: manage_tls.renew(enter.appliance, caller, act), tls_document
    )
