"""How long to wait after wrong attempts, and when an administrator is needed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.attempts import (
    PASSWORD_LIMITS,
    PIN_LIMITS,
    AttemptLimits,
    password_subject,
    pin_subjects,
    unknown_subject,
)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (9, 16), (13, 256), (14, 300), (10**6, 300)]
)
def test_delays_grow_from_the_fifth(failures: int, seconds: int) -> None:
    """They double up to five minutes."""
    assert PIN_LIMITS.wait(failures) == PASSWORD_LIMITS.wait(failures) == seconds


def test_pins_lock_at_the_tenth_and_passwords_never() -> None:
    """Anybody who reaches the port could shut an administrator out."""
    assert [PIN_LIMITS.locks(failures) for failures in (9, 10, 11)] == [False, True, True]
    assert not PASSWORD_LIMITS.locks(10**6)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_failures_never_wait_less(some: int, more: int) -> None:
    """Whatever the limits."""
    limits = AttemptLimits(delay_from=3, longest=60)
    assert limits.wait(some) <= limits.wait(some + more) <= 60


def test_what_an_attempt_counts_against() -> None:
    """The user in the core and the key; a login only the user; cores are apart."""
    assert pin_subjects("alice", 1, "f90fb8e79e60a1b2") == ("pin:user:alice:1", "pin:key:f90fb8e79e60a1b2:1")
    assert pin_subjects("alice", 2, None) == ("pin:user:alice:2",)
    assert password_subject("alice") == "password:alice"


def test_a_name_that_no_user_has_is_kept_as_a_hash() -> None:
    """Of one length whatever was typed, another for each appliance, and never like a user's."""
    typed = "my password, in the wrong field" * 1000
    subject = unknown_subject(typed, b"salt")
    assert len(subject) == len("unknown:") + 32
    assert subject == unknown_subject(typed, b"salt")
    assert (
        len({subject, unknown_subject(typed, b"other"), unknown_subject("my", b"salt"), unknown_subject("", b"")}) == 4
    )
    assert "password" not in subject
