"""Bad input gets a clear error and loses nothing (design, section 12), by REST on a real appliance."""

import base64
import hashlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from support.appliance import PIN, Appliance

SIGN = "/cores/1/keys/release/sign"
DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def guarded(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance where alice may sign with `release`, `edwards` and `rsa`, and bob has no rule; on both databases."""
    database = ["--database", request.getfixturevalue("postgresql").new_database()] * (request.param == "postgresql")
    appliance = new_appliance("--workers", "2", *database)
    for user in ("alice", "bob"):
        appliance.add_user(user)
    for label, key_type in (("release", "ec:P-256"), ("edwards", "ed25519"), ("rsa", "rsa:2048")):
        appliance.add_rule("alice", label)
        appliance.add_key(label, key_type)
    appliance.add_key("hidden")
    return appliance


def problem(answer: httpx2.Response, status: int, name: str) -> dict[str, Any]:
    """The problem document, after a look at its status and type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["type"]) == (status, f"urn:privyseal:problem:{name}"), document
    assert document["status"] == status
    return document


def refused(
    appliance: Appliance, path: str, body: Any, status: int, name: str, *, user: str = "alice", method: str = "POST"
) -> dict[str, Any]:
    """Send a request that has to be refused like this."""
    return problem(appliance.api(method, path, body, user=user, check=False), status, name)


def fields(document: dict[str, Any]) -> set[str]:
    """The fields that an `invalid-body` problem names."""
    return {error["field"] for error in document["errors"]}


HOT, OTHER = 4 * 1024 * 1024, 256 * 1024  # bytes of a body


@pytest.mark.parametrize(("path", "most"), [(SIGN, HOT), ("/users", OTHER)])
def test_a_body_over_the_limit(guarded: Appliance, path: str, most: int) -> None:
    """413 on a hot route and on a framework's, with a length and without one."""
    client = guarded._client("admin")
    large = b" " * (most + 1)
    problem(client.post(f"/api/v1{path}", content=large), 413, "body-too-large")
    problem(client.post(f"/api/v1{path}", content=iter([large[: most // 4]] * 5)), 413, "body-too-large")


MANY: dict[str, Callable[[int], bytes]] = {  # of a body's length, wrong in as many places as there is room for
    "unknown fields": lambda length: b"{%b}" % b",".join(b'"%06x":1' % number for number in range(length // 11)),
    "members": lambda length: b'{"name":"x","members":[%b1]}' % (b"1," * (length // 2 - 20)),
    "operations": lambda length: b'{"core":1,"operations":[%b1]}' % (b"1," * (length // 2 - 20)),
    "digests": lambda length: b'{"digests":[%b1]}' % (b"1," * (length // 2 - 20)),
    "objects": lambda length: b'{"digests":[%b1]}' % (b"{}," * (length // 3 - 20)),
    "depth": lambda length: b"[" * length,
    "digits": lambda length: b'{"name":%b}' % (b"9" * (length - 20)),
    "a long name": lambda length: b'{"%b":1}' % (b"x" * (length - 20)),
}


@pytest.mark.parametrize("how", MANY)
@pytest.mark.parametrize(("path", "most"), [(f"{SIGN}-batch", HOT), ("/groups", OTHER), ("/rules", OTHER)])
def test_many_mistakes_cost_little(guarded: Appliance, path: str, most: int, how: str) -> None:
    """Whoever is nobody gets a short answer at once: as long as one is made, that worker answers nobody else."""
    headers = {"Content-Type": "application/json"}
    began = time.monotonic()
    answer = guarded._client("bob").post(f"/api/v1{path}", content=MANY[how](most), headers=headers, auth=None)
    assert time.monotonic() - began < 5
    assert answer.status_code in (400, 401, 422)
    assert len(answer.content) < 20_000


def test_texts_that_no_text_is(guarded: Appliance) -> None:
    """Half a surrogate pair in a list, a number that is too long to be read, a null byte in a path and in a query."""
    halves = b'{"name": "x", "members": ["\\ud800"]}'
    headers = {"Content-Type": "application/json"}
    answer = guarded._client("admin").post("/api/v1/groups", content=halves, headers=headers)
    assert fields(problem(answer, 422, "invalid-body")) == {"body.members"}
    for path in (SIGN, "/users"):
        digits = b'{"pin": %b}' % (b"9" * 5000)
        answer = guarded._client("admin").post(f"/api/v1{path}", content=digits, headers=headers)
        assert "too many digits" in problem(answer, 400, "malformed-json")["detail"]
    refused(guarded, "/users/%00/unlock", None, 404, "not-found", user="admin")
    answer = guarded.api("GET", "/rules?group=%00", check=False)
    assert fields(problem(answer, 422, "invalid-body")) == {"query"}


@pytest.mark.parametrize("path", [SIGN, "/users"])
def test_broken_json_names_the_place(guarded: Appliance, path: str) -> None:
    """400 with the position."""
    headers = {"Content-Type": "application/json"}
    answer = guarded._client("admin").post(f"/api/v1{path}", content=b'{"name": "x",\n "y" 1}', headers=headers)
    detail = problem(answer, 400, "malformed-json")["detail"]
    assert "line 2" in detail or "character 19" in detail


def test_every_wrong_field_at_once(guarded: Appliance) -> None:
    """422 names unknown, missing and wrong fields together, on both kinds of routes."""
    hot = refused(guarded, f"{SIGN}-batch", {"hash": "MD5", "digets": [], "pin": 1}, 422, "invalid-body")
    assert fields(hot) == {"body.hash", "body.digets", "body.pin", "body.digests"}
    framework = refused(guarded, "/users", {"name": 1, "rolle": "operator"}, 422, "invalid-body", user="admin")
    assert fields(framework) == {"body.name", "body.rolle", "body.role", "body.password"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"digest": "not base64!"}, "body.digest"),
        ({"hash": "SHA-384", "digest": DIGEST}, "body.digest"),
        ({"hash": "SHA-512/256", "digest": DIGEST}, "body.hash"),
        ({"mechanism": "RSA-PSS", "hash": "SHA-256", "digest": DIGEST}, "body.mechanism"),
        ({"mechanism": "DSA", "digest": DIGEST}, "body.mechanism"),
        ({}, "body.digest"),
        ({"digest": DIGEST, "data": DIGEST}, "body.digest"),
        ({"digest": ""}, "body.digest"),
        ({"digest": base64.b64encode(bytes(65)).decode()}, "body.digest"),
        ({"hash": "SHA-256", "digest": DIGEST, "salt_length": 3}, "body.salt_length"),
        ({"hash": "SHA-256", "digest": DIGEST, "pin": "1234567"}, "body.pin"),
        ({"hash": "SHA-256", "digest": DIGEST, "pin": "1" * 129}, "body.pin"),
    ],
)
def test_a_wrong_field(guarded: Appliance, body: dict[str, Any], field: str) -> None:
    """422 names the field; the PIN is asked for first only where the rest makes sense."""
    assert field in fields(refused(guarded, SIGN, {"pin": PIN} | body, 422, "invalid-body"))


def test_other_key_types_have_rules_of_their_own(guarded: Appliance) -> None:
    """EdDSA takes no digest and no hash; RSA-PSS has room for so much salt; raw RSA input has a length."""
    edwards, rsa = "/cores/1/keys/edwards/sign", "/cores/1/keys/rsa/sign"
    assert fields(refused(guarded, edwards, {"digest": DIGEST, "pin": PIN}, 422, "invalid-body")) == {"body.digest"}
    hashed = {"data": DIGEST, "hash": "SHA-256", "pin": PIN}
    assert fields(refused(guarded, edwards, hashed, 422, "invalid-body")) == {"body.hash"}
    salted = {"mechanism": "RSA-PSS", "hash": "SHA-256", "digest": DIGEST, "salt_length": 223, "pin": PIN}
    assert fields(refused(guarded, rsa, salted, 422, "invalid-body")) == {"body.salt_length"}
    guarded.api("POST", rsa, salted | {"salt_length": 222}, user="alice")
    long = {"digest": base64.b64encode(bytes(246)).decode(), "pin": PIN}
    assert fields(refused(guarded, rsa, long, 422, "invalid-body")) == {"body.digest"}


def test_a_batch_is_all_or_nothing(guarded: Appliance) -> None:
    """One bad digest of three is named by its place, and nothing is signed or recorded as done."""
    before = last_event(guarded)
    bad = {"hash": "SHA-256", "digests": [DIGEST, "AAAA", DIGEST], "pin": PIN}
    assert fields(refused(guarded, f"{SIGN}-batch", bad, 422, "invalid-body")) == {"body.digests[1]"}
    assert [event for event in events_after(guarded, before) if event["operation"] == "key:sign"] == []
    for count in (0, 1001):
        many = {"hash": "SHA-256", "digests": [DIGEST] * count, "pin": PIN}
        assert fields(refused(guarded, f"{SIGN}-batch", many, 422, "invalid-body")) == {"body.digests"}


def test_what_is_not_there(guarded: Appliance) -> None:
    """Unknown core, key, path, method, user and curve."""
    body = {"hash": "SHA-256", "digest": DIGEST, "pin": PIN}
    refused(guarded, "/cores/7/keys/release/sign", body, 404, "not-found")
    refused(guarded, "/cores/1/keys/nothing/sign", body, 404, "key-not-found")
    refused(guarded, "/nothing", None, 404, "not-found", method="GET")
    refused(guarded, "/health/alive", None, 405, "method-not-allowed", method="DELETE")
    refused(guarded, "/users/nobody", None, 404, "not-found", method="GET", user="admin")
    curve = {"label": "x", "type": "ec:P-257", "pin": PIN}
    assert fields(refused(guarded, "/cores/1/keys", curve, 422, "invalid-body", user="admin")) == {"body.type"}


@pytest.mark.parametrize("pin", ["1234567", "1" * 129, None])
def test_a_key_needs_a_pin_of_8_to_128(guarded: Appliance, pin: str | None) -> None:
    """Core 1 wants a PIN; 7 and 129 characters are refused and the answer does not repeat them."""
    body = {"label": "short", "type": "ec:P-256"} | ({} if pin is None else {"pin": pin})
    document = refused(guarded, "/cores/1/keys", body, 422, "invalid-body", user="admin")
    assert fields(document) == {"body.pin"}
    assert pin is None or pin not in str(document)


def test_pins_of_8_and_128_are_right(guarded: Appliance) -> None:
    """The limits themselves work."""
    for pin in ("8" * 8, "9" * 128):
        guarded.add_key(f"limit-{len(pin)}", pin=pin)
        guarded.add_rule("alice", f"limit-{len(pin)}")
        body = {"digest": DIGEST, "pin": pin}
        guarded.api("POST", f"/cores/1/keys/limit-{len(pin)}/sign", body, user="alice")


def test_no_rule_names_the_missing_one(guarded: Appliance) -> None:
    """Who has no rule at all, and who has none for `hidden`, is told the command, and not whether the key exists."""
    body = {"digest": DIGEST, "pin": PIN}
    nothing = refused(guarded, SIGN, body, 403, "access-refused", user="bob")
    command = "privyseal rule create --user bob --core 1 --operations key:sign --keys 'release'"
    assert nothing["missing_rule"] == command
    there = refused(guarded, "/cores/1/keys/hidden/sign", body, 404, "key-not-found")
    absent = refused(guarded, "/cores/1/keys/absent/sign", body, 404, "key-not-found")
    assert there["detail"].replace("hidden", "absent") == absent["detail"]
    assert there["missing_rule"].endswith("--user alice --core 1 --operations key:sign --keys 'hidden'")


def test_administrators_cannot_sign(guarded: Appliance) -> None:
    """They may see the key, so they are told why not."""
    refused(guarded, SIGN, {"digest": DIGEST, "pin": PIN}, 403, "access-refused", user="admin")


def test_the_command_that_is_named_mends_it(guarded: Appliance) -> None:
    """Typing the missing rule makes the next request work, in every worker at once."""
    guarded.add_user("carol")
    body = {"digest": DIGEST, "pin": PIN}
    document = refused(guarded, SIGN, body, 403, "access-refused", user="carol")
    words = document["missing_rule"].replace("'", "").split()
    guarded.cli(*words[1:])
    for _ in range(6):
        guarded.api("POST", SIGN, body, user="carol")


def test_a_wrong_pin_is_counted_before_the_answer(new_appliance: Callable[..., Appliance]) -> None:
    """Attempts go down, also over a kill -9; delays from the 5th, locked at the 10th; an administrator mends it."""
    appliance = new_appliance("--workers", "1")
    appliance.add_user("dave")
    appliance.add_rule("dave", "*")
    appliance.add_key("release")
    ticket = appliance.api("POST", "/cores/1/login", {"pin": PIN}, user="dave").json()["ticket"]
    wrong, right = {"digest": DIGEST, "pin": "87654321"}, {"digest": DIGEST, "pin": PIN}
    for left in (9, 8, 7, 6):
        assert refused(appliance, SIGN, wrong, 403, "pin-incorrect", user="dave")["attempts_left"] == left
    appliance.stop_hard()
    appliance.start()
    assert refused(appliance, SIGN, wrong, 403, "pin-incorrect", user="dave")["attempts_left"] == 5
    delayed = appliance.api("POST", SIGN, right, user="dave", check=False)
    problem(delayed, 429, "too-many-attempts")
    assert int(delayed.headers["retry-after"]) >= 1
    for wait in (1, 2, 4, 8, 16):
        time.sleep(wait + 0.1)
        refused(appliance, SIGN, wrong, 403, "pin-incorrect", user="dave")
    locked = refused(appliance, SIGN, right, 423, "pin-locked", user="dave")
    assert "privyseal user unlock dave" in locked["detail"]
    appliance.api("POST", SIGN, {"digest": DIGEST, "ticket": ticket}, user="dave")
    appliance.cli("user", "unlock", "dave")
    appliance.cli("key", "unlock", "release")
    appliance.api("POST", SIGN, right, user="dave")


def test_a_core_says_how_many_wrong_pins_are_too_many(new_appliance: Callable[..., Appliance]) -> None:
    """For its users and keys alone, at a login and at a use, in every worker as soon as it is said; within bounds."""
    appliance = new_appliance("--workers", "2")
    limits = {"pin_delay_from": 100, "pin_lock_at": 3}
    strict = appliance.api("POST", "/cores", {"name": "strict", **limits}).json()
    assert strict["pin"] == {"min": 8, "max": 128, "delay_from": 100, "lock_at": 3}
    assert appliance.api("GET", "/cores/1").json()["pin"] == {"min": 8, "max": 128, "delay_from": 5, "lock_at": 10}
    appliance.add_user("dave")
    for core in (1, 2):
        appliance.add_rule("dave", "*", core=core)
        appliance.add_key("release", core=core)
    there, wrong, right = (
        "/cores/2/keys/release/sign",
        {"digest": DIGEST, "pin": "87654321"},
        {"digest": DIGEST, "pin": PIN},
    )
    for left in (2, 1, 0):
        assert refused(appliance, there, wrong, 403, "pin-incorrect", user="dave")["attempts_left"] == left
    for _ in range(4):  # both workers, also the one whose keeper knows the PIN
        refused(appliance, there, right, 423, "pin-locked", user="dave")
    refused(appliance, "/cores/2/login", {"pin": PIN}, 423, "pin-locked", user="dave")
    assert [one["locked"] for one in appliance.api("GET", "/users").json()["users"] if one["name"] == "dave"] == [True]
    assert refused(appliance, SIGN, wrong, 403, "pin-incorrect", user="dave")["attempts_left"] == 9
    appliance.api("POST", SIGN, right, user="dave")
    appliance.cli("core", "update", "strict", "--pin-lock-at", "5", "--pin-delay-from", "4")
    assert refused(appliance, there, wrong, 403, "pin-incorrect", user="dave")["attempts_left"] == 1
    refused(appliance, there, right, 429, "too-many-attempts", user="dave")
    appliance.api("PUT", "/cores/strict", {"pin_delay_from": 5})
    for _ in range(4):
        appliance.api("POST", there, right, user="dave")
    for field, value in (("pin_lock_at", 0), ("pin_lock_at", 101), ("pin_delay_from", 0), ("pin_delay_from", 101)):
        for method, path, more in (("PUT", "/cores/2", {}), ("POST", "/cores", {"name": "no"})):
            answer = appliance.api(method, path, {field: value, **more}, check=False)
            assert problem(answer, 422, "invalid-body")["errors"][0]["field"] == f"body.{field}"


def test_a_wrong_password(guarded: Appliance) -> None:
    """401 with the header that browsers want; no word on which of the two is wrong; from the 5th it has to wait."""
    guarded.add_user("erin")
    client = guarded._client("erin")
    for name in ("erin", "nobody-at-all"):
        answer = client.get("/api/v1/cores", auth=(name, "wrong password"))
        assert problem(answer, 401, "unauthenticated")["detail"] == "the user name or the password is not right"
        assert answer.headers["www-authenticate"].startswith("Basic")
    for _ in range(4):
        client.get("/api/v1/cores", auth=("erin", "wrong password"))
    answer = client.get("/api/v1/cores", auth=("erin", "wrong password"))
    problem(answer, 429, "too-many-attempts")
    assert client.get("/api/v1/cores", headers={"Authorization": "Bearer x"}, auth=None).status_code == 401


def test_a_ticket_is_of_its_user_and_core_and_ends(guarded: Appliance) -> None:
    """Another's ticket, an ended one and nonsense are refused; a logout outlives a restart of the keeper."""
    guarded.add_user("frank")
    guarded.add_rule("frank", "*")
    ticket = guarded.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()["ticket"]
    body = {"digest": DIGEST, "ticket": ticket}
    guarded.api("POST", SIGN, body, user="alice")
    refused(guarded, SIGN, body, 403, "ticket-invalid", user="frank")
    refused(guarded, SIGN, {"digest": DIGEST, "ticket": "nonsense"}, 403, "ticket-invalid")
    guarded.api("POST", "/cores/1/logout", {"ticket": ticket}, user="alice")
    refused(guarded, SIGN, body, 403, "ticket-invalid")
    os.kill(guarded.keeper_process(), signal.SIGKILL)
    wait_until_signing(guarded)
    refused(guarded, SIGN, body, 403, "ticket-invalid")


def test_every_refusal_is_an_event_without_secrets(guarded: Appliance) -> None:
    """The number in the answer is an event that says who, what and why, and holds no PIN or password."""
    body = {"digest": DIGEST, "pin": "another wrong pin"}
    number = refused(guarded, "/cores/1/keys/hidden/sign", body, 404, "key-not-found")["event"]
    event = events_after(guarded, number - 1)[0]
    assert (event["number"], event["user"], event["operation"]) == (number, "alice", "key:sign")
    assert (event["outcome"], event["key"]) == ("refused", "hidden")
    everything = str(events_after(guarded, 0))
    for secret in (PIN, "another wrong pin", guarded.passwords["alice"]):
        assert secret not in everything


def events_after(appliance: Appliance, number: int) -> list[dict[str, Any]]:
    """All events after a number."""
    found: list[dict[str, Any]] = []
    while True:
        page = appliance.api("GET", f"/audit/events?after={number}&limit=1000").json()
        found += page["events"]
        if page["next"] is None:
            return found
        number = page["next"]


def last_event(appliance: Appliance) -> int:
    """The number of the last event."""
    found: int = events_after(appliance, 0)[-1]["number"]
    return found


def wait_until_signing(appliance: Appliance) -> None:
    """Wait until the keeper is back."""
    deadline = time.monotonic() + 15
    while appliance.api("GET", "/health/ready", check=False).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
