"""Frames come out as they went in, and what is no frame is refused."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.wire import frames

NUMBERS = st.integers(0, 2**63)
TEXTS = st.text(st.characters(codec="utf-8"))
RECORDS = st.builds(frames.SealedKey, TEXTS, TEXTS.map(len), TEXTS, st.integers(1, 9), st.binary(), st.binary())
PROOFS = st.builds(frames.PINProof, TEXTS, st.binary(), st.booleans())
REQUESTS = st.one_of(
    st.builds(frames.Login, TEXTS, NUMBERS, PROOFS),
    st.builds(frames.GenerateAuditKey, TEXTS),
    st.just(frames.CountUses()),
    st.builds(frames.SignCheckpoint, RECORDS, NUMBERS, st.binary(), NUMBERS),
    st.builds(frames.Open, st.lists(st.binary()).map(tuple), TEXTS, st.binary(), st.lists(TEXTS).map(tuple)),
    st.builds(
        frames.Sign, st.binary(), TEXTS, NUMBERS, TEXTS, st.none() | TEXTS, st.none() | NUMBERS, st.none() | TEXTS,
        TEXTS, st.lists(st.binary()).map(tuple), st.none() | PROOFS | st.builds(frames.TicketProof, TEXTS),
        st.none() | RECORDS,
    ),
)  # fmt: skip
ANSWERS = st.one_of(
    st.just(frames.Done()),
    st.builds(frames.Signatures, st.lists(st.binary()).map(tuple), TEXTS, NUMBERS),
    st.builds(frames.Counted, TEXTS, NUMBERS, st.binary()),
    st.builds(frames.Note, TEXTS),
    st.builds(frames.Refused, TEXTS, TEXTS, st.none() | NUMBERS),
    st.builds(frames.Generated, RECORDS, st.binary(), st.none() | st.binary()),
)


@given(messages=st.lists(st.tuples(NUMBERS, REQUESTS)))
def test_requests_come_back(messages: list[tuple[int, frames.Request]]) -> None:
    """With their numbers, in order; the length in front is that of the rest."""
    frame = frames.encode(messages)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frames.requests(frame[4:]) == messages


@given(messages=st.lists(st.tuples(NUMBERS, ANSWERS)))
def test_answers_come_back(messages: list[tuple[int, frames.Answer]]) -> None:
    """Likewise; and no answer is taken for a request."""
    frame = frames.encode(messages)
    assert frames.answers(frame[4:]) == messages
    if messages:
        with pytest.raises(msgspec.DecodeError):
            frames.requests(frame[4:])


@given(body=st.binary())
def test_what_is_no_frame(body: bytes) -> None:
    """It is read as requests, or refused with the one error that the keeper expects."""
    with contextlib.suppress(msgspec.DecodeError):
        assert isinstance(frames.requests(body), list)


@given(policy=st.builds(frames.Policy, st.lists(TEXTS).map(tuple), st.booleans()))
def test_a_policy_comes_back(policy: frames.Policy) -> None:
    """From the bytes that are sealed."""
    assert frames.policy(frames.encode_policy(policy)) == policy
