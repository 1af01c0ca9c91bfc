"""An approval is for exactly what was asked, by whom it was asked, once; whatever is tried around it is refused."""

import base64
import hashlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from privyseal.model.approvals import ADMINISTRATIVE, KEY_OPERATIONS
from support import acts
from support.appliance import PIN, Appliance

APPROVERS = ("bob", "carol")


@pytest.fixture(scope="module")
def guarded(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance whose key `release` needs two approvals, and whose new users need one."""
    appliance = new_appliance("--workers", "2")
    for name in ("alice", "mallory", *APPROVERS):
        appliance.add_user(name)
    appliance.add_user("second", role="administrator")
    appliance.add_user("auditor", role="auditor")
    for name in ("alice", "mallory"):
        appliance.add_rule(name)
    appliance.add_key("release")
    appliance.add_key("free")
    add_quorum(appliance, operation="key:sign", core=1, key="release", needed=2)
    return appliance


def add_quorum(appliance: Appliance, **body: Any) -> int:
    """Make a quorum of the approvers and return its number."""
    answer = appliance.api("POST", "/quorums", {"approvers": list(APPROVERS), **body}).json()
    return int(answer["number"])


def body(text: bytes, **more: Any) -> dict[str, Any]:
    """A request to sign the digest of a text."""
    return {"digest": base64.b64encode(hashlib.sha256(text).digest()).decode(), "hash": "SHA-256", "pin": PIN, **more}


def sign(appliance: Appliance, text: bytes, user: str = "alice", key: str = "release", **more: Any) -> Any:
    """Try to sign."""
    return appliance.api("POST", f"/cores/1/keys/{key}/sign", body(text, **more), user=user, check=False)


def asked(answer: Any) -> int:
    """The number of the request that a refused try has left."""
    assert answer.status_code == 403, answer.text
    assert answer.json()["type"] == "urn:privyseal:problem:approval-needed"
    return int(answer.json()["approval"])


def approve(appliance: Appliance, number: int, *users: str) -> None:
    """Let users agree."""
    for user in users:
        appliance.api("POST", f"/approvals/{number}/approve", user=user)


def test_a_try_again_is_the_same_request(guarded: Appliance) -> None:
    """Waiting and asking again leaves one request, not many."""
    assert asked(sign(guarded, b"again")) == asked(sign(guarded, b"again"))


@pytest.mark.parametrize("other", ["text", "hash", "encoding", "user", "key"])
def test_an_approval_fits_nothing_else(guarded: Appliance, other: str) -> None:
    """Another digest, hash, encoding, user or key needs an approval of its own."""
    text = f"exactly {other}".encode()
    number = asked(sign(guarded, text))
    approve(guarded, number, *APPROVERS)
    if other == "key":
        add_quorum(guarded, operation="key:sign", core=1, key="free", needed=1)
    tries = {
        "text": lambda: sign(guarded, b"something else"),
        "hash": lambda: guarded.api(
            "POST",
            "/cores/1/keys/release/sign",
            {"digest": base64.b64encode(bytes(48)).decode(), "hash": "SHA-384", "pin": PIN},
            user="alice",
            check=False,
        ),
        "encoding": lambda: sign(guarded, text, encoding="raw"),
        "user": lambda: sign(guarded, text, "mallory"),
        "key": lambda: sign(guarded, text, key="free"),
    }
    assert asked(tries[other]()) != number
    assert sign(guarded, text).status_code == 200
    assert asked(sign(guarded, text)) != number


def test_an_approval_is_used_once_by_many_at_once(guarded: Appliance) -> None:
    """Eight tries at the same moment in two workers: one signature leaves; one that came too late is thrown away."""
    number = asked(sign(guarded, b"race"))
    approve(guarded, number, *APPROVERS)
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: sign(guarded, b"race").status_code, range(8)))
    assert statuses.count(200) == 1
    assert guarded.api("GET", f"/approvals/{number}").json()["state"] == "used"
    digest = hashlib.sha256(hashlib.sha256(b"race").digest()).hexdigest()
    events = guarded.api("GET", "/audit/events?limit=1000").json()["events"]
    outcomes = [one["outcome"] for one in events if one["input"] == digest]
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "withheld"}


def test_a_wrong_pin_uses_no_approval_up(guarded: Appliance) -> None:
    """What failed was not done, so the approval is still there."""
    number = asked(sign(guarded, b"pin"))
    approve(guarded, number, *APPROVERS)
    assert sign(guarded, b"pin", pin="wrong-pin").status_code == 403
    assert sign(guarded, b"pin").status_code == 200


def test_a_batch_is_approved_as_a_whole(guarded: Appliance) -> None:
    """The approver sees each digest, and a batch with one more is another."""
    digests = [base64.b64encode(hashlib.sha256(bytes([n])).digest()).decode() for n in range(3)]

    def batch(count: int) -> Any:
        content = {"digests": digests[:count], "hash": "SHA-256", "pin": PIN}
        return guarded.api("POST", "/cores/1/keys/release/sign-batch", content, user="alice", check=False)

    number = asked(batch(2))
    approve(guarded, number, *APPROVERS)
    what = guarded.api("GET", f"/approvals/{number}", user="bob").json()["what"]
    assert [base64.b64encode(bytes.fromhex(line.split()[-1])).decode() for line in what.splitlines()] == digests[:2]
    assert asked(batch(3)) != number
    assert len(batch(2).json()["signatures"]) == 2


def test_who_may_see_and_decide(guarded: Appliance) -> None:
    """Requester and approvers see a request, auditors all; nobody else does, and only approvers decide, once."""
    number = asked(sign(guarded, b"see"))

    def status(user: str, method: str = "GET", verb: str = "") -> int:
        return guarded.api(method, f"/approvals/{number}{verb}", user=user, check=False).status_code

    assert [status(user) for user in ("alice", "bob", "auditor", "admin", "mallory")] == [200, 200, 200, 200, 404]
    assert [status(user, "POST", "/approve") for user in ("alice", "admin", "mallory")] == [403, 403, 404]
    assert [status("bob", "POST", "/approve") for _ in range(2)] == [200, 409]
    listed = guarded.api("GET", "/approvals?open=true", user="mallory").json()["approvals"]
    assert {one["requester"] for one in listed} <= {"mallory"}
    assert status("carol", "POST", "/refuse") == 200
    assert status("bob", "POST", "/approve") == 409
    assert asked(sign(guarded, b"see")) != number


def test_an_approval_expires(guarded: Appliance) -> None:
    """After its time an approved request is worth nothing."""
    number = asked(sign(guarded, b"late"))
    approve(guarded, number, *APPROVERS)
    with sqlite3.connect(guarded.data / "privyseal.db", timeout=30) as database:
        database.execute("UPDATE approvals SET expires = 1 WHERE number = ?", (number,))
    assert guarded.api("GET", f"/approvals/{number}").json()["state"] == "expired"
    assert asked(sign(guarded, b"late")) != number


def test_an_administrative_act_waits_too(guarded: Appliance) -> None:
    """A user with another role than the approved one is not made; a looser quorum beside the first changes nothing."""
    number = add_quorum(guarded, operation="user:create", needed=2)
    add_quorum(guarded, operation="user:create", needed=1)
    new = {"name": "eve", "role": "operator", "password": "password of eve"}
    waiting = asked(guarded.api("POST", "/users", new, check=False))
    approve(guarded, waiting, *APPROVERS)
    assert asked(guarded.api("POST", "/users", {**new, "role": "administrator"}, check=False)) != waiting
    assert asked(guarded.api("POST", "/users", new, user="second", check=False)) != waiting
    assert guarded.api("POST", "/users", new).status_code == 201
    removal = asked(guarded.api("DELETE", f"/quorums/{number}", check=False))
    approve(guarded, removal, *APPROVERS)
    assert guarded.api("DELETE", f"/quorums/{number}").status_code == 204
    assert guarded.api("DELETE", f"/quorums/{number}", check=False).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"operation": "key:sing"}, "operation"),
        ({"operation": "user:create", "core": 1}, "core"),
        ({"operation": "key:sign", "key": "release"}, "core"),
        ({"approvers": ["nobody"]}, "approvers"),
        ({"approvers": ["bob", "bob"]}, "approvers"),
        ({"approvers": []}, "approvers"),
        ({"needed": 3}, "needed"),
        ({"needed": 0}, "needed"),
    ],
)
def test_a_quorum_that_cannot_be(guarded: Appliance, change: dict[str, Any], field: str) -> None:
    """What could never be reached, or guards nothing, is refused by its field."""
    wanted = {"operation": "key:destroy", "needed": 1, "approvers": list(APPROVERS), **change}
    answer = guarded.api("POST", "/quorums", wanted, check=False)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [f"body.{field}"]


def test_only_administrators_make_quorums(guarded: Appliance) -> None:
    """Others neither make, see nor take them away; auditors see them."""
    wanted = {"operation": "key:destroy", "needed": 1, "approvers": list(APPROVERS)}
    assert guarded.api("POST", "/quorums", wanted, user="alice", check=False).status_code == 403
    assert guarded.api("GET", "/quorums", user="alice", check=False).status_code == 403
    assert guarded.api("DELETE", "/quorums/1", user="alice", check=False).status_code == 403
    assert guarded.api("GET", "/quorums", user="auditor").status_code == 200


# -- every act that a quorum can guard --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every_act(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance whose acts are guarded one at a time."""
    appliance = new_appliance("--workers", "2")
    acts.prepare(appliance)
    for name in APPROVERS:
        appliance.add_user(name)
    return appliance


def test_the_acts_are_all_there() -> None:
    """Nothing can be guarded that the next test does not try."""
    assert set(acts.KEYS) == set(KEY_OPERATIONS)
    assert set(acts.ADMINISTRATIVE) == set(ADMINISTRATIVE)


@pytest.mark.parametrize("operation", [*acts.KEYS, *acts.ADMINISTRATIVE])
def test_every_guarded_act_waits_for_its_approval(every_act: Appliance, operation: str) -> None:
    """The same request, sent again, is the same request for approval; approved, it goes through once."""
    asked_for = (acts.KEYS | acts.ADMINISTRATIVE)[operation](every_act)
    number = add_quorum(every_act, operation=operation, needed=1)
    waiting = asked(asked_for.send(every_act))
    assert asked(asked_for.send(every_act)) == waiting
    approve(every_act, waiting, "bob")
    done = asked_for.send(every_act)
    assert done.is_success, done.text
    if operation == "appliance:lock":
        secret = base64.b64encode((every_act.data / "unlock.key").read_bytes()).decode()
        every_act.api("POST", "/unlock", {"key_file": secret})
    approvals = every_act.api("GET", f"/approvals/{waiting}").json()
    assert (approvals["state"], approvals["operation"]) == ("used", operation)
    unguard(every_act, number)


def unguard(appliance: Appliance, number: int) -> None:
    """Take a quorum away, with the approval of those who are in it."""
    removal = asked(appliance.api("DELETE", f"/quorums/{number}", check=False))
    approve(appliance, removal, *APPROVERS[:1])
    assert appliance.api("DELETE", f"/quorums/{number}").status_code == 204


def test_an_approval_ends_with_its_quorum(every_act: Appliance) -> None:
    """A quorum that gets the number of one that is gone does not get what others had approved for that one."""
    new = acts.KEYS["key:disable"](every_act)
    first = add_quorum(every_act, operation="key:disable", needed=1)
    waiting = asked(new.send(every_act))
    approve(every_act, waiting, "bob")
    unguard(every_act, first)
    second = add_quorum(every_act, operation="key:disable", needed=1)
    assert asked(new.send(every_act)) != waiting
    unguard(every_act, second)


def test_an_approval_ends_with_its_requester(every_act: Appliance) -> None:
    """Who gets the name of a user that was deleted does not get what others had approved for that one."""
    new = acts.KEYS["key:disable"](every_act)
    request = acts.Asked(new.method, new.path, new.body, "leaving")

    def come() -> None:
        every_act.add_user("leaving")
        every_act.add_rule("leaving", operations=["key:read", "key:manage"])

    come()
    number = add_quorum(every_act, operation="key:disable", needed=1)
    waiting = asked(request.send(every_act))
    approve(every_act, waiting, "bob")
    every_act.api("DELETE", "/users/leaving")
    come()
    assert asked(request.send(every_act)) != waiting
    unguard(every_act, number)


def test_a_rotation_is_approved_with_or_without_a_new_pin(every_act: Appliance) -> None:
    """What was approved as a plain rotation gives the key no other PIN."""
    with_pin = acts.KEYS["key:rotate"](every_act)
    plain = acts.Asked(with_pin.method, with_pin.path, {"pin": PIN}, with_pin.user)
    number = add_quorum(every_act, operation="key:rotate", needed=1)
    waiting = asked(plain.send(every_act))
    approve(every_act, waiting, "bob")
    assert asked(with_pin.send(every_act)) != waiting
    unguard(every_act, number)
