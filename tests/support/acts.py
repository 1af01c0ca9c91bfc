"""One request for each thing that the appliance can be asked to change, with what it needs to be there first.

Always true: an act finds what it is about just made, under a name of its own, so that acts can be done in any order.
"""

import base64
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from privyseal.wire import keywrap
from support.appliance import PIN, Appliance
from support.client_certificates import make

OPERATOR = "operator"
RULE_OPERATIONS = ("key:read", "key:sign", "key:manage", "key:destroy", "key:export", "key:import", "key:generate")


@dataclass(frozen=True)
class Asked:
    """A request that has not been sent yet."""

    method: str
    path: str
    body: dict[str, Any] | None = None
    user: str = "admin"
    more: dict[str, Any] = field(default_factory=dict)

    def send(self, appliance: Appliance, **options: Any) -> Any:
        """Send it."""
        return appliance.api(self.method, self.path, self.body, user=self.user, check=False, **self.more, **options)


def new_name() -> str:
    """A name that nothing else has."""
    return f"act-{uuid.uuid4().hex[:12]}"


def prepare(appliance: Appliance) -> None:
    """Make the operator that acts on keys are asked by."""
    appliance.add_user(OPERATOR)
    appliance.add_rule(OPERATOR, operations=RULE_OPERATIONS)


def _key(appliance: Appliance, **more: Any) -> str:
    label = new_name()
    appliance.api("POST", "/cores/1/keys", {"label": label, "type": "ec:P-256", "pin": PIN, **more})
    return f"/cores/1/keys/{label}"


def _on_key(verb: str, body: dict[str, Any] | None = None, **more: Any) -> Callable[[Appliance], Asked]:
    return lambda appliance: Asked("POST", f"{_key(appliance, **more)}/{verb}", body, OPERATOR)


def _merge(appliance: Appliance) -> Asked:
    secret = "a passphrase for backups"
    appliance.api("POST", "/backup/recipients", {"name": new_name(), "passphrase": secret})
    headers = {"Backup-Secret": base64.b64encode(secret.encode()).decode()}
    return Asked("POST", "/restore", more={"content": appliance.api("POST", "/backup").content, "headers": headers})


def _replace_tls(appliance: Appliance) -> Asked:
    """The certificate in force, once more."""
    content = (appliance.data / "tls" / "server.pem").read_text()
    at = content.index("-----BEGIN CERT")
    return Asked("PUT", "/config/tls", {"certificate": content[at:], "private_key": content[:at]})


def _destroy(appliance: Appliance) -> Asked:
    return Asked("DELETE", _key(appliance), None, OPERATOR)


def _enable(appliance: Appliance) -> Asked:
    key = _key(appliance)
    appliance.api("POST", f"{key}/disable")
    return Asked("POST", f"{key}/enable", None, OPERATOR)


def _restore(appliance: Appliance) -> Asked:
    key = _key(appliance)
    appliance.api("DELETE", key)
    return Asked("POST", f"{key}/restore", None, OPERATOR)


def _export(appliance: Appliance) -> Asked:
    body = {"public_key": base64.b64encode(_spki(_OUTSIDE)).decode(), "pin": PIN}
    return Asked("POST", f"{_key(appliance, policy={'exportable': True})}/export", body, OPERATOR)


def _unlock_key(appliance: Appliance) -> Asked:
    return Asked("POST", f"{_key(appliance)}/unlock")


def _policy(appliance: Appliance) -> Asked:
    return Asked("PUT", f"{_key(appliance)}/policy", {"policy": {"max_uses": 5}, "pin": PIN}, OPERATOR)


def _update(appliance: Appliance) -> Asked:
    return Asked("PUT", _key(appliance), {"label": new_name()}, OPERATOR)


def _import(appliance: Appliance) -> Asked:
    given = appliance.api("POST", "/cores/1/import-key", user=OPERATOR).json()
    public = keywrap.load_wrapping_key(base64.b64decode(given["public_key"]))
    private = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    wrapped = base64.b64encode(keywrap.wrap(public, private)).decode()
    body = {"label": new_name(), "import_key": given["id"], "wrapped": wrapped, "pin": PIN}
    return Asked("POST", "/cores/1/import", body, OPERATOR)


def _user(appliance: Appliance) -> str:
    return appliance.add_user(new_name())


def _new_user(_: Appliance) -> Asked:
    return Asked("POST", "/users", {"name": new_name(), "role": "operator", "password": "the password of it"})


def _add_certificate(appliance: Appliance) -> Asked:
    return Asked("POST", f"/users/{_user(appliance)}/certificates", {"certificate": make(new_name()).pem})


def _remove_certificate(appliance: Appliance) -> Asked:
    added = _add_certificate(appliance)
    made = added.send(appliance).json()
    return Asked("DELETE", f"{added.path}/{made['fingerprint']}")


def _group(appliance: Appliance, *members: str) -> str:
    name = new_name()
    appliance.api("POST", "/groups", {"name": name, "members": list(members)})
    return f"/groups/{name}"


def _leaving(appliance: Appliance) -> Asked:
    user = _user(appliance)
    return Asked("DELETE", f"{_group(appliance, user)}/members/{user}")


def _core(appliance: Appliance) -> str:
    number = appliance.api("POST", "/cores", {"name": new_name()}).json()["number"]
    return f"/cores/{number}"


def _rule_body(appliance: Appliance) -> dict[str, Any]:
    return {"user": _user(appliance), "core": 1, "operations": ["key:read"], "keys": "x*"}


def _rule(appliance: Appliance) -> str:
    number = appliance.api("POST", "/rules", _rule_body(appliance)).json()["number"]
    return f"/rules/{number}"


def _credential_body(appliance: Appliance) -> dict[str, Any]:
    return {"user": _user(appliance), "name": new_name(), "expires_in": 3600}


def _credential(appliance: Appliance) -> str:
    made = appliance.api("POST", "/credentials", _credential_body(appliance)).json()
    return f"/credentials/{made['id']}"


def _recipient(appliance: Appliance) -> str:
    body = {"name": new_name(), "passphrase": "a passphrase for backups"}
    appliance.api("POST", "/backup/recipients", body)
    return f"/backup/recipients/{body['name']}"


def _slot(appliance: Appliance) -> str:
    made = appliance.api("POST", "/unlock-slots", {"kind": "key-file"}).json()
    return f"/unlock-slots/{made['number']}"


def _quorum(appliance: Appliance) -> Asked:
    guarded = {"operation": "key:sign", "core": 1, "key": _key(appliance).rsplit("/", 1)[1]}
    return Asked("POST", "/quorums", guarded | {"needed": 1, "approvers": [_user(appliance)]})


def _spki(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


_OUTSIDE = rsa.generate_private_key(65537, 3072)
_DIGEST = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256", "pin": PIN}
_BATCH = {"digests": [_DIGEST["digest"]] * 2, "hash": "SHA-256", "pin": PIN}
_SHARES = {"kind": "shares", "needed": 2, "total": 3}

KEYS: dict[str, Callable[[Appliance], Asked]] = {
    "key:destroy": _destroy,
    "key:disable": _on_key("disable"),
    "key:enable": _enable,
    "key:export": _export,
    "key:policy": _policy,
    "key:restore": _restore,
    "key:rotate": _on_key("rotate", {"pin": PIN, "new_pin": "another PIN of it"}),
    "key:sign": _on_key("sign", _DIGEST),
    "key:unlock": _unlock_key,
    "key:update": _update,
}
"""What is done with one key, by the name of the operation."""

ADMINISTRATIVE: dict[str, Callable[[Appliance], Asked]] = {
    "appliance:lock": lambda _: Asked("POST", "/lock"),
    "appliance:merge": _merge,
    "backup:add-recipient": lambda _: Asked(
        "POST", "/backup/recipients", {"name": new_name(), "passphrase": "a passphrase for backups"}
    ),
    "backup:remove-recipient": lambda appliance: Asked("DELETE", _recipient(appliance)),
    "core:create": lambda _: Asked("POST", "/cores", {"name": new_name()}),
    "core:delete": lambda appliance: Asked("DELETE", _core(appliance)),
    "core:update": lambda appliance: Asked("PUT", _core(appliance), {"name": new_name()}),
    "credential:create": lambda appliance: Asked("POST", "/credentials", _credential_body(appliance)),
    "credential:revoke": lambda appliance: Asked("DELETE", _credential(appliance)),
    "domain-key:rotate": lambda _: Asked("POST", "/domain-key/rotate"),
    "group:add-member": lambda appliance: Asked("PUT", f"{_group(appliance)}/members/{_user(appliance)}"),
    "group:create": lambda _: Asked("POST", "/groups", {"name": new_name()}),
    "group:delete": lambda appliance: Asked("DELETE", _group(appliance)),
    "group:remove-member": _leaving,
    "quorum:create": _quorum,
    "rule:create": lambda appliance: Asked("POST", "/rules", _rule_body(appliance)),
    "rule:delete": lambda appliance: Asked("DELETE", _rule(appliance)),
    "rule:update": lambda appliance: Asked("PUT", _rule(appliance), {"operations": ["key:read", "key:sign"]}),
    "tls:renew": lambda _: Asked("POST", "/config/tls/renew"),
    "tls:replace": _replace_tls,
    "unlock-slot:create": lambda _: Asked("POST", "/unlock-slots", _SHARES),
    "unlock-slot:delete": lambda appliance: Asked("DELETE", _slot(appliance)),
    "unlock-slot:rotate": lambda appliance: Asked("POST", f"{_slot(appliance)}/rotate", _SHARES),
    "user:add-certificate": _add_certificate,
    "user:create": _new_user,
    "user:delete": lambda appliance: Asked("DELETE", f"/users/{_user(appliance)}"),
    "user:remove-certificate": _remove_certificate,
    "user:unlock": lambda appliance: Asked("POST", f"/users/{_user(appliance)}/unlock"),
    "user:update": lambda appliance: Asked("PUT", f"/users/{_user(appliance)}", {"role": "auditor"}),
}
"""What administrators do, by the name of the operation."""

MORE: dict[str, Callable[[Appliance], Asked]] = {
    "core:logout": lambda appliance: Asked(
        "POST",
        "/cores/1/logout",
        {"ticket": appliance.api("POST", "/cores/1/login", {"pin": PIN}, user=OPERATOR).json()["ticket"]},
        OPERATOR,
    ),
    "key:generate": lambda _: Asked(
        "POST", "/cores/1/keys", {"label": new_name(), "type": "ec:P-256", "pin": PIN}, OPERATOR
    ),
    "key:import": _import,
    "key:import-key": lambda _: Asked("POST", "/cores/1/import-key", None, OPERATOR),
    "key:sign-batch": _on_key("sign-batch", _BATCH),
    "key:verify": _on_key(
        "verify", {"digest": _DIGEST["digest"], "hash": "SHA-256", "signature": base64.b64encode(bytes(8)).decode()}
    ),
}
"""What else changes or records something by POST."""
