"""A credential takes away from what its user may, and adds nothing."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from privyseal.access.decide import by_role, decide
from privyseal.access.scope import outside_core
from privyseal.model.access import AccessRule, Operation, Role, User
from privyseal.model.credentials import Credential, KnownCredential

NOW = datetime.now(UTC)
RULES = (AccessRule(1, "alice", 1, frozenset({Operation.KEY_SIGN}), "release*", NOW),)
SIGN = frozenset({Operation.KEY_SIGN})


def scoped(
    role: Role = Role.OPERATOR,
    operations: frozenset[Operation] | None = None,
    core: int | None = None,
    keys: str = "*",
) -> User:
    """The user alice as a credential makes her."""
    account = User(1, "alice", role, "", NOW)
    made = Credential("0123456789abcdef", "alice", "ci", operations, core, keys, b"", NOW, NOW + timedelta(days=1))
    return KnownCredential.of(made, account).user


def may(user: User, operation: Operation, core: int = 1, label: str = "release") -> bool:
    """The decision about a key."""
    return decide(user, operation, core, label, RULES if core == 1 else ()).allowed


@pytest.mark.parametrize(
    ("user", "allowed"),
    [
        (scoped(), True),
        (scoped(operations=SIGN), True),
        (scoped(operations=SIGN, core=1, keys="rel*"), True),
        (scoped(operations=frozenset({Operation.KEY_READ})), False),
        (scoped(operations=frozenset()), False),
        (scoped(core=2), False),
        (scoped(keys="test*"), False),
        (scoped(keys=""), False),
    ],
)
def test_each_part_of_a_scope_counts(user: User, *, allowed: bool) -> None:
    """What all parts cover is decided by the rules; what one leaves out is refused."""
    assert may(user, Operation.KEY_SIGN) is allowed


def test_signing_includes_seeing_the_key() -> None:
    """As in a rule."""
    assert may(scoped(operations=SIGN), Operation.KEY_READ)
    assert not may(scoped(operations=frozenset({Operation.AUDIT_READ})), Operation.KEY_READ)


def test_no_scope_widens_anything() -> None:
    """Whatever the role and the scope, what the user may not, the credential may not."""
    scopes = [None, frozenset(Operation), SIGN]
    for role, operations, core, keys, operation in product(Role, scopes, [None, 1], ["*", "release"], Operation):
        user = scoped(role, operations, core, keys)
        account = User(1, "alice", role, "", NOW)
        for label in ("release", "other"):
            assert may(account, operation, 1, label) or not may(user, operation, 1, label)
        assert by_role(account, operation).allowed or not by_role(user, operation).allowed


def test_a_scope_for_keys_covers_nothing_else() -> None:
    """What is about the whole appliance is wider than any core and any pattern."""
    reading = frozenset({Operation.AUDIT_READ})
    assert by_role(scoped(Role.AUDITOR, reading), Operation.AUDIT_READ).allowed
    assert not by_role(scoped(Role.AUDITOR, reading, core=1), Operation.AUDIT_READ).allowed
    assert not by_role(scoped(Role.AUDITOR, reading, keys="a*"), Operation.AUDIT_READ).allowed


def test_administrators_name_their_operations() -> None:
    """A credential without any is worth nothing to one, and none manages users."""
    everything = frozenset(Operation)
    assert not any(by_role(scoped(Role.ADMINISTRATOR), operation).allowed for operation in Operation)
    assert by_role(scoped(Role.ADMINISTRATOR, everything), Operation.CORE_MANAGE).allowed
    assert not by_role(scoped(Role.ADMINISTRATOR, everything), Operation.USER_MANAGE).allowed


def test_a_core_out_of_reach_is_refused_at_its_door() -> None:
    """Before anything is looked up there, and with words that name the credential."""
    refusal = outside_core(scoped(core=2), 1)
    assert refusal is not None
    assert "0123456789abcdef" in refusal.reason
    assert outside_core(scoped(core=1), 1) is None
    assert outside_core(scoped(operations=SIGN), 1, Operation.KEY_IMPORT) is not None


def test_without_a_credential_no_core_is_shut() -> None:
    """What the user may is for the rules to say."""
    user = User(1, "alice", Role.OPERATOR, "", NOW)
    assert outside_core(user, 7, Operation.KEY_SIGN) is None
