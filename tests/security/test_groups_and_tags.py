"""Groups, key tags and the rules that name them, with the real processes: who gets in, and who no longer does."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from support.appliance import PIN, Appliance

DIGEST = base64.b64encode(hashlib.sha256(b"message").digest()).decode()
BODY = {"digest": DIGEST, "hash": "SHA-256"}


@pytest.fixture(scope="module")
def place(new_appliance: Callable[..., Appliance]) -> Appliance:
    """Two workers, core 2 whose keys need no PIN, and the operators alice and bob."""
    appliance = new_appliance("--workers", "2")
    appliance.api("POST", "/cores", {"name": "second", "pin_required": False})
    for name in ("alice", "bob"):
        appliance.add_user(name)
    appliance.add_user("auditor", role="auditor")
    return appliance


def make(place: Appliance, label: str, *tags: str, user: str = "admin") -> dict[str, Any]:
    """Make a key with tags."""
    body = {"label": label, "type": "ec:P-256", "tags": tags}
    made: dict[str, Any] = place.api("POST", "/cores/2/keys", body, user=user).json()
    return made


def rule(place: Appliance, *operations: str, **rest: Any) -> dict[str, Any]:
    """Make a rule in core 2."""
    made: dict[str, Any] = place.api("POST", "/rules", {"core": 2, "operations": operations, **rest}).json()
    return made


def sign(place: Appliance, key: str, user: str = "alice") -> int:
    """The status of an attempt to sign."""
    return place.api("POST", f"/cores/2/keys/{key}/sign", BODY, user=user, check=False).status_code


def explained(place: Appliance, user: str, operation: str, key: str, *, asks: str = "admin") -> dict[str, Any]:
    """The answer to "why (not)?"."""
    query = {"user": user, "core": "2", "operation": operation, "key": key}
    answer: dict[str, Any] = place.api("GET", "/access/explain", params=query, user=asks).json()
    return answer


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    assert answer.status_code == status, answer.text
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:privyseal:problem:{kind}"
    return document


def labels(place: Appliance, user: str = "admin", **query: str) -> list[str]:
    """The labels of a list of keys."""
    return [key["label"] for key in place.api("GET", "/cores/2/keys", params=query, user=user).json()["keys"]]


def test_a_group_lets_its_members_in_and_out_again(place: Appliance) -> None:
    """From the next answer on, in every worker; the reason names the rule and the group."""
    make(place, "grouped")
    assert place.api("POST", "/groups", {"name": "signers", "members": ["bob"]}).status_code == 201
    made = rule(place, "key:sign", group="signers", keys="grouped")
    assert (made["user"], made["group"], made["warnings"]) == (None, "signers", [])
    assert (sign(place, "grouped", "bob"), sign(place, "grouped")) == (200, 403)
    group = place.api("PUT", "/groups/signers/members/alice").json()
    assert group["members"] == ["alice", "bob"]
    assert place.api("PUT", "/groups/signers/members/alice").json()["members"] == ["alice", "bob"]
    assert [sign(place, "grouped") for _ in range(4)] == [200] * 4
    why = explained(place, "alice", "key:sign", "grouped")
    assert why["reason"] == f"rule {made['number']} of group 'signers' allows key:sign"
    assert (why["rule"], why["group"], why["missing_rule"]) == (made["number"], "signers", None)
    assert [one["number"] for one in place.api("GET", "/rules?user=alice", user="alice").json()["rules"]] == [
        made["number"]
    ]
    assert [one["name"] for one in place.api("GET", "/groups", user="alice").json()["groups"]] == ["signers"]
    place.api("DELETE", "/groups/signers/members/alice")
    assert [sign(place, "grouped") for _ in range(4)] == [403] * 4
    assert place.api("GET", "/groups", user="alice").json() == {"groups": []}
    assert place.api("GET", "/groups/signers").json()["members"] == ["bob"]
    place.api("DELETE", "/groups/signers")
    assert sign(place, "grouped", "bob") == 403
    assert place.api("GET", "/rules?group=signers").json() == {"rules": []}


def test_what_groups_refuse(place: Appliance) -> None:
    """Names that are taken, or that nobody has; each answer says what to type."""
    place.api("POST", "/groups", {"name": "taken"})
    problem(place.api("POST", "/groups", {"name": "taken"}, check=False), 409, "conflict")
    problem(place.api("POST", "/groups", {"name": "no spaces"}, check=False), 422, "invalid-body")
    for method, path, body in (
        ("POST", "/groups", {"name": "new", "members": ["nobody"]}),
        ("PUT", "/groups/taken/members/nobody", None),
        ("PUT", "/groups/none/members/alice", None),
        ("DELETE", "/groups/taken/members/alice", None),
        ("GET", "/groups/none", None),
        ("DELETE", "/groups/none", None),
        ("POST", "/rules", {"group": "none", "core": 2, "operations": ["key:sign"], "keys": "*"}),
    ):
        assert "privyseal " in problem(place.api(method, path, body, check=False), 404, "not-found")["detail"]
    place.api("DELETE", "/groups/taken")


def test_a_deleted_user_leaves_its_groups(place: Appliance) -> None:
    """A namesake made later is not in them."""
    place.add_user("leaver")
    place.api("POST", "/groups", {"name": "left", "members": ["leaver"]})
    place.api("DELETE", "/users/leaver")
    place.add_user("leaver")
    assert place.api("GET", "/groups/left").json()["members"] == []
    place.api("DELETE", "/groups/left")


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": "a", "tag": "b", "user": "alice"},
        {"user": "alice"},
        {"keys": "a"},
        {"keys": "a", "user": "alice", "group": "g"},
        {"tag": "two words", "user": "alice"},
        {"tag": "*", "user": "alice"},
        {"key_id": "release", "user": "alice"},
        {"keys": "", "user": "alice"},
    ],
)
def test_a_rule_has_one_subject_and_one_selector(place: Appliance, wrong: dict[str, Any]) -> None:
    """Else nobody could say what it gives."""
    body = {"core": 2, "operations": ["key:sign"], **wrong}
    problem(place.api("POST", "/rules", body, check=False), 422, "invalid-body")


def test_a_rule_by_id_or_tag(place: Appliance) -> None:
    """It fits that key and no other; a tag that comes later makes it fit, one that goes ends that."""
    first, second = make(place, "first", "env=prod", "beta"), make(place, "second")
    assert first["tags"] == ["beta", "env=prod"]
    by_tag = rule(place, "key:sign", user="alice", tag="env=prod")
    by_id = rule(place, "key:manage", user="alice", key_id=second["id"])
    assert (by_tag["tag"], by_tag["keys"], by_tag["warnings"]) == ("env=prod", None, [])
    assert (by_id["key_id"], by_id["keys"], by_id["warnings"]) == (second["id"], None, [])
    assert (sign(place, "first"), sign(place, first["id"])) == (200, 200)
    assert sign(place, "second") == 403
    assert labels(place, "alice") == ["first", "second"]
    place.api("PUT", "/cores/2/keys/second", {"add_tags": ["env=prod"]})
    assert sign(place, "second") == 200
    assert labels(place, tag="env=prod") == ["first", "second"]
    assert labels(place, tag="env=prod", label="second") == ["second"]
    assert labels(place, tag="env=prod", label="grouped") == []
    assert labels(place, tag="env") == []
    place.api("PUT", "/cores/2/keys/second", {"remove_tags": ["env"]})
    assert [sign(place, "second") for _ in range(4)] == [403] * 4
    assert explained(place, "alice", "key:sign", second["id"])["missing_rule"].endswith(f"--key-id '{second['id']}'")
    place.api("PUT", f"/rules/{by_tag['number']}", {"tag": "beta"})
    assert (sign(place, "first"), explained(place, "alice", "key:sign", "first")["rule"]) == (200, by_tag["number"])
    for one in (by_tag, by_id):
        place.api("DELETE", f"/rules/{one['number']}")


def test_pages_of_tagged_keys(place: Appliance) -> None:
    """Each key once and in order, for whoever sees them by tag alone, with and without the filter."""
    made = rule(place, "key:read", user="bob", tag="paged")
    wanted = [make(place, f"paged {number}", *(["paged"] if number % 2 else []))["label"] for number in range(7)][1::2]
    for more in ({}, {"tag": "paged"}):
        seen, cursor = [], 0
        while cursor is not None:
            query = {"limit": 2, "cursor": cursor, **more}
            page = place.api("GET", "/cores/2/keys", params=query, user="bob").json()
            assert len(page["keys"]) <= 2
            seen, cursor = seen + [key["label"] for key in page["keys"]], page["next"]
        assert seen == wanted
    place.api("DELETE", f"/rules/{made['number']}")


def test_label_and_tags_change_and_the_id_stays(place: Appliance) -> None:
    """A new value takes the place of the old one; the record says what was and what is."""
    key = make(place, "before", "env=test", "old")
    changes = {"label": "after", "add_tags": ["env=prod"], "remove_tags": ["old", "none"]}
    changed = place.api("PUT", "/cores/2/keys/before", changes).json()
    assert (changed["id"], changed["label"], changed["tags"]) == (key["id"], "after", ["env=prod"])
    assert place.api("GET", "/cores/2/keys/before", check=False).status_code == 404
    assert place.api("GET", f"/cores/2/keys/{key['id']}").json() == changed
    same = place.api("PUT", "/cores/2/keys/after", {}).json()
    assert same == changed
    events, after = [], 0
    while after is not None:
        page = place.api("GET", f"/audit/events?after={after}&limit=1000").json()
        events, after = events + page["events"], page["next"]
    reasons = [one["reason"] for one in events if one["operation"] == "key:update" and one["key"] == key["id"]]
    assert reasons[0] == "label 'before' -> 'after', tags env=test,old -> env=prod"


@pytest.mark.parametrize(
    ("changes", "status", "kind"),
    [
        ({"label": "taken"}, 409, "conflict"),
        ({"label": "a*"}, 422, "invalid-body"),
        ({"add_tags": ["not a tag"]}, 422, "invalid-body"),
        ({"add_tags": ["a=1", "a=2"]}, 422, "invalid-body"),
        ({"add_tags": [f"t{number}" for number in range(17)]}, 422, "invalid-body"),
        ({"remove_tags": ["*"]}, 422, "invalid-body"),
    ],
)
def test_changes_that_are_refused(place: Appliance, changes: dict[str, Any], status: int, kind: str) -> None:
    """And the key is as it was."""
    if "taken" not in labels(place):
        make(place, "taken")
        make(place, "changing")
    problem(place.api("PUT", "/cores/2/keys/changing", changes, check=False), status, kind)
    assert place.api("GET", "/cores/2/keys/changing").json()["tags"] == []


def test_nobody_gives_himself_more_by_a_label_or_tag(place: Appliance) -> None:
    """Who manages `test*` and signs what is tagged `live` can neither tag a test key nor take another's name."""
    make(place, "test 1")
    made = [
        rule(place, "key:manage", user="alice", keys="test*"),
        rule(place, "key:sign", user="alice", tag="live"),
    ]
    path = "/cores/2/keys/test 1"
    gain = problem(place.api("PUT", path, {"add_tags": ["live"]}, user="alice", check=False), 403, "access-refused")
    assert "key:sign" in gain["detail"]
    leave = problem(place.api("PUT", path, {"label": "release"}, user="alice", check=False), 403, "access-refused")
    assert leave["missing_rule"].endswith("--operations key:manage --keys 'release'")
    kept = place.api("PUT", path, {"label": "test 2", "add_tags": ["team=red"]}, user="alice").json()
    assert (kept["label"], kept["tags"]) == ("test 2", ["team=red"])
    for one in made:
        place.api("DELETE", f"/rules/{one['number']}")


def test_an_administrator_does_not_sign_by_a_rule(place: Appliance) -> None:
    """Whoever made it; and the answer to making it says so."""
    make(place, "not for admin")
    made = rule(place, "key:sign", user="admin", keys="not for admin")
    assert made["warnings"] == ["user 'admin' has role administrator, and rules are for operators"]
    assert sign(place, "not for admin", "admin") == 403
    place.api("DELETE", f"/rules/{made['number']}")


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ({"keys": "nothing like*"}, "no key in core 2 has a label like 'nothing like*' now"),
        ({"keys": "**"}, "this is every key in core 2, also those that are made later"),
        ({"tag": "nowhere"}, "no key in core 2 has the tag 'nowhere' now"),
        ({"key_id": "0" * 16}, "no key in core 2 has the id '0000000000000000' now"),
    ],
)
def test_what_a_rule_gives_is_said(place: Appliance, rest: dict[str, str], words: str) -> None:
    """Nothing now, or everything; not where the rule is for keys that are about to be made."""
    made = rule(place, "key:sign", user="alice", **rest)
    assert [one.startswith(words) for one in made["warnings"]] == [True]
    assert "warnings" not in place.api("GET", f"/rules/{made['number']}").json()
    making = place.api("PUT", f"/rules/{made['number']}", {"operations": ["key:generate"]}).json()
    assert len(making["warnings"]) == (1 if rest.get("keys") == "**" else 0)
    place.api("DELETE", f"/rules/{made['number']}")


def test_a_group_without_members_is_warned_about(place: Appliance) -> None:
    """A rule for it gives nobody anything."""
    place.api("POST", "/groups", {"name": "empty"})
    made = rule(place, "key:generate", group="empty", keys="x")
    assert made["warnings"] == ["group 'empty' has no members; see `privyseal group add empty USER`"]
    place.api("DELETE", "/groups/empty")


def test_a_rule_by_tag_lets_keys_with_it_be_made(place: Appliance) -> None:
    """With the tag, and not without."""
    made = rule(place, "key:generate", user="bob", tag="team=bob")
    body = {"label": "bobs", "type": "ec:P-256"}
    problem(place.api("POST", "/cores/2/keys", body, user="bob", check=False), 403, "access-refused")
    assert make(place, "bobs", "team=bob", user="bob")["operations"] == ["key:generate", "key:read", "verify"]
    place.api("DELETE", f"/rules/{made['number']}")


def test_the_answer_to_why_hides_what_may_not_be_known(place: Appliance) -> None:
    """A hidden key and none get the same words, and a pattern in the question is never suggested."""
    hidden = make(place, "hidden", "secret-tag")
    made = rule(place, "key:sign", user="alice", keys="visible")
    there = explained(place, "alice", "key:sign", hidden["id"], asks="alice")
    absent = explained(place, "alice", "key:sign", "f" * 16, asks="alice")
    assert there["reason"].replace(hidden["id"], "f" * 16) == absent["reason"]
    assert explained(place, "alice", "key:sign", "hid*")["missing_rule"] is None
    refused = place.api("POST", "/cores/2/keys/*/sign", BODY, user="alice", check=False)
    document = problem(refused, 404, "key-not-found")
    assert "missing_rule" not in document
    assert "privyseal rule" not in document["detail"]
    assert explained(place, "auditor", "key:sign", "hidden")["missing_rule"] is None
    place.api("DELETE", f"/rules/{made['number']}")
    bare = problem(place.api("POST", "/cores/2/keys/*/sign", BODY, user="alice", check=False), 403, "access-refused")
    assert "missing_rule" not in bare


def test_a_login_counts_keys_that_are_seen_by_tag(place: Appliance) -> None:
    """A PIN opens them as it opens those seen by label."""
    place.api("POST", "/cores/2/keys", {"label": "pinned", "type": "ec:P-256", "pin": PIN, "tags": ["pinned"]})
    made = rule(place, "key:sign", user="alice", tag="pinned")
    assert place.api("POST", "/cores/2/login", {"pin": PIN}, user="alice").json()["keys"] == 1
    place.api("DELETE", f"/rules/{made['number']}")


def test_an_approval_guards_who_joins_a_group_and_how_a_key_is_called(place: Appliance) -> None:
    """Else either would go round the approval of a rule."""
    place.api("POST", "/groups", {"name": "guarded"})
    make(place, "guarded")
    made = [
        place.api("POST", "/quorums", {"approvers": ["bob"], "needed": 1, **what}).json()["number"]
        for what in ({"operation": "group:add-member"}, {"operation": "key:update", "core": 2, "key": "guarded"})
    ]
    for path, body in (("/groups/guarded/members/alice", None), ("/cores/2/keys/guarded", {"label": "free"})):
        asked = problem(place.api("PUT", path, body, check=False), 403, "approval-needed")["approval"]
        place.api("POST", f"/approvals/{asked}/approve", user="bob")
        place.api("PUT", path, body)
    for number in made:
        asked = problem(place.api("DELETE", f"/quorums/{number}", check=False), 403, "approval-needed")["approval"]
        place.api("POST", f"/approvals/{asked}/approve", user="bob")
        place.api("DELETE", f"/quorums/{number}")
    place.api("DELETE", "/groups/guarded")


def test_a_group_is_made_once_however_often_it_is_asked_for(place: Appliance) -> None:
    """A repeated request gets the first answer; so does one for a rule, with its warnings."""
    for path, body in (
        ("/groups", {"name": "once", "members": ["bob"]}),
        ("/rules", {"user": "bob", "core": 2, "operations": ["key:sign"], "tag": "nothing"}),
    ):
        header = {"Idempotency-Key": f"again-and-again-{path[1:]}"}
        first = place.api("POST", path, body, headers=header)
        second = place.api("POST", path, body, headers=header)
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"
    place.api("DELETE", "/groups/once")
