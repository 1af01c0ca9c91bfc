"""A policy as people read and write it; whatever it says comes back from the bytes that are sealed."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import InvalidRequestError
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.wire import frames, policies

TIMES = st.none() | st.integers(0, 2**37)
POLICIES = st.builds(
    frames.Policy,
    st.lists(st.sampled_from([one.value for one in Mechanism])).map(tuple),
    st.booleans(),
    hashes=st.none() | st.lists(st.sampled_from([one.value for one in Hash])).map(tuple),
    not_before=TIMES,
    not_after=TIMES,
    max_uses=st.none() | st.integers(1, policies.USES_MAX),
    raw_digest=st.booleans(),
    exportable=st.booleans(),
    origin=st.sampled_from(["generated", "imported"]),
    sign_with_old_versions=st.booleans(),
)


@given(policy=POLICIES)
def test_every_policy_comes_back_and_can_be_shown(policy: frames.Policy) -> None:
    """As bytes and as a document."""
    assert frames.policy(frames.encode_policy(policy)) == policy
    document = policies.document(policy)
    assert document["max_uses"] == policy.max_uses
    assert policies.difference(policy, policy) == "nothing"


def test_what_is_left_out_stays() -> None:
    """And null takes a limit away; the words say what has changed."""
    old = frames.Policy(("ECDSA",), pin=False, max_uses=5, hashes=("SHA-256",), raw_digest=False)
    time = datetime(2030, 1, 1, tzinfo=UTC)
    values = {"max_uses": None, "not_after": time, "raw_digest": True, "operations": (), "hashes": [Hash.SHA3_256]}
    new = policies.changed(old, values, KeyType.P256)
    assert (new.max_uses, new.not_after, new.raw_digest, new.mechanisms) == (None, 1893456000, True, ("ECDSA",))
    assert policies.difference(old, new) == (
        "operations sign -> none, hashes SHA-256 -> SHA3-256, not_after none -> 2030-01-01T00:00:00Z, "
        "max_uses 5 -> none, raw_digest no -> yes"
    )
    assert policies.changed(old, {"hashes": None}, KeyType.P256).hashes is None


def test_every_wrong_field_is_named() -> None:
    """All at once; what depends on a type that is not known yet is left to the keeper."""
    wrong = {
        "mechanisms": [Mechanism.ECDSA],
        "hashes": [Hash.SHA_256],
        "operations": ("decrypt",),
        "max_uses": 0,
        "not_before": datetime(2030, 1, 1, tzinfo=UTC),
        "not_after": datetime(1, 1, 1, tzinfo=UTC),
    }
    with pytest.raises(InvalidRequestError) as caught:
        policies.changed(policies.EVERYTHING, wrong, KeyType.ED25519)
    named = [error.field.removeprefix("body.policy.") for error in caught.value.errors]
    assert named == ["mechanisms", "hashes", "operations", "not_after", "max_uses", "not_after"]
    kept = {name: wrong[name] for name in ("mechanisms", "hashes")}
    assert policies.changed(policies.EVERYTHING, kept, None).hashes == ("SHA-256",)
    with pytest.raises(InvalidRequestError):
        policies.changed(policies.EVERYTHING, {"hashes": []}, None)
