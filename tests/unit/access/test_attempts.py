"""How long to wait after wrong attempts, and when an administrator is needed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.attempts import (
    PASSWORD_LIMITS,
    AttemptLimits,
    core_of,
    password_subject,
    pin_limits,
    pin_subjects,
    unknown_subject,
)
from privyseal.model.cores import Core

CORE = Core(1, "core1", True, b"salt", "1", "", "", "", 1, datetime(2026, 1, 1, tzinfo=UTC))  # noqa: FBT003 - as rows are


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (4, 0), (5, 1), (6, 2), (7, 4), (9, 16), (13, 256), (14, 300), (10**6, 300)]
)
def test_delays_grow_from_the_fifth(failures: int, seconds: int) -> None:
    """They double up to five minutes."""
    assert pin_limits(CORE).wait(failures) == PASSWORD_LIMITS.wait(failures) == seconds


def test_pins_lock_at_the_tenth_and_passwords_never() -> None:
    """Anybody who reaches the port could shut an administrator out."""
    assert [pin_limits(CORE).locks(failures) for failures in (9, 10, 11)] == [False, True, True]
    assert not PASSWORD_LIMITS.locks(10**6)


@pytest.mark.parametrize(("delay_from", "lock_at", "alone_from"), [(1, 100, 1), (100, 3, 3), (2, 2, 2)])
def test_each_core_says_for_itself(delay_from: int, lock_at: int, alone_from: int) -> None:
    """Whichever limit comes first, from there on attempts are tried one at a time."""
    limits = pin_limits(replace(CORE, pin_delay_from=delay_from, pin_lock_at=lock_at))
    assert (limits.wait(delay_from - 1), limits.wait(delay_from)) == (0, 1)
    assert (limits.locks(lock_at - 1), limits.locks(lock_at)) == (False, True)
    assert limits.one_at_a_time_from == alone_from


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_failures_never_wait_less(some: int, more: int) -> None:
    """Whatever the limits."""
    limits = AttemptLimits(delay_from=3, longest=60)
    assert limits.wait(some) <= limits.wait(some + more) <= 60


def test_what_an_attempt_counts_against() -> None:
    """The user in the core and the key; a login only the user; cores are apart."""
    assert pin_subjects("alice", 1, "f90fb8e79e60a1b2") == ("pin:user:alice:1", "pin:key:f90fb8e79e60a1b2:1")
    assert pin_subjects("alice", 2, None) == ("pin:user:alice:2",)
    assert [core_of(subject) for subject in pin_subjects("alice", 12, "f90fb8e79e60a1b2")] == [12, 12]
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
