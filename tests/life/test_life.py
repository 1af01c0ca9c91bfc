"""A key's life over REST, with the real processes: policy, versions, states, its end, and keys from elsewhere."""

import base64
import hashlib
import os
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from privyseal.wire import keywrap
from support.appliance import PIN, Appliance
from support.waiting import wait_until

DIGEST = base64.b64encode(hashlib.sha256(b"message").digest()).decode()
DATA = base64.b64encode(b"message").decode()
OPERATIONS = ("key:sign", "key:manage", "key:destroy", "key:import", "key:export")


@pytest.fixture(scope="module")
def place(new_appliance: Callable[..., Appliance]) -> Appliance:
    """Two workers, a core 2 whose keys may go without a PIN, and alice, who may do everything there."""
    appliance = new_appliance("--workers", "2")
    appliance.api("POST", "/cores", {"name": "life", "pin_required": False})
    appliance.add_user("alice")
    appliance.add_rule("alice", operations=OPERATIONS, core=2)
    return appliance


def make(place: Appliance, label: str, key_type: str = "ec:P-256", *, pin: str | None = None, **policy: Any) -> str:
    """Make a key with a policy; gives its path."""
    body = {"label": label, "type": key_type, "policy": policy} | ({"pin": pin} if pin else {})
    place.api("POST", "/cores/2/keys", body)
    return f"/cores/2/keys/{label}"


def sign(place: Appliance, path: str, check: bool = False, **body: Any) -> Any:  # noqa: FBT001, FBT002 - as api's
    """What signing as alice answers."""
    given = {"digest": DIGEST, "hash": "SHA-256"} if "data" not in body else {}
    return place.api("POST", f"{path}/sign", given | body, user="alice", check=check)


def last_event(place: Appliance, operation: str) -> dict[str, Any]:
    """The newest event of an operation."""
    events, after = [], 0
    while after is not None:
        page = place.api("GET", f"/audit/events?after={after}&limit=1000").json()
        events, after = events + page["events"], page["next"]
    return next(event for event in reversed(events) if event["operation"] == operation)


def test_a_policy_is_shown_and_enforced(place: Appliance) -> None:
    """Hashes that it does not name, an input without one, its time, and digests where it wants the data itself."""
    path = make(place, "policy", hashes=["SHA-384"], not_after="2099-01-01T00:00:00Z")
    key = place.api("GET", path, user="alice").json()
    assert key["hashes"] == ["SHA-384"]
    assert key["policy"]["not_after"] == "2099-01-01T00:00:00Z"
    refused = sign(place, path)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:privyseal:problem:access-refused")
    assert "SHA-384" in refused.json()["detail"]
    assert sign(place, path, hash=None).status_code == 403
    assert sign(place, path, data=DATA, hash="SHA-384").status_code == 200
    for times in ({"not_before": "2098-01-01T00:00:00Z"}, {"not_after": "2020-01-01T00:00:00+02:00"}):
        assert "the key's policy does not allow it" in sign(place, make(place, next(iter(times)), **times)).text


def test_a_key_that_hashes_itself(place: Appliance) -> None:
    """A digest is refused, also in a batch; data are hashed in the keeper, and the signature fits them."""
    path = make(place, "hashing", raw_digest=False)
    assert "the data itself" in sign(place, path).json()["detail"]
    batch = {"digests": [DIGEST], "hash": "SHA-256"}
    refused = place.api("POST", f"{path}/sign-batch", batch, user="alice", check=False)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:privyseal:problem:access-refused")
    signature = sign(place, path, check=True, data=DATA).json()["signature"]
    checked = {"signature": signature, "digest": DIGEST, "hash": "SHA-256"}
    assert place.api("POST", f"{path}/verify", checked, user="alice").json()["valid"]


def test_a_key_of_one_mechanism(place: Appliance) -> None:
    """An RSA key that signs PSS signs nothing else; one that may do nothing signs nothing at all."""
    path = make(place, "only-pss", "rsa:2048", mechanisms=["RSA-PSS"])
    assert sign(place, path, mechanism="RSA-PSS").status_code == 200
    refused = sign(place, path, mechanism="RSA-PKCS1")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:privyseal:problem:access-refused")
    assert "RSA-PKCS1" in refused.json()["detail"]
    nothing = sign(place, make(place, "nothing", operations=[]))
    assert (nothing.status_code, nothing.json()["type"]) == (403, "urn:privyseal:problem:access-refused")


def test_a_policy_changes_with_the_pin(place: Appliance) -> None:
    """Without it nothing changes; the event says what was and what is; and no key becomes exportable."""
    path = make(place, "changing", pin=PIN)
    change = {"policy": {"max_uses": 2, "hashes": ["SHA-256"]}}
    for proof, problem in (({}, "pin-required"), ({"pin": "87654321"}, "pin-incorrect")):
        refused = place.api("PUT", f"{path}/policy", change | proof, check=False)
        assert refused.json()["type"].endswith(problem)
    changed = place.api("PUT", f"{path}/policy", change | {"pin": PIN}).json()
    assert (changed["policy"]["max_uses"], changed["hashes"]) == (2, ["SHA-256"])
    assert last_event(place, "key:policy")["reason"] == "policy: hashes none -> SHA-256, max_uses none -> 2"
    assert [sign(place, path, pin=PIN).status_code for _ in range(3)] == [200, 200, 403]
    exportable = {"policy": {"exportable": True}, "pin": PIN}
    refused = place.api("PUT", f"{path}/policy", exportable, check=False)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.policy")


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"mechanisms": ["RSA-PSS"]}, "mechanisms"),
        ({"hashes": []}, "hashes"),
        ({"operations": ["decrypt"]}, "operations"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 2**60}, "max_uses"),
        ({"not_before": "2027-01-02T00:00:00Z", "not_after": "2027-01-01T00:00:00Z"}, "not_after"),
        ({"not_after": "0001-01-01T00:00:00Z"}, "not_after"),
        ({"not_after": "2027-01-01"}, "not_after"),
        ({"pin": False}, "pin"),
    ],
)
def test_policies_that_make_no_sense(place: Appliance, policy: dict[str, Any], field: str) -> None:
    """The wrong field is named, at birth and later."""
    path = make(place, f"sense {policy}"[:100].replace("*", ""))
    for method, target, body in (
        ("POST", "/cores/2/keys", {"label": "senseless", "type": "ec:P-256", "policy": policy}),
        ("PUT", f"{path}/policy", {"policy": policy}),
    ):
        refused = place.api(method, target, body, check=False)
        assert refused.status_code == 422, refused.text
        assert field in refused.json()["errors"][0]["field"]


def test_uses_are_counted_among_workers(place: Appliance) -> None:
    """However many ask at once, exactly as many signatures leave as the policy allows."""
    path = make(place, "counted", max_uses=20)
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda _: sign(place, path).status_code, range(40)))
    assert sorted(codes) == [200] * 20 + [403] * 20
    assert last_event(place, "key:sign")["outcome"] == "refused"
    assert "20 are used up" in sign(place, path).json()["detail"]
    assert place.api("GET", path).json()["uses"] == 20


def test_a_batch_is_as_many_uses(place: Appliance) -> None:
    """All or none: a batch that is larger than what is left leaves what is left."""
    path = make(place, "counted batch", max_uses=3)

    def batch(size: int) -> int:
        body = {"digests": [DIGEST] * size, "hash": "SHA-256"}
        return place.api("POST", f"{path}/sign-batch", body, user="alice", check=False).status_code

    assert [batch(2), batch(2), batch(1), batch(1)] == [200, 403, 200, 403]


def test_rotation(place: Appliance) -> None:
    """The new version signs under the old name; the old one verifies when addressed and signs no more."""
    path = make(place, "rotated", pin=PIN)
    before = place.api("GET", path).json()
    signature = sign(place, path, check=True, pin=PIN).json()["signature"]
    assert place.api("POST", f"{path}/rotate", {}, check=False).json()["type"].endswith("pin-required")
    after = place.api("POST", f"{path}/rotate", {"pin": PIN, "new_pin": "another PIN"}).json()
    assert (after["id"], after["label"], after["version"], after["pin"]) == (before["id"], "rotated", 2, True)
    assert after["public_key"] != before["public_key"]
    assert sign(place, path, pin="another PIN").status_code == 200
    assert "not the current one" in sign(place, path, pin=PIN, version=1).json()["detail"]
    checked = {"signature": signature, "digest": DIGEST, "hash": "SHA-256"}
    assert not place.api("POST", f"{path}/verify", checked).json()["valid"]
    assert place.api("POST", f"{path}/verify", checked | {"version": 1}).json()["valid"]
    assert place.api("GET", f"{path}?version=1").json()["public_key"] == before["public_key"]
    assert place.api("GET", f"{path}/public.pem?version=1").text != place.api("GET", f"{path}/public.pem").text
    assert [one["version"] for one in place.api("GET", f"{path}/versions").json()["versions"]] == [1, 2]
    for version in (0, 3, -(2**70), 2**70):
        assert place.api("GET", f"{path}?version={version}", check=False).status_code == 404


def test_an_old_version_that_may_sign(place: Appliance) -> None:
    """Where its policy says so, and when it is addressed."""
    path = make(place, "old signs", sign_with_old_versions=True, max_uses=1)
    place.api("POST", f"{path}/rotate")
    assert [sign(place, path, version=number).status_code for number in (1, 1, 2, 2)] == [200, 403, 200, 403]


def test_disabled_and_enabled(place: Appliance) -> None:
    """It is listed and verifies, and refuses use for as long as it is disabled."""
    path = make(place, "disabled")
    checked = sign(place, path, check=True).json()
    assert place.api("POST", f"{path}/disable").json()["state"] == "disabled"
    assert "is disabled" in sign(place, path).json()["detail"]
    verified = {"signature": checked["signature"], "digest": DIGEST, "hash": "SHA-256"}
    assert place.api("POST", f"{path}/verify", verified, user="alice").json()["valid"]
    assert place.api("POST", f"{path}/enable", user="alice").json()["state"] == "active"
    assert sign(place, path).status_code == 200


def test_destroyed_in_two_steps(place: Appliance) -> None:
    """It refuses use at once, can be restored, keeps its label, and goes when its day has come."""
    path = make(place, "ending")
    for days in (6, 366, 0, -1):
        assert place.api("DELETE", f"{path}?days={days}", check=False).status_code == 422
    assert place.api("DELETE", f"{path}?now=true", user="alice", check=False).status_code == 403
    assert place.api("DELETE", f"{path}?days=29", check=False).status_code == 422
    place.api("PUT", "/cores/2", {"destroy_days": 7})
    scheduled = place.api("DELETE", f"{path}?days=7", user="alice").json()
    assert (scheduled["state"], scheduled["destroy_at"] is None) == ("scheduled", False)
    assert "scheduled for destruction" in sign(place, path).json()["detail"]
    for method, verb, body in (
        ("POST", "rotate", None),
        ("POST", "disable", None),
        ("PUT", "policy", {"policy": {"max_uses": 1}}),
        ("PUT", "rotation", {"rotate_after": 9}),
    ):
        assert place.api(method, f"{path}/{verb}", body, check=False).status_code == 409
    assert place.api("DELETE", path, check=False).status_code == 409
    taken = {"label": "ending", "type": "ec:P-256"}
    assert place.api("POST", "/cores/2/keys", taken, check=False).status_code == 409
    assert place.api("POST", f"{path}/restore").json()["destroy_at"] is None
    assert place.api("POST", f"{path}/restore", check=False).status_code == 409
    assert sign(place, path).status_code == 200
    place.api("DELETE", path)
    let_time_pass(place, "destroy_at")
    wait_until(lambda: place.api("GET", path, check=False).status_code == 404)
    assert last_event(place, "key:destroy")["user"] == "(appliance)"
    place.api("POST", "/cores/2/keys", taken)


def test_destroyed_at_once(place: Appliance) -> None:
    """Only by an administrator, and only where the core says so."""
    place.api("POST", "/cores", {"name": "once", "pin_required": False, "destroy_days": 0})
    place.add_rule("alice", operations=OPERATIONS, core=3)
    place.add_key("gone", pin=None, core=3)
    assert place.api("DELETE", "/cores/3/keys/gone?now=true", user="alice", check=False).status_code == 403
    assert place.api("DELETE", "/cores/3/keys/gone?now=true").status_code == 204
    for days in (1, 6, 366, -1):
        assert place.api("PUT", "/cores/3", {"destroy_days": days}, check=False).status_code == 422


def test_rotated_by_age(place: Appliance) -> None:
    """The appliance does it by itself for a key without a PIN; one with a PIN cannot be asked for."""
    path = make(place, "ageing", max_uses=5)
    for days in (0, 3651):
        assert place.api("PUT", f"{path}/rotation", {"rotate_after": days}, check=False).status_code == 422
    assert place.api("PUT", f"{path}/rotation", {"rotate_after": 30}).json()["rotate_after"] == 30
    refused = place.api("POST", f"{path}/rotate", {"new_pin": PIN}, check=False)
    assert refused.status_code == 409
    with_pin = make(place, "ageing with a PIN", pin=PIN)
    assert place.api("PUT", f"{with_pin}/rotation", {"rotate_after": 30}, check=False).status_code == 409
    let_time_pass(place, "rotate_at")
    wait_until(lambda: place.api("GET", path).json()["version"] == 2)
    assert last_event(place, "key:rotate")["user"] == "(appliance)"
    assert sign(place, path).status_code == 200
    assert place.api("PUT", f"{path}/rotation", {}).json()["rotate_after"] is None


def let_time_pass(place: Appliance, column: str) -> None:
    """Move a date of all keys that have one into the past, as only the tests can."""
    with sqlite3.connect(place.data / "privyseal.db", timeout=30) as database:
        database.execute(f"UPDATE keys SET {column} = 1 WHERE {column} IS NOT NULL")  # noqa: S608 - our own word
    database.close()


def wrapped_for(place: Appliance, pkcs8: bytes, user: str = "alice") -> dict[str, str]:
    """Ask for an import key and wrap with it."""
    given = place.api("POST", "/cores/2/import-key", user=user).json()
    public = keywrap.load_wrapping_key(base64.b64decode(given["public_key"]))
    return {"import_key": given["id"], "wrapped": base64.b64encode(keywrap.wrap(public, pkcs8)).decode()}


def pkcs8_of(key: Any) -> bytes:
    """A private key as it is imported."""
    form = serialization.PrivateFormat.PKCS8
    encoded: bytes = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return encoded


def test_import_and_export(place: Appliance) -> None:
    """What came in signs, is marked, and leaves wrapped as the same key when that was said at birth."""
    key = ec.generate_private_key(ec.SECP384R1())
    body = wrapped_for(place, pkcs8_of(key)) | {"label": "came in", "pin": PIN, "policy": {"exportable": True}}
    made = place.api("POST", "/cores/2/import", body, user="alice").json()
    assert (made["type"], made["origin"], made["pin"]) == ("ec:P-384", "imported", True)
    signature = base64.b64decode(sign(place, "/cores/2/keys/came in", True, data=DATA, pin=PIN).json()["signature"])  # noqa: FBT003
    key.public_key().verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
    again = place.api("POST", "/cores/2/import", body | {"label": "again"}, user="alice", check=False)
    assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "body.import_key")
    mine = rsa.generate_private_key(65537, 3072)
    spki = mine.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    to = {"public_key": base64.b64encode(spki).decode()}
    export = "/cores/2/keys/came in/export"
    assert place.api("POST", export, to, user="alice", check=False).json()["type"].endswith("pin-required")
    assert place.api("POST", export, to | {"pin": PIN}, check=False).status_code == 403  # the administrator has no rule
    left = place.api("POST", export, to | {"pin": PIN}, user="alice").json()
    unwrapped = serialization.load_der_private_key(keywrap.unwrap(mine, base64.b64decode(left["wrapped"])), None)
    assert pkcs8_of(unwrapped) == pkcs8_of(key)
    assert last_event(place, "key:export")["number"] == left["event"]
    place.api("PUT", "/cores/2/keys/came in/policy", {"policy": {"exportable": False}, "pin": PIN})
    assert place.api("POST", export, to | {"pin": PIN}, user="alice", check=False).status_code == 403
    short = rsa.generate_private_key(65537, 2048).public_key()
    der = short.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for public in (der, b"nonsense"):
        wrong = {"public_key": base64.b64encode(public).decode(), "pin": PIN}
        path = make(place, f"leaving {len(public)}", pin=PIN, exportable=True)
        assert place.api("POST", f"{path}/export", wrong, user="alice", check=False).status_code == 422
    assert place.api("POST", export, {"public_key": "?"}, user="alice", check=False).status_code == 422


def test_imports_that_are_refused(place: Appliance) -> None:
    """Types that are not kept here are told with the list; a broken wrapping, a foreign import key, no rule."""
    curve = wrapped_for(place, pkcs8_of(ec.generate_private_key(ec.SECP224R1())))
    refused = place.api("POST", "/cores/2/import", curve | {"label": "p224"}, user="alice", check=False)
    assert "ec:brainpoolP512r1" in refused.json()["errors"][0]["message"]
    good = pkcs8_of(ec.generate_private_key(ec.SECP256R1()))
    for change in ({"wrapped": DIGEST}, {"wrapped": "!"}, {"import_key": "0" * 32}, {"policy": {"hashes": []}}):
        body = wrapped_for(place, good) | {"label": "refused"} | change
        assert place.api("POST", "/cores/2/import", body, user="alice", check=False).status_code == 422
    theirs = wrapped_for(place, good, user="admin") | {"label": "theirs"}
    assert "another user's" in place.api("POST", "/cores/2/import", theirs, user="alice", check=False).text
    place.add_user("bob")
    place.add_rule("bob", core=2)
    assert place.api("POST", "/cores/2/import-key", user="bob", check=False).status_code == 403
    assert place.api("POST", "/cores/2/import", theirs, user="bob", check=False).status_code == 403


def test_a_keeper_that_restarts_knows_the_count(place: Appliance) -> None:
    """From the database; an import key that waited is gone."""
    path = make(place, "recounted", max_uses=2)
    assert sign(place, path).status_code == 200
    waiting = wrapped_for(place, pkcs8_of(ec.generate_private_key(ec.SECP256R1()))) | {"label": "waiting"}
    keeper = place.keeper_process()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: sign(place, path).status_code != 503)
    assert sign(place, path).status_code == 403
    assert "ask for another" in place.api("POST", "/cores/2/import", waiting, user="alice", check=False).text
