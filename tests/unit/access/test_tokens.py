"""Tokens: what they look like, and what is told of one that is not right."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.access.tokens import bearer, check_form, digest_of, fits, id_of, new_token
from privyseal.errors import UnauthenticatedError
from privyseal.telemetry.logs import redacted


def test_a_token_is_what_the_reference_says() -> None:
    """Scanners find it, its form is right, and its hash proves it."""
    token = new_token()
    assert re.fullmatch(r"privyseal_[0-9a-f]{16}[0-9A-Za-z]{49}", token.text)
    assert id_of(token.text) == token.id
    assert fits(token.text, token.digest)
    assert token.text not in repr(token)
    check_form(token.text)


def test_tokens_differ() -> None:
    """No two share an id or a secret."""
    made = [new_token() for _ in range(100)]
    assert len({token.id for token in made}) == len({token.text[26:] for token in made}) == 100


@given(st.integers(min_value=0, max_value=74), st.sampled_from("0aZ-"))
def test_a_mistyped_character_is_told(place: int, char: str) -> None:
    """The checksum, the length or the beginning shows it, whichever character it is."""
    text = new_token().text
    wrong = text[:place] + char + text[place + 1 :]
    if wrong != text:
        with pytest.raises(UnauthenticatedError, match=r"mistyped|begins with"):
            check_form(wrong)


@pytest.mark.parametrize("length", [0, 9, 10, 26, 74])
def test_a_truncated_token_is_told(length: int) -> None:
    """So is one that was cut off when it was copied."""
    with pytest.raises(UnauthenticatedError, match=r"cut off|begins with"):
        check_form(new_token().text[:length])


def test_nothing_fits_no_credential() -> None:
    """Not even the token whose hash stands in for a missing one."""
    assert not fits(new_token().text, None)
    assert not fits(new_token().text, bytes(32))
    assert not fits(new_token().text, digest_of("another"))


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    """What comes in a header is compared and refused, and never breaks anything."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    assert not fits(text, None)
    with pytest.raises(UnauthenticatedError):
        check_form(text)


@pytest.mark.parametrize(("header", "token"), [("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", None), ("x", None)])
def test_bearer_is_read_whatever_its_case(header: str, token: str | None) -> None:
    """The scheme's name knows no case (RFC 9110, section 11.1)."""
    assert bearer(header) == token


def test_logs_leave_tokens_out() -> None:
    """Also where no word before it says what it is."""
    text = new_token().text
    assert text[11:] not in redacted(f"read {text} from a file")
