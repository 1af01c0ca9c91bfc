"""Shares: published vectors, any m of n and no fewer, and what happens to those who mistype one."""

import hashlib
import hmac
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.keeper import shares
from privyseal.keeper.shares import Share, ShareError

VECTORS = Path(__file__).parents[2] / "vectors" / "shares"
SHARES = st.builds(
    Share,
    st.binary(min_size=5, max_size=5),
    st.integers(2, 16),
    st.integers(1, 16),
    st.binary(min_size=32, max_size=32),
)
SHARE = Share(b"set 1", 2, 3, bytes(range(32)))


def vectors(name: str) -> list[Any]:
    """The vectors of one file."""
    found: list[Any] = json.loads((VECTORS / name).read_text())
    return found


def points(vector: Any) -> dict[int, bytes]:
    """The values of a vector by their points."""
    return {int(point): bytes.fromhex(value) for point, value in vector["points"].items()}


@pytest.mark.parametrize("vector", [*vectors("slip-0039.json"), *vectors("tss-03.json")], ids=lambda one: one["name"])
def test_published_vectors(vector: Any) -> None:
    """Shares that others made give the secret that they say."""
    assert shares.combine(points(vector), vector["at"]).hex() == vector["secret"]


@pytest.mark.parametrize("vector", vectors("slip-0039.json"), ids=lambda one: one["name"])
def test_the_digest_of_slip_0039_fits(vector: Any) -> None:
    """A second point of the same polynomials: at 254 is an HMAC of the secret, and the key that it was made with."""
    digest = shares.combine(points(vector), vector["digest_at"])
    assert hmac.digest(digest[4:], bytes.fromhex(vector["secret"]), hashlib.sha256)[:4] == digest[:4]


def test_the_field_is_that_of_aes() -> None:
    """The worked example of FIPS 197, section 4.2, and every inverse."""
    assert shares.times(0x57, 0x83) == 0xC1
    assert all(shares.times(number, shares.inverse(number)) == 1 for number in range(1, 256))
    assert shares.inverse(0) == 0


@settings(deadline=None)  # two hundred combinations take as long as the machine is busy
@given(st.binary(min_size=1, max_size=40), st.integers(1, 5), st.integers(0, 3))
def test_any_that_are_enough_give_the_secret(secret: bytes, needed: int, more: int) -> None:
    """Whichever they are; one fewer says nothing, because for any other secret there is a share that fits."""
    values = dict(enumerate(shares.split(secret, needed, needed + more), 1))
    for chosen in itertools.combinations(values, needed):
        assert shares.combine({point: values[point] for point in chosen}) == secret
    other = bytes(byte ^ 1 for byte in secret)
    few = dict(list(values.items())[: needed - 1])
    missing = shares.combine({0: other} | few, needed)
    assert shares.combine(few | {needed: missing}) == other


@pytest.mark.parametrize(("needed", "total"), [(0, 1), (3, 2), (1, 17)])
def test_shares_that_cannot_be(needed: int, total: int) -> None:
    """Not more needed than there are, and not too many to hand out."""
    with pytest.raises(ValueError, match="shares"):
        shares.split(b"secret", needed, total)


@given(SHARES, st.sampled_from([str, str.lower, lambda text: text.replace("-", " "), lambda text: f" {text}\n"]))
def test_a_share_reads_as_it_was_written(share: Share, typed: Any) -> None:
    """In any case, with spaces or hyphens."""
    assert shares.read(typed(shares.write(share))) == share


@given(SHARES, st.integers(0, 71), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_typing_mistake_is_found(share: Share, place: int, letter: str) -> None:
    """And the message says which share it is in, and nothing of the share."""
    number, *groups = shares.write(share).split("-")
    letters = list("".join(groups))
    if letters[place] != letter:
        letters[place] = letter
        with pytest.raises(ShareError, match=f"share {number} has a typing mistake"):
            shares.read(f"{number} {''.join(letters)}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not complete"),
        ("hello", "this is not complete"),
        ("3-ABCD", "share 3 is not complete"),
        (f"3 {'A' * 71}!", "share 3 has a character"),
        (shares.write(SHARE).replace("3-", "4-", 1), "share 4 has a typing mistake"),
        ("٣ " + "A" * 72, "this is not complete"),
    ],
)
def test_what_is_no_share(text: str, message: str) -> None:
    """Each says what is wrong."""
    with pytest.raises(ShareError, match=message):
        shares.read(text)


def test_a_share_shows_nothing() -> None:
    """In a log or traceback there is its number."""
    assert repr(SHARE) == "Share(3)"
