"""`access explain` says of every role and operation what happens when it is tried, and what else stands in the way."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from privyseal.model.access import Operation
from support import acts
from support.acts import Asked
from support.appliance import PIN, Appliance

DIGEST = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256"}
SIGNATURE = base64.b64encode(bytes(8)).decode()
WHO = ("administrator", "auditor", "backup", "metrics", "operator", "stranger", "narrow")
"""A user of each role; `stranger` is an operator without rules, `narrow` one with a rule for another operation."""

OBJECT = {"class": "data", "value": "", "label": "release"}


def stored(appliance: Appliance) -> str:
    """The path of an object that is labelled like the key."""
    made = appliance.api("POST", "/cores/1/objects", OBJECT).json()
    return f"/cores/1/objects/{made['id']}"


TRIES: dict[Operation, Callable[[Appliance], Asked]] = {
    Operation.APPLIANCE_MANAGE: lambda _: Asked("GET", "/unlock-slots"),
    Operation.AUDIT_READ: lambda _: Asked("GET", "/audit/events"),
    Operation.BACKUP_CREATE: lambda _: Asked("POST", "/backup"),
    Operation.BACKUP_MANAGE: lambda _: Asked("DELETE", "/backup/recipients/nobody"),
    Operation.CORE_LOGIN: lambda _: Asked("POST", "/cores/1/login", {"pin": PIN}),
    Operation.CORE_MANAGE: lambda _: Asked("POST", "/cores", {"name": acts.new_name()}),
    Operation.KEY_DECRYPT: acts.KEYS["key:decrypt"],
    Operation.KEY_DERIVE: acts.KEYS["key:derive"],
    Operation.KEY_ENCRYPT: acts.KEYS["key:encrypt"],
    Operation.KEY_DESTROY: acts.KEYS["key:destroy"],
    Operation.KEY_EXPORT: acts.KEYS["key:export"],
    Operation.KEY_GENERATE: acts.MORE["key:generate"],
    Operation.KEY_IMPORT: acts.MORE["key:import-key"],
    Operation.KEY_MANAGE: acts.KEYS["key:disable"],
    Operation.KEY_READ: lambda _: Asked("GET", "/cores/1/keys/release"),
    Operation.KEY_SIGN: acts.KEYS["key:sign"],
    Operation.KEY_VERIFY: lambda _: Asked("POST", "/cores/1/keys/release/verify", DIGEST | {"signature": SIGNATURE}),
    Operation.KEY_UNWRAP: acts.KEYS["key:unwrap"],
    Operation.KEY_WRAP: acts.KEYS["key:wrap"],
    Operation.OBJECT_CREATE: lambda _: Asked("POST", "/cores/1/objects", OBJECT),
    Operation.OBJECT_DESTROY: lambda appliance: Asked("DELETE", stored(appliance)),
    Operation.OBJECT_READ: lambda appliance: Asked("GET", stored(appliance)),
    Operation.METRICS_READ: lambda _: Asked("GET", "/metrics"),
    Operation.RULE_MANAGE: lambda _: Asked("GET", "/quorums/none", None),
    Operation.USER_MANAGE: acts.ADMINISTRATIVE["user:create"],
}


@pytest.fixture(scope="module")
def explained(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with a user of each kind, and a key that all of them are asked about."""
    appliance = new_appliance("--workers", "1")
    for role in WHO[:5]:
        appliance.add_user(role, role=role)
    appliance.add_user("stranger")
    appliance.add_user("narrow")
    appliance.add_rule("operator", operations=acts.RULE_OPERATIONS)
    appliance.add_rule("narrow", operations=["key:manage"])
    appliance.add_key("release")
    return appliance


def explain(appliance: Appliance, user: str, operation: str, **more: str) -> dict[str, Any]:
    """What an administrator is told about somebody."""
    query = {"user": user, "operation": operation, "core": "1", "key": "release", **more}
    document: dict[str, Any] = appliance.api("GET", "/access/explain", params=query).json()
    return document


def test_every_operation_is_tried() -> None:
    """One that is new has to be told how it is tried."""
    assert set(TRIES) == set(Operation)


@pytest.mark.parametrize("operation", [one for one in Operation if one is not Operation.RULE_MANAGE])
@pytest.mark.parametrize("user", WHO)
def test_what_is_said_is_what_happens(explained: Appliance, user: str, operation: Operation) -> None:
    """Refused by access or not: the explanation and the attempt agree, and a refusal by a rule names the rule."""
    asked = TRIES[operation](explained)
    key = asked.path.split("/")[4] if asked.path.startswith("/cores/1/keys/") else "release"
    said = explain(explained, user, operation.value, key=key)
    answer = Asked(asked.method, asked.path, asked.body, user).send(explained)
    kind = answer.json()["type"] if answer.status_code >= 400 else ""
    refused = kind.endswith((":access-refused", ":key-not-found"))
    assert said["allowed"] is not refused, (said, answer.text)
    if refused and user in ("stranger", "narrow") and operation.value.startswith("key:"):
        assert said["missing_rule"].startswith(f"privyseal rule create --user {user} --core 1")


def test_the_rule_that_decides_is_named(explained: Appliance) -> None:
    """By its number."""
    rules = explained.api("GET", "/rules?user=operator").json()["rules"]
    said = explain(explained, "operator", "key:sign")
    assert (said["allowed"], said["rule"], said["missing_rule"]) == (True, rules[0]["number"], None)


def test_what_else_stands_in_the_way(explained: Appliance) -> None:
    """State, PIN, policy and quorum, of a key that a rule allows."""
    policy = {"hashes": ["SHA-256"], "raw_digest": False, "max_uses": 3, "not_after": "2099-01-01T00:00:00Z"}
    explained.api("POST", "/cores/1/keys", {"label": "much", "type": "ec:P-256", "pin": PIN, "policy": policy})
    explained.api("POST", "/cores/1/keys/much/disable")
    guarded = {"operation": "key:sign", "core": 1, "key": "much", "needed": 1, "approvers": ["stranger"]}
    explained.api("POST", "/quorums", guarded)
    said = explain(explained, "operator", "key:sign", key="much")
    assert said["allowed"]
    told = "\n".join(said["conditions"])
    for words in (
        "approval of 1 of stranger", "is disabled", "the key's PIN", "SHA-256 only", "not a digest",
        "3 signatures", "until 2099-01-01",
    ):  # fmt: skip
        assert words in told
    assert explain(explained, "operator", "key:export", key="much")["conditions"][-1].endswith("lets it never leave")
    assert explain(explained, "operator", "key:read", key="much")["conditions"] == []


def test_what_a_key_takes_depends_on_its_type(explained: Appliance) -> None:
    """To check a MAC is to make it; to encrypt with a public key takes no PIN."""
    explained.add_user("watcher")
    explained.add_rule("watcher", operations=["key:read"])
    for label, key_type in (("mac", "aes:256"), ("open", "rsa:2048")):
        explained.api("POST", "/cores/1/keys", {"label": label, "type": key_type, "pin": PIN})
    assert not explain(explained, "watcher", "key:verify", key="mac")["allowed"]
    assert explain(explained, "watcher", "key:verify", key="open")["conditions"] == []
    assert explain(explained, "operator", "key:verify", key="mac")["conditions"] == ["it takes the key's PIN"]
    assert explain(explained, "operator", "key:encrypt", key="mac")["conditions"] == ["it takes the key's PIN"]
    assert explain(explained, "operator", "key:encrypt", key="open")["conditions"] == []


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"not_before": "2099-01-01T00:00:00Z"}, "before 2099-01-01"),
        ({"not_after": "2001-01-01T00:00:00Z"}, "does not allow it after 2001-01-01"),
        ({"operations": []}, "does not allow to sign"),
    ],
)
def test_a_policy_that_forbids_it_now(explained: Appliance, policy: dict[str, Any], words: str) -> None:
    """The same words as the keeper's refusal has."""
    label = acts.new_name()
    explained.api("POST", "/cores/1/keys", {"label": label, "type": "ec:P-256", "pin": PIN, "policy": policy})
    assert words in "\n".join(explain(explained, "operator", "key:sign", key=label)["conditions"])
    refusal = Asked("POST", f"/cores/1/keys/{label}/sign", DIGEST | {"pin": PIN}, "operator").send(explained)
    assert words in refusal.json()["detail"]


def test_what_a_credential_leaves(explained: Appliance) -> None:
    """Its scope decides before its user's rules; one that is revoked allows nothing."""
    made = explained.api(
        "POST", "/credentials", {"user": "operator", "name": "reader", "operations": ["key:read"]}
    ).json()
    assert explain(explained, "operator", "key:read", credential=made["id"])["allowed"]
    said = explain(explained, "operator", "key:sign", credential=made["id"])
    assert not said["allowed"]
    assert made["id"] in said["reason"]
    explained.api("DELETE", f"/credentials/{made['id']}")
    assert "was revoked" in explain(explained, "operator", "key:read", credential=made["id"])["reason"]


def test_questions_that_make_no_sense(explained: Appliance) -> None:
    """No core or key where the operation is about one; no such user or credential; somebody else's business."""

    def status(user: str = "admin", **query: str) -> int:
        return explained.api("GET", "/access/explain", params=query, user=user, check=False).status_code

    assert status(user="admin", operation="user:manage") == 422  # nobody is asked about
    assert explain(explained, "administrator", "user:manage")["allowed"]
    ask = {"operation": "key:sign", "core": "1", "key": "release"}
    for missing in ("core", "key"):
        query = {name: value for name, value in ask.items() if name != missing} | {"user": "operator"}
        answer = explained.api("GET", "/access/explain", params=query, check=False)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"query.{missing}")
    for wrong in ({"user": "nobody"}, {"user": "operator", "credential": "0" * 16}, {"user": "operator", "core": "9"}):
        assert explained.api("GET", "/access/explain", params=ask | wrong, check=False).status_code == 404
    others = explained.api("GET", "/access/explain", params=ask | {"user": "operator"}, user="stranger", check=False)
    assert others.status_code == 403
    own = explained.api("GET", "/access/explain", params=ask | {"user": "stranger"}, user="stranger").json()
    assert not own["allowed"]
