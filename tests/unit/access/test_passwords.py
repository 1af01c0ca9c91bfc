"""Passwords are verified once and recognised after that; headers are read or refused, whatever they are."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.passwords import (
    Basic,
    Recognised,
    check_strength,
    hash_password,
    parse_basic,
    verify_password,
)
from privyseal.errors import InvalidRequestError

NAMES = st.text().filter(lambda name: ":" not in name)


def header(text: str) -> str:
    """What a client sends for `name:password`."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@given(name=NAMES, password=st.text())
def test_a_header_is_read(name: str, password: str) -> None:
    """RFC 7617: the first colon ends the name, and the password may hold more of them, in UTF-8."""
    assert parse_basic(header(f"{name}:{password}")) == Basic(name, password)


@given(st.text() | st.text().map("Basic ".__add__) | st.binary().map(lambda text: "Basic " + text.decode("latin-1")))
def test_a_header_that_is_something_else(text: str) -> None:
    """It is nobody's, and nothing fails."""
    basic = parse_basic(text)
    assert basic is None or text.lower().startswith("basic ")


def test_a_header_prints_nothing() -> None:
    """Neither name nor password."""
    assert repr(Basic("alice", "secret")) == "Basic(…)"


def test_a_password_is_verified() -> None:
    """The right one only; two hashes of one password differ; an unknown user has none that is right."""
    stored = hash_password("a long password")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert verify_password("a long password", stored)
    assert not verify_password("a long passwort", stored)
    assert not verify_password("a long password", None)
    assert hash_password("a long password") != stored


@pytest.mark.parametrize(("length", "allowed"), [(11, False), (12, True), (256, True), (257, False)])
def test_a_password_has_12_to_256_characters(length: int, allowed: bool) -> None:  # noqa: FBT001
    """And the refusal does not repeat it."""
    if allowed:
        check_strength("x" * length)
        return
    with pytest.raises(InvalidRequestError) as error:
        check_strength("x" * length)
    assert "xx" not in str(error.value)


def test_a_header_is_recognised_with_what_it_was_verified_against() -> None:
    """The caller compares it with the present one, so that a changed password is not recognised."""
    known = Recognised()
    known.remember(b"header", "alice", "stored")
    assert known.lookup(b"header") == ("alice", "stored")
    assert known.lookup(b"other") is None
    assert Recognised().lookup(b"header") is None


def test_too_many_headers_forget_all() -> None:
    """The memory is bounded."""
    known = Recognised(size=2)
    for name in (b"a", b"b", b"c"):
        known.remember(name, "alice", "stored")
    assert [known.lookup(name) is None for name in (b"a", b"b", b"c")] == [True, True, False]


def test_memory_holds_no_header() -> None:
    """Only keyed hashes."""
    known = Recognised()
    known.remember(b"header", "alice", "stored")
    assert b"header" not in known._known
