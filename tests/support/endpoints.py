"""Each endpoint of the OpenAPI document: whose it is, and a well-formed request with what the document calls required.

`MAY` is the table of who gets in. An endpoint that is not in it fails a test: each new one is somebody's.
"""

from collections.abc import Iterator
from typing import Any

from privyseal.model.access import Operation
from privyseal.rest import api
from support.appliance import PIN, Appliance

ROLES = ("administrator", "auditor", "backup", "metrics", "operator")
ENTITLED = "entitled"  # an operator with a rule for every operation on every key of core 1
CALLERS = ("nobody", "stranger", *ROLES, ENTITLED)

ADMINISTRATOR = frozenset({"administrator"})
READERS_OF_THE_RECORD = ADMINISTRATOR | {"auditor"}
BACKUP_MAKERS = ADMINISTRATOR | {"backup"}
KEY_READERS = READERS_OF_THE_RECORD | {ENTITLED}
KEY_MANAGERS = ADMINISTRATOR | {ENTITLED}
KEY_USERS = frozenset({ENTITLED})
IN_THE_CORE = READERS_OF_THE_RECORD | {ENTITLED}  # without a rule in a core an operator is not let in
ANYBODY = frozenset({*ROLES, ENTITLED})  # with an account; what is seen is what concerns the caller
OPEN = frozenset(CALLERS)

MAY = {
    "GET /health/alive": OPEN,
    "GET /health/ready": OPEN,
    "GET /state": OPEN,
    "GET /info": ANYBODY,
    "GET /cores": ANYBODY,
    "POST /cores": ADMINISTRATOR,
    "GET /cores/{core}": IN_THE_CORE,
    "PUT /cores/{core}": ADMINISTRATOR,
    "DELETE /cores/{core}": ADMINISTRATOR,
    "GET /cores/{core}/random": IN_THE_CORE,
    "POST /cores/{core}/login": IN_THE_CORE,
    "POST /cores/{core}/logout": IN_THE_CORE,
    "GET /cores/{core}/keys": IN_THE_CORE,
    "POST /cores/{core}/keys": KEY_MANAGERS,
    "GET /cores/{core}/keys/{key}": KEY_READERS,
    "PUT /cores/{core}/keys/{key}": KEY_MANAGERS,
    "DELETE /cores/{core}/keys/{key}": KEY_MANAGERS,
    "GET /cores/{core}/keys/{key}/public.pem": KEY_READERS,
    "GET /cores/{core}/keys/{key}/uri": KEY_READERS,
    "GET /cores/{core}/keys/{key}/versions": KEY_READERS,
    "PUT /cores/{core}/keys/{key}/policy": KEY_MANAGERS,
    "PUT /cores/{core}/keys/{key}/rotation": KEY_MANAGERS,
    "POST /cores/{core}/keys/{key}/rotate": KEY_MANAGERS,
    "POST /cores/{core}/keys/{key}/disable": KEY_MANAGERS,
    "POST /cores/{core}/keys/{key}/enable": KEY_MANAGERS,
    "POST /cores/{core}/keys/{key}/restore": KEY_MANAGERS,
    "POST /cores/{core}/keys/{key}/export": KEY_USERS,
    "POST /cores/{core}/import-key": KEY_MANAGERS,
    "POST /cores/{core}/import": KEY_MANAGERS,
    "POST /cores/{core}/keys/{key}/unlock": ADMINISTRATOR,
    "POST /cores/{core}/keys/{key}/sign": KEY_USERS,
    "POST /cores/{core}/keys/{key}/sign-batch": KEY_USERS,
    "POST /cores/{core}/keys/{key}/verify": KEY_READERS,
    "POST /provision": OPEN,
    "POST /unlock": OPEN,
    "POST /lock": ADMINISTRATOR,
    "GET /unlock-slots": ADMINISTRATOR,
    "POST /unlock-slots": ADMINISTRATOR,
    "DELETE /unlock-slots/{number}": ADMINISTRATOR,
    "POST /unlock-slots/{number}/rotate": ADMINISTRATOR,
    "GET /domain-key": ADMINISTRATOR,
    "POST /domain-key/rotate": ADMINISTRATOR,
    "PUT /users/me/password": ANYBODY,
    "GET /users": ADMINISTRATOR,
    "POST /users": ADMINISTRATOR,
    "GET /users/{name}": ADMINISTRATOR,
    "PUT /users/{name}": ADMINISTRATOR,
    "DELETE /users/{name}": ADMINISTRATOR,
    "POST /users/{name}/unlock": ADMINISTRATOR,
    "GET /users/{name}/certificates": ADMINISTRATOR,
    "POST /users/{name}/certificates": ADMINISTRATOR,
    "DELETE /users/{name}/certificates/{fingerprint}": ADMINISTRATOR,
    "GET /groups": ANYBODY,
    "POST /groups": ADMINISTRATOR,
    "GET /groups/{name}": ADMINISTRATOR,
    "DELETE /groups/{name}": ADMINISTRATOR,
    "PUT /groups/{name}/members/{user}": ADMINISTRATOR,
    "DELETE /groups/{name}/members/{user}": ADMINISTRATOR,
    "GET /credentials": ANYBODY,
    "POST /credentials": ANYBODY,
    "GET /credentials/{id}": ANYBODY,
    "DELETE /credentials/{id}": ANYBODY,
    "GET /rules": ADMINISTRATOR,
    "POST /rules": ADMINISTRATOR,
    "GET /rules/{number}": ADMINISTRATOR,
    "PUT /rules/{number}": ADMINISTRATOR,
    "DELETE /rules/{number}": ADMINISTRATOR,
    "GET /access/explain": ADMINISTRATOR,
    "GET /quorums": READERS_OF_THE_RECORD,
    "POST /quorums": ADMINISTRATOR,
    "DELETE /quorums/{number}": ADMINISTRATOR,
    "GET /approvals": ANYBODY,
    "GET /approvals/{number}": ANYBODY,
    "POST /approvals/{number}/approve": ANYBODY,
    "POST /approvals/{number}/refuse": ANYBODY,
    "GET /audit/checkpoint": READERS_OF_THE_RECORD,
    "GET /audit/consistency": READERS_OF_THE_RECORD,
    "GET /audit/events": READERS_OF_THE_RECORD,
    "GET /audit/export": READERS_OF_THE_RECORD,
    "GET /audit/key": ANYBODY,
    "GET /audit/proof": READERS_OF_THE_RECORD,
    "GET /config/tls": ADMINISTRATOR,
    "PUT /config/tls": ADMINISTRATOR,
    "POST /config/tls/renew": ADMINISTRATOR,
    "GET /metrics": ADMINISTRATOR | {"metrics"},
    "POST /backup": BACKUP_MAKERS,
    "POST /restore": ADMINISTRATOR,
    "GET /backup/recipients": BACKUP_MAKERS,
    "POST /backup/recipients": ADMINISTRATOR,
    "DELETE /backup/recipients/{name}": ADMINISTRATOR,
}

PERSONS = frozenset(  # what no credential may, whatever its user may
    {
        "POST /credentials",
        "DELETE /credentials/{id}",
        "POST /approvals/{number}/approve",
        "POST /approvals/{number}/refuse",
        "PUT /users/me/password",
        "GET /users",
        "POST /users",
        "GET /users/{name}",
        "PUT /users/{name}",
        "DELETE /users/{name}",
        "POST /users/{name}/unlock",
        "GET /users/{name}/certificates",
        "POST /users/{name}/certificates",
        "DELETE /users/{name}/certificates/{fingerprint}",
        "POST /groups",
        "GET /groups/{name}",
        "DELETE /groups/{name}",
        "PUT /groups/{name}/members/{user}",
        "DELETE /groups/{name}/members/{user}",
        "POST /cores/{core}/keys/{key}/unlock",
    }
)
BEARERS = {"credential of administrator": "administrator", "credential of entitled": ENTITLED}
"""Callers that come with a credential, and whose it is."""


def may(caller: str, endpoint: str) -> bool:
    """Whether a caller gets in."""
    if caller in BEARERS:
        return BEARERS[caller] in MAY[endpoint] and endpoint not in PERSONS
    return caller in MAY[endpoint]


def new_tokens(appliance: Appliance) -> dict[str, str]:
    """A credential for each of `BEARERS`, which may all that it can."""
    managing = [one.value for one in Operation if one.value not in ("user:manage", "core:login", "key:verify")]
    tokens = {}
    for caller, user in BEARERS.items():
        asked = {"name": "everything"} | ({"operations": managing} if user == "administrator" else {})
        tokens[caller] = appliance.api("POST", "/credentials", asked, user=user).json()["token"]
    return tokens


DOCUMENT: dict[str, Any] = api.framework().openapi()
VALUES: dict[str, Any] = {
    "approvers": ["administrator"],
    "certificate": "none",
    "private_key": "none",
    "Backup-Secret": "bm9uZQ==",
    "core": "1",
    "digest": "A" * 43 + "=",
    "digests": ["A" * 43 + "="],
    "event": "1",
    "fingerprint": "none",
    "from": "1",
    "key": "probe",
    "keys": "*",
    "id": "0123456789abcdef",
    "import_key": "none",
    "kind": "key-file",
    "label": "made here",
    "needed": 1,
    "name": "somebody",
    "new": "a new password",
    "number": "999",
    "old": "an old password",
    "operation": "key:sign",
    "operations": ["key:sign"],
    "password": "a password of somebody",
    "pin": PIN,
    "policy": {"raw_digest": True},
    "public_key": "AAAA",
    "signature": "AAAA",
    "ticket": "none",
    "type": "ed25519",
    "unlock": {"kind": "key-file"},
    "user": "administrator",
    "wrapped": "AAAA",
}


def endpoints() -> Iterator[str]:
    """Each endpoint as `METHOD /path`."""
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            yield f"{method.upper()} {path.removeprefix('/api/v1')}"


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema behind its reference."""
    schema = next((one for one in schema.get("anyOf", []) if "$ref" in one), schema)
    reference = schema.get("$ref")
    return DOCUMENT["components"]["schemas"][reference.rsplit("/", 1)[1]] if reference else schema


def filled(path: str, operation: dict[str, Any]) -> tuple[str, dict[str, str], dict[str, Any] | None]:
    """A well-formed request: path, query and body, with what the document calls required and a PIN for keys."""
    parameters = [one for one in operation.get("parameters", []) if one.get("required")]
    for one in parameters:
        path = path.replace(f"{{{one['name']}}}", VALUES[one["name"]])
    query = {one["name"]: VALUES[one["name"]] for one in parameters if one["in"] == "query"}
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return path, query, None
    schema = resolved(content["schema"])
    wanted = {*schema.get("required", []), *({"digest", "pin"} & set(schema.get("properties", {})))}
    return path, query, {name: _value(name, schema["properties"][name]) for name in sorted(wanted)}


def _value(name: str, schema: dict[str, Any]) -> Any:
    if name == "role":
        return "operator"
    value = VALUES[name]
    return int(value) if resolved(schema).get("type") == "integer" else value
