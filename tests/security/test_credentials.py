"""Credentials on the real appliance, with two workers: what they open, what they do not, and how they end."""

import base64
import contextlib
import hashlib
import json
import os
import ssl
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.appliance import PIN, Appliance
from support.processes import BIN
from support.waiting import wait_until

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
BODY = {"digest": DIGEST, "hash": "SHA-256"}
MANY = 12  # connections, so that both workers get some


@pytest.fixture(scope="module")
def pair(new_appliance: Callable[..., Appliance]) -> Appliance:
    """Two workers; alice may sign with everything in core 1, bob with nothing."""
    appliance = new_appliance("--workers", "2")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_key("release-1", pin=None)
    appliance.add_key("other", pin=None)
    appliance.add_user("alice")
    appliance.add_user("bob")
    appliance.add_rule("alice", operations=("key:sign", "key:destroy"))
    return appliance


def make(appliance: Appliance, name: str, user: str = "alice", **scope: Any) -> dict[str, Any]:
    """A credential, made by its user."""
    made: dict[str, Any] = appliance.api("POST", "/credentials", {"name": name, **scope}, user=user).json()
    return made


@contextlib.contextmanager
def bearer(appliance: Appliance, token: str) -> Iterator[httpx2.Client]:
    """A connection that brings a token."""
    context = ssl.create_default_context(cafile=appliance.ca_file)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(
        base_url=f"{appliance.url}/api/v1", headers=headers, verify=context, trust_env=False, timeout=60
    ) as client:
        yield client


def call(appliance: Appliance, token: str, method: str, path: str, body: Any = None) -> httpx2.Response:
    """One request with a token."""
    with bearer(appliance, token) as client:
        return client.request(method, path, json=body)


def sign(appliance: Appliance, token: str, key: str = "release-1") -> httpx2.Response:
    """One signature with a token."""
    return call(appliance, token, "POST", f"/cores/1/keys/{key}/sign", BODY)


def event(appliance: Appliance, number: int) -> dict[str, Any]:
    """One event of the record."""
    events = appliance.api("GET", f"/audit/events?after={number - 1}&limit=1").json()["events"]
    found: dict[str, Any] = events[0]
    return found


def test_a_scoped_credential_signs_and_the_record_names_it(pair: Appliance) -> None:
    """The user answers for it; the reason says which credential it was, and no document has the token again."""
    made = make(pair, "ci", operations=["key:sign"], core=1, keys="release*")
    answer = sign(pair, made["token"])
    assert answer.status_code == 200, answer.text
    recorded = event(pair, answer.json()["event"])
    assert (recorded["user"], recorded["outcome"]) == ("alice", "done")
    assert made["id"] in recorded["reason"]
    shown = pair.api("GET", f"/credentials/{made['id']}", user="alice").json()
    assert "token" not in shown
    assert made["token"] not in json.dumps(pair.api("GET", "/audit/events?limit=1000").json())


def test_a_scope_is_kept(pair: Appliance) -> None:
    """Another key, another operation and another core are refused, in words that name the credential."""
    made = make(pair, "narrow", operations=["key:sign"], core=1, keys="release*")
    token = made["token"]
    assert sign(pair, token, "other").status_code == 404
    refused = call(pair, token, "DELETE", "/cores/1/keys/release-1")
    assert refused.status_code == 403
    assert made["id"] in refused.json()["detail"]
    labels = [key["label"] for key in call(pair, token, "GET", "/cores/1/keys").json()["keys"]]
    assert labels == ["release-1"]
    elsewhere = make(pair, "elsewhere", core=pair.api("POST", "/cores", {"name": "second"}).json()["number"])
    assert sign(pair, elsewhere["token"]).status_code == 403
    assert call(pair, elsewhere["token"], "GET", "/cores").json()["cores"] == []
    assert call(pair, elsewhere["token"], "POST", "/cores/1/login", {"pin": PIN}).status_code == 403


def test_a_scope_cannot_widen(pair: Appliance) -> None:
    """Bob has no rule, and a credential that names operations gives him none."""
    made = make(pair, "wide", "bob", operations=["key:sign", "audit:read", "core:manage"])
    assert sign(pair, made["token"]).status_code in (403, 404)
    assert call(pair, made["token"], "GET", "/audit/events").status_code == 403
    assert call(pair, made["token"], "POST", "/cores", {"name": "mine"}).status_code == 403


def test_rules_still_decide(pair: Appliance) -> None:
    """A credential is worth no more than its user: without the rule it signs no more."""
    carol = pair.add_user("carol")
    token = make(pair, "hers", carol)["token"]
    assert sign(pair, token).status_code == 403
    pair.add_rule(carol, "release*")
    assert sign(pair, token).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/credentials", {"name": "child"}),
        ("DELETE", "/credentials/{id}", None),
        ("POST", "/approvals/1/approve", None),
        ("POST", "/approvals/1/refuse", None),
        ("PUT", "/users/me/password", {"old": "password of alice", "new": "a new password of hers"}),
    ],
)
def test_a_credential_is_no_person(pair: Appliance, method: str, path: str, body: Any) -> None:
    """It makes and ends no credential and sets no password, so that a stolen one cannot outlive its revocation."""
    made = pair.api("GET", "/credentials", user="alice").json()["credentials"]
    name = f"person{len(made)}"
    one = make(pair, name)
    answer = call(pair, one["token"], method, path.format(id=one["id"]), body)
    assert answer.status_code == 403
    assert "log in with name and password" in answer.json()["detail"]


def test_what_is_wrong_with_a_token_is_told(pair: Appliance) -> None:
    """Mistyped and cut off are told apart; wrong secret and unknown id are not, and nobody's name is recorded."""
    token = make(pair, "typed")["token"]
    last = "0" if token[-1] != "0" else "1"
    assert "checksum" in sign(pair, token[:-1] + last).json()["detail"]
    assert "cut off" in sign(pair, token[:-1]).json()["detail"]
    assert "not a Privyseal credential" in sign(pair, "something-else").json()["detail"]
    unknown = sign(pair, _rechecked(token[:10] + "0" * 16 + token[26:69]))
    wrong = sign(pair, _rechecked(token[:26] + "0" * 43))
    assert unknown.status_code == wrong.status_code == 401
    assert unknown.json()["detail"] == wrong.json()["detail"] == "the credential is not right"
    assert event(pair, wrong.json()["event"])["user"] == "anonymous"
    assert "Bearer" in wrong.headers["WWW-Authenticate"]


def _rechecked(body: str) -> str:
    """A body with the checksum that fits it, written after the reference and not with our code."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = digits[digit] + text
    return body + text


def test_a_revoked_one_is_refused_by_every_worker_at_once(pair: Appliance) -> None:
    """Connections that worked a moment ago get 401 with words that say so, and those of a wrong secret do not."""
    made = make(pair, "ended")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(bearer(pair, made["token"])) for _ in range(MANY)]
        assert {client.post("/cores/1/keys/release-1/sign", json=BODY).status_code for client in clients} == {200}
        pair.api("DELETE", f"/credentials/{made['id']}", user="alice")
        answers = [client.post("/cores/1/keys/release-1/sign", json=BODY) for client in clients]
    assert {answer.status_code for answer in answers} == {401}
    assert all("was revoked" in answer.json()["detail"] for answer in answers)
    assert event(pair, answers[0].json()["event"])["user"] == "alice"
    token = made["token"]
    stranger = sign(pair, _rechecked(token[:26] + "0" * 43))
    assert stranger.json()["detail"] == "the credential is not right"


def test_a_new_one_works_in_every_worker(pair: Appliance) -> None:
    """A worker that has not heard of it yet asks before it refuses."""
    token = make(pair, "fresh")["token"]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(bearer(pair, token)) for _ in range(MANY)]
        assert {client.post("/cores/1/keys/release-1/sign", json=BODY).status_code for client in clients} == {200}


def test_an_expired_one_is_told_so(pair: Appliance) -> None:
    """It ends by itself."""
    made = make(pair, "short", expires_in=1)
    wait_until(lambda: sign(pair, made["token"]).status_code == 401)
    assert "expired on" in sign(pair, made["token"]).json()["detail"]
    assert pair.api("GET", f"/credentials/{made['id']}", user="alice").json()["state"] == "expired"


def test_the_last_use_is_noted(pair: Appliance) -> None:
    """Soon after the first one."""
    made = make(pair, "used")
    assert made["last_used"] is None
    sign(pair, made["token"])
    wait_until(lambda: pair.api("GET", f"/credentials/{made['id']}", user="alice").json()["last_used"] is not None)


def test_credentials_of_others(pair: Appliance) -> None:
    """Users see and revoke only their own; administrators make them for others."""
    made = make(pair, "private")
    for method in ("GET", "DELETE"):
        assert pair.api(method, f"/credentials/{made['id']}", user="bob", check=False).status_code == 404
    assert pair.api("POST", "/credentials", {"name": "x", "user": "alice"}, user="bob", check=False).status_code == 403
    assert pair.api("GET", "/credentials?user=alice", user="bob", check=False).status_code == 403
    assert {one["user"] for one in pair.api("GET", "/credentials", user="bob").json()["credentials"]} <= {"bob"}
    given = pair.api("POST", "/credentials", {"name": "given", "user": "alice"}).json()
    assert sign(pair, given["token"]).status_code == 200
    pair.api("DELETE", f"/credentials/{given['id']}")
    assert sign(pair, given["token"]).status_code == 401


def test_administrators_name_operations(pair: Appliance) -> None:
    """Theirs never manage users, and only do what they name."""
    for body in ({"name": "all"}, {"name": "all", "operations": ["user:manage"]}, {"name": "all", "operations": []}):
        refused = pair.api("POST", "/credentials", body, check=False)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "body.operations"
    token = make(pair, "watch", "admin", operations=["audit:read"])["token"]
    assert call(pair, token, "GET", "/audit/events").status_code == 200
    assert call(pair, token, "GET", "/users").status_code == 403
    assert call(pair, token, "POST", "/cores", {"name": "third"}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"name": "no name"},
        {"name": "x", "expires_in": 0},
        {"name": "x", "expires_in": 367 * 86400},
        {"name": "x", "keys": ""},
        {"name": "x", "operations": ["key:sing"]},
    ],
)
def test_what_makes_no_sense_is_told(pair: Appliance, body: dict[str, Any]) -> None:
    """With the field that is wrong."""
    answer = pair.api("POST", "/credentials", body, user="alice", check=False)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_two_of_one_name_are_refused(pair: Appliance) -> None:
    """Unless the first has ended."""
    made = make(pair, "twice")
    assert pair.api("POST", "/credentials", {"name": "twice"}, user="alice", check=False).status_code == 409
    pair.api("DELETE", f"/credentials/{made['id']}", user="alice")
    make(pair, "twice")


def test_a_token_is_shown_once(pair: Appliance) -> None:
    """Not even the same request sent again shows it, and neither database nor logs hold it."""
    options = {"headers": {"Idempotency-Key": "a-key-of-this-very-test"}}
    first = pair.api("POST", "/credentials", {"name": "once"}, user="alice", **options).json()
    again = pair.api("POST", "/credentials", {"name": "once"}, user="alice", **options).json()
    assert again == first | {"token": None}
    secret = first["token"][26:].encode()
    for path in [*pair.data.rglob("*"), pair.directory / "serve.log"]:
        assert not path.is_file() or secret not in path.read_bytes(), path


def test_the_answer_kept_for_a_password_is_not_given_to_a_credential(pair: Appliance) -> None:
    """A repeated request belongs to who came with it: a narrower credential must not fetch another's answer."""
    key = {"Idempotency-Key": "another-key-of-this-test"}
    pair.api("POST", "/cores/1/keys/other/sign", BODY, user="alice", headers=key)
    token = make(pair, "repeats", keys="release*")["token"]
    with bearer(pair, token) as client:
        assert client.post("/cores/1/keys/other/sign", json=BODY, headers=key).status_code == 404


def test_a_deleted_user_has_none(pair: Appliance) -> None:
    """Also when a namesake comes."""
    pair.add_user("dave")
    token = make(pair, "his", "dave")["token"]
    pair.api("DELETE", "/users/dave")
    pair.add_user("dave2")
    assert sign(pair, token).json()["detail"] == "the credential is not right"


def test_the_command_line(pair: Appliance, tmp_path: Path) -> None:
    """It writes the token into a new file for its owner alone, and uses it in a password's place."""
    file = tmp_path / "ci.token"
    words = ("credential", "create", "--name", "host", "--operations", "key:sign", "--core", "1")
    made = pair.cli_json(*words, "--keys", "release*", "--expires", "12h", "-o", file, user="alice")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "token" not in made
    again = pair.cli(*words, "-o", file, user="alice", check=False)
    assert again.returncode == 1
    listed = pair.cli("credential", "list", user="alice").stdout
    assert made["id"] in listed
    assert file.read_text().strip() not in listed

    environment = {name: value for name, value in pair.environment("alice").items() if name != "PRIVYSEAL_USER"} | {
        "PRIVYSEAL_CREDENTIAL_FILE": str(file),
        "PRIVYSEAL_PASSWORD_FILE": "",
    }
    run = [BIN / "privyseal", "core", "list", "--json"]
    cores = subprocess.run(run, capture_output=True, text=True, check=True, timeout=120, env=environment)
    assert [core["number"] for core in json.loads(cores.stdout)["cores"]] == [1]
    pair.cli("credential", "revoke", made["id"], user="alice")
    assert "revoked" in pair.cli("credential", "show", made["id"], user="alice").stdout
    refused = subprocess.run(run, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert refused.returncode == 5
    assert "was revoked" in refused.stderr


def test_the_module_signs_with_one(pair: Appliance, module: Path, tmp_path: Path) -> None:
    """A host with nothing but a credential: no user name, no password."""
    pair.add_key("release-2", pin=PIN)
    made = make(pair, "module", operations=["key:sign"], keys="release*")
    token = tmp_path / "host.token"
    token.write_text(made["token"] + "\n")
    token.chmod(0o600)
    configuration = tmp_path / "client.json"
    configuration.write_text(
        json.dumps({"url": pair.url, "ca_file": str(pair.ca_file), "core": 1, "credential_file": "host.token"})
    )
    configuration.chmod(0o600)
    (tmp_path / "digest").write_bytes(hashlib.sha256(b"x").digest())
    tool = ["pkcs11-tool", "--module", module, "--sign", "--mechanism", "ECDSA", "--label", "release-2"]
    done = subprocess.run(
        [*tool, "--login", "--pin", PIN, "--input-file", tmp_path / "digest", "--output-file", tmp_path / "signature"],
        capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "PRIVYSEAL_CONFIG": str(configuration)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((tmp_path / "signature").read_bytes()) == 64
