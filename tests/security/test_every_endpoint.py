"""One test for each endpoint, method and caller, made from the OpenAPI document: who gets in, and what others get.

`MAY` is the table. An endpoint that is not in it fails here, so that nobody adds one without saying whose it is.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import pytest

from privyseal.model.access import RULE_OPERATIONS
from support.appliance import PIN, Appliance
from support.endpoints import (
    BEARERS,
    CALLERS,
    DOCUMENT,
    ENTITLED,
    IN_THE_CORE,
    KEY_READERS,
    MAY,
    PERSONS,
    ROLES,
    VALUES,
    endpoints,
    filled,
    may,
    new_tokens,
)
from support.waiting import wait_until

EVERYBODY = (*CALLERS, *BEARERS)
NAMED = {name: VALUES[name] for name in ("core", "fingerprint", "key", "name", "number", "id", "user")}
MADE = {"POST /users": "/users/somebody", "POST /groups": "/groups/somebody", "POST /cores": "/cores/somebody"}
ANSWERS: dict[str, int] = {  # to those who may, with a request that names what is not there or has too little: not 200
    "DELETE /backup/recipients/{name}": 404,
    "DELETE /cores/{core}": 409,
    "DELETE /cores/{core}/keys/{key}": 202,
    "DELETE /cores/{core}/objects/{id}": 404,
    "DELETE /credentials/{id}": 404,
    "DELETE /groups/{name}": 404,
    "DELETE /groups/{name}/members/{user}": 404,
    "DELETE /quorums/{number}": 404,
    "DELETE /rules/{number}": 404,
    "DELETE /unlock-slots/{number}": 404,
    "DELETE /users/{name}": 404,
    "DELETE /users/{name}/certificates/{fingerprint}": 404,
    "GET /access/explain": 422,
    "GET /approvals/{number}": 404,
    "GET /cores/{core}/objects/{id}": 404,
    "GET /credentials/{id}": 404,
    "GET /groups/{name}": 404,
    "GET /rules/{number}": 404,
    "GET /users/{name}": 404,
    "GET /users/{name}/certificates": 404,
    "POST /approvals/{number}/approve": 404,
    "POST /approvals/{number}/refuse": 404,
    "POST /backup": 409,
    "POST /backup/recipients": 422,
    "POST /cores": 201,
    "POST /cores/{core}/import": 422,
    "POST /cores/{core}/import-key": 201,
    "POST /cores/{core}/keys": 201,
    "POST /cores/{core}/keys/{key}/decapsulate": 422,
    "POST /cores/{core}/keys/{key}/decrypt": 422,
    "POST /cores/{core}/keys/{key}/derive": 422,
    "POST /cores/{core}/keys/{key}/encapsulate": 422,
    "POST /cores/{core}/keys/{key}/encrypt": 422,
    "POST /cores/{core}/keys/{key}/export": 422,
    "POST /cores/{core}/keys/{key}/restore": 409,
    "POST /cores/{core}/keys/{key}/rotate": 201,
    "POST /cores/{core}/keys/{key}/unlock": 204,
    "POST /cores/{core}/keys/{key}/unwrap": 422,
    "POST /cores/{core}/keys/{key}/wrap": 422,
    "POST /cores/{core}/objects": 201,
    "POST /cores/{core}/logout": 403,  # the ticket is none
    "POST /credentials": 201,
    "POST /domain-key/rotate": 202,
    "POST /groups": 201,
    "POST /provision": 409,
    "POST /quorums": 201,
    "POST /restore": 422,
    "POST /rules": 422,
    "POST /unlock": 422,
    "POST /unlock-slots": 201,
    "POST /unlock-slots/{number}/rotate": 404,
    "POST /users": 201,
    "POST /users/{name}/certificates": 404,
    "POST /users/{name}/unlock": 404,
    "PUT /config/tls": 422,
    "PUT /cores/{core}/objects/{id}": 404,
    "PUT /groups/{name}/members/{user}": 404,
    "PUT /rules/{number}": 404,
    "PUT /users/me/password": 204,
    "PUT /users/{name}": 404,
}
OF_ONE: dict[tuple[str, str], int] = {  # to one of the callers alone
    ("POST /credentials", "administrator"): 422,  # an administrator's names its operations
}
ALWAYS = {"GET /health/alive", "GET /health/ready", "GET /state", "GET /info", "POST /provision", "POST /unlock"}


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
    assert set(endpoints()) == set(MAY)
    assert set(ANSWERS) | PERSONS | {endpoint for endpoint, _ in OF_ONE} <= set(MAY)


@pytest.fixture(scope="module")
def tokens(everybody: Appliance) -> dict[str, str]:
    """The tokens of those who come with a credential."""
    return new_tokens(everybody)


@pytest.mark.parametrize("caller", EVERYBODY)
@pytest.mark.parametrize("endpoint", sorted(MAY))
def test_who_gets_in(probe: Appliance, tokens: dict[str, str], endpoint: str, caller: str) -> None:
    """Whoever may gets just this answer; others get 401 or 403, and 404 for keys that they may not know of."""
    method, path = endpoint.split()
    target, query, body = filled(path, DOCUMENT["paths"][f"/api/v1{path}"][method.lower()])
    if endpoint == "PUT /users/me/password":
        body = dict.fromkeys(("old", "new"), probe.passwords.get(caller, "none of anybody"))
    answer = _ask(probe, caller, method, target, query, body, tokens)
    if may(caller, endpoint):
        assert answer.status_code == OF_ONE.get((endpoint, caller), ANSWERS.get(endpoint, 200)), answer.text
        assert answer.status_code != 403 or "ticket-invalid" in answer.json()["type"], answer.text
        _undo(probe, endpoint)
        return
    expected = {401} if caller in ("nobody", "stranger") else {403, 404} if "{key}" in path else {403}
    assert answer.status_code in expected, answer.text
    if answer.status_code in (403, 404):
        assert answer.json()["event"] > 0  # every refusal is on record


def _undo(appliance: Appliance, endpoint: str) -> None:
    if endpoint in MADE:
        appliance.api("DELETE", MADE[endpoint])
    if endpoint == "POST /domain-key/rotate":
        wait_until(lambda: not appliance.api("GET", "/domain-key").json()["rotating"])
    if endpoint == "POST /lock":
        key_file = base64.b64encode((appliance.data / "unlock.key").read_bytes()).decode()
        appliance.api("POST", "/unlock", {"key_file": key_file})


@pytest.mark.parametrize("path", sorted(DOCUMENT["paths"]))
def test_methods_that_are_not_there(everybody: Appliance, path: str) -> None:
    """405 with a problem document for each method that the document does not name, and with all that it does name."""
    there = {name.upper() for name in DOCUMENT["paths"][path]}
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"} - there:
        answer = everybody.api(method, path.removeprefix("/api/v1").format_map(NAMED), check=False)
        assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json"), method
        assert answer.headers["allow"] == ", ".join(sorted(there))
        assert method == "HEAD" or answer.json()["type"].endswith(":method-not-allowed")


NEEDED = {  # of the operations that a rule may name; each of them lets the key be read
    "POST /cores/{core}/keys": "key:generate",
    "PUT /cores/{core}/keys/{key}": "key:manage",
    "DELETE /cores/{core}/keys/{key}": "key:destroy",
    "PUT /cores/{core}/keys/{key}/policy": "key:manage",
    "PUT /cores/{core}/keys/{key}/rotation": "key:manage",
    "POST /cores/{core}/keys/{key}/rotate": "key:manage",
    "POST /cores/{core}/keys/{key}/disable": "key:manage",
    "POST /cores/{core}/keys/{key}/enable": "key:manage",
    "POST /cores/{core}/keys/{key}/restore": "key:destroy",
    "POST /cores/{core}/keys/{key}/export": "key:export",
    "POST /cores/{core}/import-key": "key:import",
    "POST /cores/{core}/import": "key:import",
    "POST /cores/{core}/keys/{key}/sign": "key:sign",
    "POST /cores/{core}/keys/{key}/sign-batch": "key:sign",
    "POST /cores/{core}/keys/{key}/encrypt": "key:encrypt",
    "POST /cores/{core}/keys/{key}/encapsulate": "key:encrypt",
    "POST /cores/{core}/keys/{key}/decrypt": "key:decrypt",
    "POST /cores/{core}/keys/{key}/decapsulate": "key:decrypt",
    "POST /cores/{core}/keys/{key}/derive": "key:derive",
    "POST /cores/{core}/keys/{key}/unwrap": "key:unwrap",
    "POST /cores/{core}/objects": "object:create",
}
TRIED_ELSEWHERE = {
    "PUT /cores/{core}/objects/{id}": "an object that is not there is not there for anybody: test_objects",
    "DELETE /cores/{core}/objects/{id}": "as above",
    "POST /cores/{core}/keys/{key}/wrap": "the key that is wrapped needs key:export besides: test_key_operations",
}


def test_every_endpoint_that_goes_by_rules_needs_one_operation() -> None:
    """Those that an entitled operator may and one without a rule may not, but for what seeing a key is enough for."""
    by_rule = {endpoint for endpoint, callers in MAY.items() if ENTITLED in callers and "operator" not in callers}
    seeing = {endpoint for endpoint in by_rule if MAY[endpoint] in (KEY_READERS, IN_THE_CORE)}
    assert set(NEEDED) == by_rule - seeing - TRIED_ELSEWHERE.keys()


@pytest.mark.parametrize("operation", [one.value for one in RULE_OPERATIONS])
@pytest.mark.parametrize("endpoint", sorted(NEEDED))
def test_each_operation_lets_in_where_it_is_needed_and_nowhere_else(
    probe: Appliance, endpoint: str, operation: str
) -> None:
    """A user whose one rule has one operation for every key: no endpoint asks for another one than it should."""
    user = f"may-{operation.replace(':', '-')}"
    if user not in probe.passwords:
        probe.add_user(user)
        probe.add_rule(user, operations=[operation])
    method, path = endpoint.split()
    target, query, body = filled(path, DOCUMENT["paths"][f"/api/v1{path}"][method.lower()])
    answer = _ask(probe, user, method, target, query, body, {})
    refused = answer.status_code in (403, 404) and answer.json()["type"].endswith((":access-refused", ":key-not-found"))
    assert answer.status_code < 500, answer.text
    assert refused == (operation != NEEDED[endpoint]), answer.text
    if refused:
        assert NEEDED[endpoint] in answer.json()["missing_rule"]


@pytest.fixture(scope="module", params=["locked", "unprovisioned"])
def closed(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that is not operational. When it was, it had a user of each role, and credentials."""
    appliance = new_appliance(*["--no-provision"] * (request.param == "unprovisioned"))
    if request.param == "unprovisioned":
        appliance.passwords |= dict.fromkeys((*ROLES, ENTITLED), "a password of nobody")
        return appliance
    for role in ROLES:
        appliance.add_user(role, role=role)
    appliance.add_user(ENTITLED)
    new_tokens(appliance)
    appliance.api("POST", "/lock")
    return appliance


@pytest.mark.parametrize("endpoint", sorted(set(MAY) - ALWAYS))
def test_what_is_not_operational_says_so(closed: Appliance, endpoint: str) -> None:
    """503 with a problem document to everybody, before anything is looked up or anybody is asked who he is."""
    method, path = endpoint.split()
    target, query, body = filled(path, DOCUMENT["paths"][f"/api/v1{path}"][method.lower()])
    for caller in EVERYBODY:
        answer = _ask(closed, caller, method, target, query, body, dict.fromkeys(BEARERS, "privyseal_none"))
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"].removeprefix("urn:privyseal:problem:") in ("appliance-locked", "not-provisioned")


@pytest.mark.parametrize("caller", EVERYBODY)
@pytest.mark.parametrize("endpoint", sorted(ALWAYS))
def test_what_answers_always(closed: Appliance, endpoint: str, caller: str) -> None:
    """Whoever asks: it lives, is not ready, says its state, and takes what leads out of it when that is sensible."""
    method, path = endpoint.split()
    body = {} if method == "POST" else None
    answer = _ask(closed, caller, method, path, {}, body, dict.fromkeys(BEARERS, "privyseal_none"))
    expected = {"GET /health/ready": 503, "POST /provision": 422, "POST /unlock": 422}.get(endpoint, 200)
    assert answer.status_code == expected, answer.text
    if "state" in answer.json():
        assert answer.json()["state"] in ("locked", "unprovisioned")
    assert "keeper" not in answer.json()


def _ask(
    appliance: Appliance,
    caller: str,
    method: str,
    path: str,
    query: dict[str, str],
    body: dict[str, Any] | None,
    tokens: Mapping[str, str],
) -> httpx2.Response:
    if caller in ("nobody", "stranger", *tokens):
        header = {"Authorization": "" if caller == "nobody" else f"Bearer {tokens.get(caller, 'none')}"}
        return appliance.api(method, path, body, params=query, auth=None, headers=header, check=False)
    return appliance.api(method, path, body, params=query, user=caller, check=False)
