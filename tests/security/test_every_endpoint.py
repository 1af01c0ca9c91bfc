"""One test for each endpoint, method and caller, made from the OpenAPI document: who gets in, and what others get.

`MAY` is the table. An endpoint that is not in it fails here, so that nobody adds one without saying whose it is.
"""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from privyseal.model.access import RULE_OPERATIONS
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
IN_THE_CORE = frozenset({*ROLES, ENTITLED}) - {"operator"}  # an operator without a rule in a core is not let in
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
    "POST /cores/{core}/keys/{key}/encrypt": KEY_USERS,
    "POST /cores/{core}/keys/{key}/decrypt": KEY_USERS,
    "POST /cores/{core}/keys/{key}/derive": KEY_USERS,
    "POST /cores/{core}/keys/{key}/encapsulate": KEY_USERS,
    "POST /cores/{core}/keys/{key}/decapsulate": KEY_USERS,
    "POST /cores/{core}/keys/{key}/wrap": KEY_USERS,
    "POST /cores/{core}/keys/{key}/unwrap": KEY_USERS,
    "GET /cores/{core}/objects": KEY_READERS,
    "POST /cores/{core}/objects": KEY_MANAGERS,
    "GET /cores/{core}/objects/{id}": KEY_READERS,
    "PUT /cores/{core}/objects/{id}": KEY_MANAGERS,
    "DELETE /cores/{core}/objects/{id}": KEY_MANAGERS,
    "GET /unlock-slots": ADMINISTRATOR,
    "POST /unlock-slots": ADMINISTRATOR,
    "DELETE /unlock-slots/{number}": ADMINISTRATOR,
    "POST /unlock-slots/{number}/rotate": ADMINISTRATOR,
    "GET /domain-key": ADMINISTRATOR,
    "POST /domain-key/rotate": ADMINISTRATOR,
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
    "GET /metrics": ADMINISTRATOR | {"metrics"},
    "POST /backup": BACKUP_MAKERS,
    "GET /backup/recipients": BACKUP_MAKERS,
    "POST /backup/recipients": ADMINISTRATOR,
    "DELETE /backup/recipients/{name}": ADMINISTRATOR,
}
# A wrong old password is counted and delays the caller: test_bad_input has it. What leads from one state to another
# would change what all others answer: test_unlocking has it.
ELSEWHERE = {"PUT /users/me/password", "POST /provision", "POST /unlock", "POST /lock"}
ALWAYS = {"GET /health/alive", "GET /health/ready", "GET /state", "GET /info", "POST /provision", "POST /unlock"}

DOCUMENT: dict[str, Any] = api.framework().openapi()
VALUES: dict[str, Any] = {
    "approvers": ["administrator"],
    "certificate": "none",
    "ciphertext": "AAAA",
    "class": "data",
    "core": "1",
    "data": "AAAA",
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
    "user": "administrator",
    "value": "AAAA",
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


@pytest.fixture(scope="module")
def everybody(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with a user of each role, named like it."""
    appliance = new_appliance()
    for role in ROLES:
        appliance.add_user(role, role=role)
    appliance.add_user(ENTITLED)
    operations = [one.value for one in RULE_OPERATIONS]
    appliance.add_rule(ENTITLED, operations=operations)
    appliance.api("PUT", "/cores/1", {"destroy_days": 0})
    return appliance


@pytest.fixture
def probe(everybody: Appliance) -> Appliance:
    """The appliance with the key `probe`, and without what an endpoint has made before."""
    there = {key["label"]: key["state"] for key in everybody.api("GET", "/cores/1/keys").json()["keys"]}
    for label, state in there.items():
        if (label, state) != ("probe", "active"):
            everybody.api("DELETE", f"/cores/1/keys/{label}?now=true")
    if there.get("probe") != "active":
        body = {"label": "probe", "type": "ec:P-256", "pin": PIN, "policy": {"exportable": True}}
        everybody.api("POST", "/cores/1/keys", body)
    for quorum in everybody.api("GET", "/quorums").json()["quorums"]:
        everybody.api("DELETE", f"/quorums/{quorum['number']}", check=False)
    return everybody


def test_the_table_is_complete() -> None:
    """Each endpoint of the document has a row, and each row an endpoint."""
    assert set(endpoints()) == set(MAY) | ELSEWHERE


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("endpoint", sorted(MAY))
def test_who_gets_in(probe: Appliance, endpoint: str, caller: str) -> None:
    """Whoever may gets past the door; others get 401 or 403, and 404 for keys that they may not know of."""
    method, path = endpoint.split()
    operation = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
    target, query, body = filled(path, operation)
    answer = _ask(probe, caller, method, target, query, body)
    assert answer.status_code < 500, answer.text
    if caller in MAY[endpoint]:
        assert answer.status_code != 401, answer.text
        assert answer.status_code != 403 or "access-refused" not in answer.json()["type"], answer.text
        return
    expected = {401} if caller in ("nobody", "stranger") else {403, 404} if "{key}" in path else {403}
    assert answer.status_code in expected, answer.text
    if answer.status_code in (403, 404):
        assert answer.json()["event"] > 0  # every refusal is on record


@pytest.fixture(scope="module", params=["locked", "unprovisioned"])
def closed(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that is not operational."""
    if request.param == "unprovisioned":
        return new_appliance("--no-provision")
    appliance = new_appliance()
    appliance.api("POST", "/lock")
    return appliance


@pytest.mark.parametrize("endpoint", sorted((set(MAY) | ELSEWHERE) - ALWAYS))
def test_what_is_not_operational_says_so(closed: Appliance, endpoint: str) -> None:
    """503 with a problem document to everybody, before anything is looked up or anybody is asked who he is."""
    method, path = endpoint.split()
    target, query, body = filled(path, DOCUMENT["paths"][f"/api/v1{path}"][method.lower()])
    for header in ({"Authorization": "Bearer none"}, {}):
        answer = closed.api(method, target, body, params=query, headers=header, check=False)
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"].removeprefix("urn:privyseal:problem:") in ("appliance-locked", "not-provisioned")


def _ask(
    appliance: Appliance, caller: str, method: str, path: str, query: dict[str, str], body: dict[str, Any] | None
) -> httpx2.Response:
    if caller in ("nobody", "stranger"):
        header = {"Authorization": ""} if caller == "nobody" else {"Authorization": "Bearer none"}
        return appliance.api(method, path, body, params=query, auth=None, headers=header, check=False)
    return appliance.api(method, path, body, params=query, user=caller, check=False)
