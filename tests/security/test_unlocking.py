"""From unprovisioned to operational, locked and back, with the real processes and every kind of slot."""

import base64
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from support.appliance import PASSWORDS, PIN, Appliance

PASSPHRASE = "correct horse battery staple"
OPEN = ("/health/alive", "/health/ready", "/state", "/info")
SHUT = (("GET", "/cores"), ("GET", "/users"), ("POST", "/cores/1/keys/release/sign"), ("GET", "/no/such/path"))


@pytest.fixture(scope="module")
def empty(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that nobody has provisioned, with two workers."""
    return new_appliance("--workers", "2", "--no-provision")


@pytest.fixture(scope="module")
def appliance(empty: Appliance) -> Appliance:
    """The same, provisioned with a passphrase, with a slot for two of three shares and a key with a PIN."""
    body = {"password": PASSWORDS["admin"], "unlock": {"kind": "passphrase", "passphrase": PASSPHRASE}}
    refused = empty.api("POST", "/provision", body | {"password": "short"}, check=False)
    assert refused.status_code == 422
    made = empty.api("POST", "/provision", body).json()
    assert made == {"state": "operational", "slot": {"number": 1, "kind": "passphrase"}}
    for _ in range(8):  # whichever worker answers, it has changed over
        empty.api("GET", "/cores")
    empty.api("PUT", "/cores/1", {"pin_required": True})
    empty.add_key("release")
    empty.add_user("alice")
    empty.add_rule("alice")
    return empty


def problem(answer: httpx2.Response) -> tuple[int, str]:
    """Status and type of a problem document."""
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]


def unlock(appliance: Appliance, **secret: str) -> httpx2.Response:
    """Try to unlock, as nobody in particular; waits where it was told to."""
    while True:
        answer = appliance.api("POST", "/unlock", secret, check=False)
        if answer.status_code != 429:
            return answer
        time.sleep(int(answer.headers["retry-after"]))


def sign(appliance: Appliance) -> httpx2.Response:
    """Alice signs with the key that has a PIN."""
    body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256", "pin": PIN}
    return appliance.api("POST", "/cores/1/keys/release/sign", body, user="alice", check=False)


def lock(appliance: Appliance) -> None:
    """Lock it."""
    assert appliance.api("POST", "/lock").json() == {"state": "locked"}


def closed(appliance: Appliance, expected: str) -> None:
    """Everything says why it is closed, before any look-up or login, but what must answer."""
    for method, path in SHUT:
        for _ in range(4):
            assert problem(appliance.api(method, path, {}, check=False)) == (503, expected)
    for path in OPEN:
        answer = appliance.api("GET", path, check=False)
        assert answer.status_code == (503 if path.endswith("ready") else 200)


def test_an_empty_appliance_waits(empty: Appliance) -> None:
    """It says what it is, in every worker; it cannot be unlocked, and the command line's exit status is 4."""
    assert empty.api("GET", "/state").json() == {"state": "unprovisioned"}
    closed(empty, "not-provisioned")
    assert problem(unlock(empty, passphrase=PASSPHRASE)) == (503, "not-provisioned")
    for words in (("state",), ("core", "list"), ("unlock", "--passphrase-file", "-")):
        assert empty.cli(*words, input=PASSPHRASE, check=False).returncode == 4


def test_it_is_provisioned_once(appliance: Appliance) -> None:
    """A second administrator would be somebody else's appliance."""
    body = {"password": PASSWORDS["admin"], "unlock": {"kind": "key-file"}}
    assert problem(appliance.api("POST", "/provision", body, check=False)) == (409, "conflict")
    assert sign(appliance).status_code == 200


def test_only_administrators_lock(appliance: Appliance) -> None:
    """And nobody unlocks what is not locked."""
    assert problem(appliance.api("POST", "/lock", user="alice", check=False)) == (403, "access-refused")
    assert problem(unlock(appliance, passphrase=PASSPHRASE)) == (409, "conflict")
    assert problem(appliance.api("GET", "/unlock-slots", user="alice", check=False)) == (403, "access-refused")


def test_locked_with_a_passphrase(appliance: Appliance) -> None:
    """Nothing answers while it is locked; the passphrase brings back the key with its PIN."""
    lock(appliance)
    closed(appliance, "appliance-locked")
    assert appliance.cli("core", "list", check=False).returncode == 4
    assert problem(unlock(appliance, passphrase="correct horse battery stable")) == (403, "unlock-refused")
    assert unlock(appliance, passphrase=PASSPHRASE).json() == {"state": "operational"}
    for _ in range(8):
        assert sign(appliance).status_code == 200


def test_two_of_three_shares(appliance: Appliance) -> None:
    """One by one, with a typing mistake that is found, and how many are here."""
    shares = appliance.api("POST", "/unlock-slots", {"kind": "shares", "needed": 2, "total": 3}).json()["shares"]
    lock(appliance)
    assert unlock(appliance, share=shares[2]).json() == {"state": "locked", "shares": {"have": 1, "needed": 2}}
    assert appliance.api("GET", "/state").json() == {"state": "locked", "shares": {"have": 1, "needed": 2}}
    assert appliance.cli("state", check=False).stdout == "locked, 1 of 2 shares are here\n"
    wrong = unlock(appliance, share=shares[0][:-1] + ("A" if shares[0][-1] != "A" else "B"))
    assert problem(wrong) == (403, "unlock-refused")
    assert "share 1 has a typing mistake" in wrong.json()["detail"]
    done = unlock(appliance, share=shares[0].lower().replace("-", " ")).json()
    assert done == {"state": "operational", "shares": {"have": 2, "needed": 2}}
    assert sign(appliance).status_code == 200


def test_wrong_passphrases_are_delayed_in_every_worker(appliance: Appliance) -> None:
    """From the fifth on the next one has to wait; nobody is locked out for ever, and every attempt is an event."""
    lock(appliance)
    answers = [appliance.api("POST", "/unlock", {"passphrase": f"wrong {n} wrong"}, check=False) for n in range(8)]
    assert 429 in {answer.status_code for answer in answers}
    assert all("event" in answer.json() for answer in answers)
    assert unlock(appliance, passphrase=PASSPHRASE).status_code == 200
    tries = [
        one
        for one in appliance.api("GET", "/audit/events?limit=1000").json()["events"]
        if one["operation"] == "appliance:unlock"
    ]
    assert len([one for one in tries if one["outcome"] == "refused"]) >= 8
    assert PASSPHRASE not in str(tries)


def test_a_keeper_that_died_stays_locked_without_a_key_file(appliance: Appliance) -> None:
    """It says so, and the passphrase opens it again, with the key's PIN as before."""
    os.kill(appliance.keeper_process(), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while appliance.api("GET", "/health/ready", check=False).json()["state"] != "locked":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "is locked since its keeper was started again" in (appliance.directory / "serve.log").read_text()
    assert unlock(appliance, passphrase=PASSPHRASE).status_code == 200
    assert sign(appliance).status_code == 200


def test_slots_are_added_rotated_and_removed_but_for_the_last(appliance: Appliance) -> None:
    """What opened an old slot opens nothing any more."""
    made: dict[str, Any] = appliance.api("POST", "/unlock-slots", {"kind": "key-file"}).json()
    other = "another passphrase that is long"
    new = appliance.api("POST", "/unlock-slots/1/rotate", {"kind": "passphrase", "passphrase": other}).json()["number"]
    kinds = {slot["number"]: slot["kind"] for slot in appliance.api("GET", "/unlock-slots").json()["slots"]}
    assert kinds[new] == "passphrase"
    assert kinds[made["number"]] == "key-file"
    lock(appliance)
    assert problem(unlock(appliance, passphrase=PASSPHRASE)) == (403, "unlock-refused")
    assert unlock(appliance, key_file=made["key_file"]).status_code == 200
    for number in kinds:
        if number != new:
            appliance.api("DELETE", f"/unlock-slots/{number}")
    assert problem(appliance.api("DELETE", f"/unlock-slots/{new}", check=False)) == (409, "conflict")
    assert problem(appliance.api("DELETE", "/unlock-slots/999", check=False)) == (404, "not-found")
    lock(appliance)
    assert problem(unlock(appliance, key_file=made["key_file"])) == (403, "unlock-refused")
    assert unlock(appliance, passphrase=other).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "passphrase", "passphrase": "too short"},
        {"kind": "passphrase"},
        {"kind": "shares"},
        {"kind": "shares", "needed": 4, "total": 3},
        {"kind": "shares", "needed": 2, "total": 17},
        {"kind": "key-file", "passphrase": PASSPHRASE},
        {"kind": "passphrase", "passphrase": PASSPHRASE, "needed": 2},
        {"kind": "magic"},
    ],
)
def test_slots_that_cannot_be(appliance: Appliance, body: dict[str, Any]) -> None:
    """Each is refused with the field that is wrong."""
    assert problem(appliance.api("POST", "/unlock-slots", body, check=False)) == (422, "invalid-body")


@pytest.mark.parametrize("body", [{}, {"passphrase": "a", "share": "b"}, {"key_file": "no base64!"}])
def test_unlocking_with_nothing_sensible(appliance: Appliance, body: dict[str, Any]) -> None:
    """One secret, of one kind."""
    assert problem(appliance.api("POST", "/unlock", body, check=False)) == (422, "invalid-body")
