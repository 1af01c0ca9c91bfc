"""Decisions: nothing without a rule, administrators never sign, and every verdict says why."""

import fnmatch
import re
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.decide import by_role, decide, missing_entry, missing_rule
from privyseal.access.patterns import pattern
from privyseal.model.access import RULE_OPERATIONS, AccessRule, Operation, Role, Selector, User
from privyseal.store.times import now

READ, SIGN = Operation.KEY_READ, Operation.KEY_SIGN
GENERATE, DESTROY = Operation.KEY_GENERATE, Operation.KEY_DESTROY
OBJECTS = (Operation.OBJECT_CREATE, Operation.OBJECT_DESTROY, Operation.OBJECT_READ)
KEY_ID = "f90fb8e79e60a1b2"
MANAGING = {Operation.CORE_MANAGE, Operation.RULE_MANAGE, Operation.USER_MANAGE}


def user(role: Role = Role.OPERATOR) -> User:
    """Alice in a role."""
    return User(1, "alice", role, "hash", now())


def rule(keys: str, *operations: Operation, number: int = 7) -> AccessRule:
    """A rule of alice's in core 1."""
    return AccessRule(number, "alice", 1, frozenset(operations), keys, now())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", RULE_OPERATIONS)
def test_without_a_rule(role: Role, operation: Operation) -> None:
    """Administrators see, make, take in, manage and destroy keys and objects; auditors see them; nobody uses keys."""
    managed = {READ, GENERATE, DESTROY, Operation.KEY_IMPORT, Operation.KEY_MANAGE, *OBJECTS}
    allowed = {Role.ADMINISTRATOR: managed, Role.AUDITOR: {READ, Operation.OBJECT_READ}}.get(role, set())
    assert decide(user(role), operation, 1, "release", []).allowed is (operation in allowed)


def test_objects_go_with_keys() -> None:
    """Any right for a label shows the objects of that label; a right for objects shows no key."""
    signs, keeps = [rule("web*", SIGN)], [rule("web*", Operation.OBJECT_CREATE)]
    assert decide(user(), Operation.OBJECT_READ, 1, "web", signs).allowed
    assert not decide(user(), Operation.OBJECT_READ, 1, "other", signs).allowed
    assert not decide(user(), Operation.OBJECT_CREATE, 1, "web", signs).allowed
    assert not decide(user(), READ, 1, "web", keeps).allowed
    assert "with object 'other'" in decide(user(), Operation.OBJECT_CREATE, 1, "other", keeps).reason


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", Operation)
def test_managing_goes_by_role(role: Role, operation: Operation) -> None:
    """Administrators manage, auditors read the record with them; the reason names role and operation."""
    decision = by_role(user(role), operation)
    if operation in MANAGING:
        assert decision.allowed is (role is Role.ADMINISTRATOR)
    if operation is Operation.AUDIT_READ:
        assert decision.allowed is (role in {Role.ADMINISTRATOR, Role.AUDITOR})
    assert role.value in decision.reason
    assert operation.value in decision.reason


@pytest.mark.parametrize(
    ("granted", "asked", "allowed"),
    [
        (SIGN, SIGN, True),
        (SIGN, READ, True),
        (READ, READ, True),
        (READ, SIGN, False),
        (GENERATE, READ, True),
        (GENERATE, SIGN, False),
        (DESTROY, READ, True),
        (SIGN, DESTROY, False),
    ],
)
def test_what_a_rule_covers(granted: Operation, asked: Operation, allowed: bool) -> None:  # noqa: FBT001
    """Its own operations, and reading with any of them."""
    assert decide(user(), asked, 1, "release", [rule("release", granted)]).allowed is allowed


def test_the_first_rule_that_fits_is_named() -> None:
    """In the reason and by its number."""
    rules = [rule("test*", SIGN, number=1), rule("release", READ, number=2), rule("rel*", SIGN, number=3)]
    decision = decide(user(), SIGN, 1, "release", rules)
    assert (decision.allowed, decision.rule, decision.reason) == (True, 3, "rule 3 allows key:sign")


def test_a_refusal_names_everything_and_the_way_out() -> None:
    """User, core, key and operation; and the command."""
    decision = decide(user(), SIGN, 4, "release", [rule("test*", SIGN)])
    assert decision.reason == "no access rule lets user 'alice' do key:sign with key 'release' in core 4"
    assert decision.missing_rule == (
        "privyseal rule create --user alice --core 4 --operations key:sign --keys 'release'"
    )


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OPERATOR])
def test_no_rule_helps_other_roles(role: Role) -> None:
    """So none is said to be missing."""
    decision = decide(user(role), SIGN, 1, "release", [])
    assert (decision.allowed, decision.missing_rule) == (False, None)


@given(st.text().filter(lambda text: "*" not in text))
def test_the_missing_rule_is_one_command(keys: str) -> None:
    """Whatever the key is called: a shell reads the words that were meant, and the name as one."""
    words = shlex.split(missing_rule("alice", SIGN, 1, keys) or "")
    assert words == [
        *["privyseal", "rule", "create", "--user", "alice", "--core", "1", "--operations", "key:sign", "--keys"],
        keys,
    ]


@given(st.text(), st.text())
def test_no_rule_is_suggested_for_a_pattern_that_the_asker_chose(before: str, after: str) -> None:
    """Who pastes the command would give more than one key; where no key was named, we say which rule lets one in."""
    assert missing_rule("alice", SIGN, 1, f"{before}*{after}") is None
    assert decide(user(), SIGN, 1, f"{before}*{after}", []).missing_rule is None
    assert missing_entry("alice", SIGN, 1).endswith("--user alice --core 1 --operations key:sign --keys '*'")


def test_the_missing_rule_for_an_id() -> None:
    """A label never looks like an id, so a rule by label would give nothing."""
    command = missing_rule("alice", SIGN, 1, KEY_ID)
    assert command == f"privyseal rule create --user alice --core 1 --operations key:sign --key-id '{KEY_ID}'"


@pytest.mark.parametrize(
    ("selector", "value", "allowed"),
    [
        (Selector.LABEL, "rel*", True),
        (Selector.LABEL, KEY_ID, False),
        (Selector.LABEL, "env=prod", False),
        (Selector.ID, KEY_ID, True),
        (Selector.ID, "release", False),
        (Selector.TAG, "env=prod", True),
        (Selector.TAG, "beta", True),
        (Selector.TAG, "env", False),
        (Selector.TAG, "prod", False),
        (Selector.TAG, "release", False),
    ],
)
def test_each_selector_looks_at_its_own(selector: Selector, value: str, allowed: bool) -> None:  # noqa: FBT001
    """A label that reads like a tag or an id is none."""
    one = replace(rule(value, SIGN), selector=selector)
    assert decide(user(), SIGN, 1, "release", [one], KEY_ID, ("beta", "env=prod")).allowed is allowed


def test_an_id_rule_says_nothing_about_a_key_to_come() -> None:
    """A key that is about to be made has no id yet."""
    one = replace(rule(KEY_ID, GENERATE), selector=Selector.ID)
    assert not decide(user(), GENERATE, 1, "release", [one]).allowed


def test_a_rule_of_a_group_is_named_with_it() -> None:
    """So that whoever wants to change it knows where to look."""
    decision = decide(user(), SIGN, 1, "release", [replace(rule("*", SIGN), user=None, group="signers")])
    assert (decision.rule, decision.group) == (7, "signers")
    assert decision.reason == "rule 7 of group 'signers' allows key:sign"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OPERATOR])
@pytest.mark.parametrize("operation", RULE_OPERATIONS)
def test_other_roles_are_not_helped_by_a_rule_either(role: Role, operation: Operation) -> None:
    """An administrator who makes a rule for himself still cannot sign."""
    allowed = decide(user(role), operation, 1, "release", [rule("*", *RULE_OPERATIONS)]).allowed
    assert allowed is decide(user(role), operation, 1, "release", []).allowed


OPERATIONS = st.sets(st.sampled_from(RULE_OPERATIONS), min_size=1)
NAMES = st.sampled_from(["a", "b", "a*", "*", "aa", "ab", KEY_ID, "x=1", "x"])
RULES = st.builds(
    AccessRule,
    number=st.integers(1, 9),
    user=st.just("alice"),
    core=st.just(1),
    operations=OPERATIONS.map(frozenset),
    keys=NAMES,
    created=st.just(now()),
    selector=st.sampled_from(Selector),
    group=st.sampled_from([None, "signers"]),
)


@given(
    role=st.sampled_from(Role),
    operation=st.sampled_from(RULE_OPERATIONS),
    label=NAMES,
    tags=st.lists(NAMES, max_size=3),
    rules=st.lists(RULES, max_size=4),
    more=RULES,
    place=st.integers(0, 4),
)
def test_adding_a_rule_never_takes_away(
    *,
    role: Role,
    operation: Operation,
    label: str,
    tags: list[str],
    rules: list[AccessRule],
    more: AccessRule,
    place: int,
) -> None:
    """Wherever it stands; and what is allowed names a rule that is there, or a role."""
    before = decide(user(role), operation, 1, label, rules, KEY_ID, tags)
    wider = [*rules[:place], more, *rules[place:]]
    after = decide(user(role), operation, 1, label, wider, KEY_ID, tags)
    assert after.allowed or not before.allowed
    if after.allowed and role is Role.OPERATOR:
        assert (after.rule, after.group) in {(one.number, one.group) for one in wider}
        assert after.missing_rule is None


TEXTS = st.text(alphabet="ab*.?[](\\\n$", max_size=8)


@given(keys=TEXTS, label=TEXTS)
def test_only_the_star_is_special(keys: str, label: str) -> None:
    """As in a shell's pattern where everything else is quoted."""
    quoted = re.sub(r"([\[?])", r"[\1]", keys)
    assert (pattern(keys).fullmatch(label) is not None) is fnmatch.fnmatchcase(label, quoted)


@given(st.text())
def test_a_star_alone_fits_everything_and_a_label_itself(label: str) -> None:
    """Nothing is too odd to be named."""
    assert pattern("*").fullmatch(label)
    assert pattern(label.replace("*", "")).fullmatch(label.replace("*", ""))


def test_an_empty_pattern_fits_nothing_that_has_a_name() -> None:
    """The empty case says no."""
    assert not pattern("").fullmatch("release")


def test_many_stars_are_decided_at_once() -> None:
    """Who writes a rule with many stars does not stop a worker."""
    assert not pattern("*a" * 20).fullmatch("b" * 128)


def test_a_user_prints_no_password() -> None:
    """Not even its hash."""
    assert repr(user()) == "User('alice', operator)"
