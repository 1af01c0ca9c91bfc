"""What a running appliance has lost comes back out of a backup, and nothing else; a wrong file touches nothing."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from privyseal.store.store import head_revision
from support.appliance import PIN, Appliance
from support.backups import ALTERATIONS, altered, forged
from support.postgresql import PostgreSQL

PASSPHRASE = "what opens the safe"
HEADERS = {"Backup-Secret": base64.b64encode(PASSPHRASE.encode()).decode()}
SIGN = {"data": base64.b64encode(b"x").decode(), "pin": PIN}


def furnished(appliance: Appliance) -> Appliance:
    """With what can be lost: a core, users, a group, rules, keys with versions, tags, counted uses and a quorum."""
    passphrase = appliance.secret_file("passphrase", PASSPHRASE)
    appliance.cli("backup", "recipient", "add", "safe", "--passphrase-file", passphrase)
    appliance.api("PUT", "/cores/1", {"destroy_days": 0})
    appliance.api("POST", "/cores", {"name": "second", "destroy_days": 0})
    for user in ("alice", "bob"):
        appliance.add_user(user)
    appliance.api("POST", "/groups", {"name": "signers", "members": ["alice", "bob"]})
    appliance.api("POST", "/rules", {"group": "signers", "core": 1, "operations": ["key:sign"], "keys": "*"})
    appliance.add_rule("bob", core=2, operations=["key:read", "key:sign", "object:create", "object:destroy"])
    appliance.api("POST", "/cores/2/objects", {"class": "data", "label": "note", "value": "eA=="}, user="bob")
    appliance.add_rule("alice", "unrelated")
    for label in ("lost", "kept"):
        body = {"label": label, "type": "ec:P-256", "pin": PIN, "tags": ["paid", "team=web"], "policy": {"max_uses": 9}}
        appliance.api("POST", "/cores/1/keys", body)
        appliance.api("POST", f"/cores/1/keys/{label}/rotate", {"pin": PIN})
        assert sign(appliance, label).status_code == 200
    appliance.add_key("elsewhere", "ed25519", core=2)
    for operation, core, approver in (("key:export", 2, "alice"), ("key:policy", 2, "bob"), ("key:export", 1, "alice")):
        quorum = {"operation": operation, "core": core, "needed": 1, "approvers": [approver]}
        appliance.api("POST", "/quorums", quorum)
    return appliance


def sign(appliance: Appliance, label: str, core: int = 1, user: str = "bob") -> Any:
    """Try to sign."""
    return appliance.api("POST", f"/cores/{core}/keys/{label}/sign", SIGN, user=user, check=False)


def back_up(appliance: Appliance, name: str = "all.backup") -> Path:
    """A backup of all there is."""
    path = appliance.directory / name
    appliance.cli("backup", "create", "-o", path)
    return path


def merge(appliance: Appliance, content: bytes, *, user: str = "admin", **query: str) -> Any:
    """Ask for a merge over REST."""
    return appliance.api("POST", "/restore", user=user, check=False, content=content, headers=HEADERS, params=query)


def lose(appliance: Appliance) -> None:
    """Take away one key, the second core with its key, bob with his rules, and the group."""
    appliance.api("DELETE", "/cores/1/keys/lost?now=true")
    appliance.api("DELETE", "/cores/2/keys/elsewhere?now=true")
    note = appliance.api("GET", "/cores/2/objects").json()["objects"][0]
    appliance.api("DELETE", f"/cores/2/objects/{note['id']}", user="bob")
    appliance.api("DELETE", "/cores/2")
    appliance.api("DELETE", "/users/bob")
    appliance.api("DELETE", "/groups/signers")
    rule = next(one for one in appliance.api("GET", "/rules").json()["rules"] if one["keys"] == "unrelated")
    appliance.api("DELETE", f"/rules/{rule['number']}")


def public_key(appliance: Appliance, label: str) -> bytes:
    """The public half in PEM."""
    content: bytes = appliance.api("GET", f"/cores/1/keys/{label}/public.pem").content
    return content


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def emptied(
    request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance], postgresql: PostgreSQL
) -> tuple[Appliance, Path, bytes]:
    """An appliance that has lost things, its backup from before, and the lost key's public half."""
    words = () if request.param == "sqlite" else ("--database", postgresql.new_database())
    appliance = furnished(new_appliance("--workers", "2", *words))
    backup, public = back_up(appliance), public_key(appliance, "lost")
    lose(appliance)
    return appliance, backup, public


@pytest.mark.parametrize("how", ALTERATIONS)
def test_a_file_that_is_not_whole_touches_nothing(emptied: tuple[Appliance, Path, bytes], how: str) -> None:
    """It is refused, that is an event, and everything is as it was."""
    appliance, backup, _ = emptied
    before = state(appliance)
    answer = merge(appliance, altered(backup.read_bytes(), how))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:privyseal:problem:invalid-backup")
    event = appliance.api("GET", f"/audit/events?after={answer.json()['event'] - 1}&limit=1").json()["events"][0]
    assert (event["operation"], event["outcome"]) == ("appliance:merge", "refused")
    assert state(appliance) == before


def state(appliance: Appliance) -> list[Any]:
    """Everything that a merge could change."""
    paths = ("/cores", "/users", "/groups", "/rules", "/quorums", "/cores/1/keys")
    return [appliance.api("GET", path).json() for path in paths]


def test_what_is_missing_comes_back(emptied: tuple[Appliance, Path, bytes]) -> None:
    """First it only says what would; then keys sign with their PINs, and what was not lost with them stays away."""
    appliance, backup, public = emptied
    before = state(appliance)
    words = ("restore", backup, "--merge", "--passphrase-file", appliance.directory / "passphrase")
    foretold = appliance.cli_json(*words, "--dry-run")
    assert state(appliance) == before
    checkpoint = appliance.directory / "before.checkpoint"
    checkpoint.write_text(appliance.cli("audit", "checkpoint").stdout)
    done = appliance.cli_json(*words)
    assert foretold | {"merged": True} == done
    assert [key["label"] for key in done["keys"]] == ["lost", "elsewhere"]
    assert (done["cores"], done["users"], done["groups"]) == (["second"], ["bob"], ["signers"])
    assert [done[kind] for kind in ("members", "rules", "quorums", "objects")] == [2, 2, 2, 1]
    assert done["conflicts"] == []
    (note,) = appliance.api("GET", "/cores/2/objects", user="bob").json()["objects"]
    assert (note["label"], note["value"]) == ("note", "eA==")
    for label, core in (("lost", 1), ("elsewhere", 2)):
        assert sign(appliance, label, core).status_code == 200
    assert sign(appliance, "lost", user="alice").status_code == 200  # by the group
    assert sign(appliance, "unrelated", user="alice").status_code == 404
    assert public_key(appliance, "lost") == public
    assert not [one for one in appliance.api("GET", "/rules").json()["rules"] if one["keys"] == "unrelated"]
    tagged = appliance.api("GET", "/cores/1/keys", params={"tag": "team=web"}).json()["keys"]
    assert [(key["label"], key["version"]) for key in tagged] == [("kept", 2), ("lost", 2)]
    assert appliance.api("POST", "/cores/1/login", {"pin": PIN}, user="bob").json()["keys"] == 2
    events = appliance.api("GET", "/audit/events?limit=1000").json()["events"]
    (event,) = [one for one in events if one["operation"] == "appliance:merge" and one["outcome"] == "done"]
    assert "2 key(s): 1/lost, 2/elsewhere; 2 member(s); 2 rule(s); 2 quorum(s); 1 object(s)" in event["reason"]
    verify(appliance, checkpoint)
    again = appliance.cli(*words)
    assert "0 thing(s) came back" in again.stdout


def verify(appliance: Appliance, checkpoint: Path) -> None:
    """The record verifies offline, against a checkpoint from before."""
    key, export = appliance.directory / "audit.key", appliance.directory / "record"
    key.write_text(appliance.cli("audit", "key").stdout)
    export.unlink(missing_ok=True)
    appliance.cli("audit", "export", "-o", export)
    appliance.cli("audit", "verify", export, "--key", key, "--checkpoint", checkpoint)


def test_a_backup_of_another_appliance_is_refused(emptied: tuple[Appliance, Path, bytes]) -> None:
    """Also if it was sealed for our own recipient, whose public key is no secret."""
    appliance, _, _ = emptied
    before = state(appliance)
    answer = merge(appliance, forged(head_revision(), PASSPHRASE))
    assert (answer.status_code, "another appliance" in answer.json()["detail"]) == (422, True)
    assert state(appliance) == before


@pytest.fixture(scope="module")
def plain(new_appliance: Callable[..., Appliance]) -> tuple[Appliance, Path]:
    """An appliance and a backup of it, to be changed by each test in its own way."""
    appliance = furnished(new_appliance("--workers", "2"))
    return appliance, back_up(appliance)


def test_who_may_merge(plain: tuple[Appliance, Path]) -> None:
    """Administrators alone; the secret has to come along and be the right one; a person names what he wants."""
    appliance, backup = plain
    appliance.add_user("nightly", role="backup")
    content = backup.read_bytes()
    for user in ("alice", "nightly"):
        assert merge(appliance, content, user=user).status_code == 403
    assert merge(appliance, content, dry_run="true").json()["merged"] is False
    for secret, status, said in (
        (None, 422, "header is missing"),
        ("not base64!", 422, "not text in base64"),
        (base64.b64encode(b"\xff\xff").decode(), 422, "not text in base64"),
        (base64.b64encode(b"another passphrase").decode(), 422, "it was made for safe (passphrase)"),
    ):
        headers = {} if secret is None else {"Backup-Secret": secret}
        answer = appliance.api("POST", "/restore", check=False, content=content, headers=headers)
        assert answer.status_code == status
        assert said in answer.json()["detail"]
    for words in ((), ("--merge", "--data", "x"), ("--dry-run", "--data", "x"), ("--merge", "--database", "x")):
        done = appliance.cli("restore", backup, *words, "--passphrase-file", "none", check=False)
        assert (done.returncode, "say with --data DIR" in done.stderr) == (2, True)


def test_a_file_longer_than_any_other_message_is_taken_whole(plain: tuple[Appliance, Path]) -> None:
    """The end of a good backup is followed by 20 MiB of something else: that is said, and no connection cut."""
    appliance, backup = plain
    content = backup.read_bytes() + bytes(20 * 1024 * 1024)
    answer = merge(appliance, content)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:privyseal:problem:invalid-backup")


def test_what_cannot_come_back_is_named(plain: tuple[Appliance, Path]) -> None:
    """A label or a core that is taken by another now, an administrator, a key that was damaged before the backup."""
    appliance, _ = plain
    for label in ("taken", "broken"):
        appliance.add_key(label)
    appliance.add_user("second-admin", role="administrator")
    appliance.api("POST", "/cores", {"name": "third", "destroy_days": 0})
    appliance.add_key("inside", core=3)
    appliance.api("POST", "/cores", {"name": "fourth", "destroy_days": 0})
    appliance.add_key("guarded", core=4)
    quorum = {"operation": "key:sign", "core": 4, "needed": 1, "approvers": ["second-admin"]}
    appliance.api("POST", "/quorums", quorum)
    engine = create_engine(f"sqlite:///{appliance.data / 'privyseal.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE keys SET sealed = zeroblob(60) WHERE label = 'broken'"))
    engine.dispose()
    backup = back_up(appliance, "conflicts.backup")
    keys = [f"{path}?now=true" for path in ("1/keys/taken", "1/keys/broken", "3/keys/inside", "4/keys/guarded")]
    for path in (*keys, "3", "4"):
        appliance.api("DELETE", f"/cores/{path}")
    appliance.api("DELETE", "/users/second-admin")
    appliance.add_key("taken")
    new_core = appliance.api("POST", "/cores", {"name": "third"}).json()["number"]
    words = ("restore", backup, "--merge", "--passphrase-file", appliance.directory / "passphrase")
    done = appliance.cli(*words)
    assert "0 thing(s) came back" in done.stdout
    for said in (
        "core 3 'third' is another core here, so its keys and rules stay away",
        "user 'second-admin' was an administrator; make such an account anew",
        "core 4 'fourth' stays away: approver 'second-admin' of its quorum for key:sign is not here",
        "key 'taken' in core 1: another key has this label now",
        "key 'broken' in core 1 does not open: it was damaged before",
    ):
        assert said in done.stderr
    assert appliance.api("GET", f"/cores/{new_core}/keys").json()["keys"] == []
    assert appliance.cli(*words).stderr == done.stderr  # the second time as well: nothing comes back unguarded
    appliance.add_user("second-admin")
    assert "3 thing(s) came back" in appliance.cli(*words).stdout  # the fourth core, its key and its quorum
    assert [one["label"] for one in appliance.api("GET", "/cores/4/keys").json()["keys"]] == ["guarded"]


def test_after_rotations_of_the_domain_key(plain: tuple[Appliance, Path]) -> None:
    """A key of a backup that was made before comes back under the domain key of today, and outlives the next one."""
    appliance, backup = plain
    appliance.cli("domain-key", "rotate")
    appliance.api("DELETE", "/cores/2/keys/elsewhere?now=true")
    assert [key["label"] for key in merge(appliance, backup.read_bytes()).json()["keys"]] == ["elsewhere"]
    appliance.cli("domain-key", "rotate")
    appliance.stop()
    appliance.start()
    assert sign(appliance, "elsewhere", 2).status_code == 200


@pytest.mark.parametrize("operation", ["user:create", "core:create", "group:create"])
def test_several_people_may_have_to_agree(plain: tuple[Appliance, Path], operation: str) -> None:
    """Whoever guards the making of users guards this as well: a user could come back. Once approved it is done."""
    appliance, backup = plain
    content = backup.read_bytes()
    approver = appliance.add_user(f"approver-of-{operation.partition(':')[0]}s", role="administrator")
    appliance.api("DELETE", "/cores/2/keys/elsewhere?now=true")
    quorum = {"operation": operation, "needed": 1, "approvers": [approver]}
    number = appliance.api("POST", "/quorums", quorum).json()["number"]
    answer = merge(appliance, content)
    assert answer.json()["type"] == "urn:privyseal:problem:approval-needed"
    assert merge(appliance, content, dry_run="true").status_code == 200
    waiting = appliance.api("GET", f"/approvals/{answer.json()['approval']}", user=approver).json()
    assert "2/elsewhere" in str(waiting)
    appliance.api("POST", f"/approvals/{waiting['number']}/approve", user=approver)
    assert merge(appliance, content).json()["merged"] is True
    assert sign(appliance, "elsewhere", 2).status_code == 200
    assert appliance.api("GET", f"/approvals/{waiting['number']}").json()["state"] == "used"
    ending = appliance.api("DELETE", f"/quorums/{number}", check=False).json()["approval"]
    appliance.api("POST", f"/approvals/{ending}/approve", user=approver)
    appliance.api("DELETE", f"/quorums/{number}")
