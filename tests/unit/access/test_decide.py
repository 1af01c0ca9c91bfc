"""Decisions: nothing without a rule, administrators never sign, and every verdict says why."""

import fnmatch
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.decide import by_role, decide, missing_rule
from privyseal.access.patterns import pattern
from privyseal.model.access import RULE_OPERATIONS, AccessRule, Operation, Role, User
from privyseal.store.times import now

READ, SIGN = Operation.KEY_READ, Operation.KEY_SIGN
GENERATE, DESTROY = Operation.KEY_GENERATE, Operation.KEY_DESTROY
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
    """Administrators see, make, take in, manage and destroy keys; auditors see them; nobody signs or exports."""
    managed = {READ, GENERATE, DESTROY, Operation.KEY_IMPORT, Operation.KEY_MANAGE}
    allowed = {Role.ADMINISTRATOR: managed, Role.AUDITOR: {READ}}.get(role, set())
    assert decide(user(role), operation, 1, "release", []).allowed is (operation in allowed)


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


@given(st.text())
def test_the_missing_rule_is_one_command(keys: str) -> None:
    """Whatever the key is called: a shell reads the words that were meant, and the name as one."""
    words = shlex.split(missing_rule("alice", SIGN, 1, keys))
    assert words == [
        *["privyseal", "rule", "create", "--user", "alice", "--core", "1", "--operations", "key:sign", "--keys"],
        keys,
    ]


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
