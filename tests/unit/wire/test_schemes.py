"""A request's words become a scheme that fits the key, or every word that does not fit is named."""

from typing import Any

import pytest

from privyseal.errors import InvalidRequestError
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme
from privyseal.wire.schemes import check_input, scheme_for, with_mu

NOTHING: dict[str, Any] = {
    "mechanism": None,
    "hash_": None,
    "salt_length": None,
    "mgf_hash": None,
    "encoding": Encoding.DER,
}


def make(key_type: KeyType, *, hashed_here: bool = False, **words: Any) -> Scheme:
    """The scheme for some words."""
    return scheme_for(key_type, hashed_here=hashed_here, **{**NOTHING, **words})


@pytest.mark.parametrize(
    ("key_type", "expected"),
    [
        (KeyType.P521, Scheme(Mechanism.ECDSA, Hash.SHA_256)),
        (KeyType.RSA_2048, Scheme(Mechanism.RSA_PKCS1, Hash.SHA_256)),
        (KeyType.ED448, Scheme(Mechanism.EDDSA)),
        (KeyType.ML_DSA_65, Scheme(Mechanism.ML_DSA)),
        (KeyType.SECRET_256, Scheme(Mechanism.HMAC, Hash.SHA_256)),
        (KeyType.AES_128, Scheme(Mechanism.AES_CMAC)),
    ],
)
def test_data_without_words(key_type: KeyType, expected: Scheme) -> None:
    """The type's own mechanism, and SHA-256 where the appliance hashes."""
    assert make(key_type, hashed_here=True) == expected


@pytest.mark.parametrize(
    ("key_type", "words", "fields"),
    [
        (KeyType.P256, {"mechanism": Mechanism.RSA_PSS}, {"mechanism", "hash"}),
        (KeyType.RSA_2048, {"mechanism": Mechanism.ECDSA, "salt_length": 1}, {"mechanism", "salt_length"}),
        (KeyType.ED25519, {"hash_": Hash.SHA_512, "encoding": Encoding.RAW}, {"hash", "encoding"}),
        (KeyType.P256, {"salt_length": 0, "mgf_hash": Hash.SHA_256}, {"salt_length", "mgf_hash"}),
        (KeyType.RSA_2048, {"encoding": Encoding.RAW}, {"encoding"}),
        (KeyType.X25519, {}, {"mechanism"}),
        (KeyType.ML_DSA_44, {"context": bytes(256)}, {"context"}),
        (KeyType.ML_DSA_44, {"mechanism": Mechanism.HASH_ML_DSA}, {"hash"}),
        (KeyType.P256, {"context": b"x", "length": 8}, {"context", "length"}),
        (KeyType.AES_128, {"hash_": Hash.SHA_256, "length": 8}, {"hash"}),
        (KeyType.AES_128, {"length": 17}, {"length"}),
        (KeyType.SECRET_256, {"hash_": Hash.SHA_224, "length": 29}, {"length"}),
        (KeyType.SECRET_256, {"length": 3}, {"length"}),
        (KeyType.RSA_2048, {"mechanism": Mechanism.RSA_PSS, "hash_": Hash.SHA_256, "salt_length": -1}, {"salt_length"}),
    ],
)
def test_every_word_that_does_not_fit(key_type: KeyType, words: dict[str, Any], fields: set[str]) -> None:
    """All at once."""
    with pytest.raises(InvalidRequestError) as error:
        make(key_type, **words)
    assert {one.field for one in error.value.errors} == {f"body.{field}" for field in fields}


@pytest.mark.parametrize("key_type", [KeyType.RSA_2048, KeyType.RSA_8192])
@pytest.mark.parametrize("hash_", [Hash.SHA_224, Hash.SHA_512])
def test_a_salt_has_the_room_of_rfc_8017(key_type: KeyType, hash_: Hash) -> None:
    """The modulus less the hash and two bytes; one more is refused."""
    room = key_type.bits // 8 - hash_.length - 2
    assert make(key_type, mechanism=Mechanism.RSA_PSS, hash_=hash_, salt_length=room).salt_length == room
    with pytest.raises(InvalidRequestError, match=f"0 to {room} bytes"):
        make(key_type, mechanism=Mechanism.RSA_PSS, hash_=hash_, salt_length=room + 1)


@pytest.mark.parametrize(
    ("key_type", "hash_", "lengths"),
    [(KeyType.P256, hash_, [hash_.length]) for hash_ in Hash]
    + [(KeyType.P256, None, [1, 64]), (KeyType.RSA_2048, None, [0, 245]), (KeyType.ED25519, None, [0, 1 << 20])],
)
def test_the_length_of_an_input(key_type: KeyType, hash_: Hash | None, lengths: list[int]) -> None:
    """A digest has its hash's length, a raw input the room that the mechanism has, an EdDSA message any."""
    scheme = Scheme(key_type.mechanisms[0], hash_)
    for length in lengths:
        check_input(key_type, scheme, bytes(length), "digest")
    if key_type is not KeyType.ED25519:
        with pytest.raises(InvalidRequestError, match=r"body\.digest: "):
            check_input(key_type, scheme, bytes(lengths[-1] + 1), "digest")
    if lengths[0]:
        with pytest.raises(InvalidRequestError):
            check_input(key_type, scheme, bytes(lengths[0] - 1), "digest")


def test_ml_dsa_with_a_hash_is_hash_ml_dsa() -> None:
    """Named or not; data without a named hash is hashed with SHA-512 only where that is asked for."""
    hashed = Scheme(Mechanism.HASH_ML_DSA, Hash.SHA_384)
    assert make(KeyType.ML_DSA_87, hash_=Hash.SHA_384) == hashed
    assert make(KeyType.ML_DSA_87, mechanism=Mechanism.HASH_ML_DSA, hash_=Hash.SHA_384) == hashed
    asked = make(KeyType.ML_DSA_87, mechanism=Mechanism.HASH_ML_DSA, hashed_here=True)
    assert asked == Scheme(Mechanism.HASH_ML_DSA, Hash.SHA_512)


def test_a_representative_has_64_bytes_and_its_context_in_it() -> None:
    """A message has any length."""
    scheme = make(KeyType.ML_DSA_65)
    check_input(KeyType.ML_DSA_65, scheme, bytes(7), "data")
    check_input(KeyType.ML_DSA_65, with_mu(scheme), bytes(64), "digest")
    with pytest.raises(InvalidRequestError, match="64 bytes"):
        check_input(KeyType.ML_DSA_65, with_mu(scheme), bytes(63), "digest")
    with pytest.raises(InvalidRequestError, match="context"):
        with_mu(make(KeyType.ML_DSA_65, context=b"x"))


def test_a_mac_of_data_of_any_length() -> None:
    """What HMAC names is no hash of the data."""
    scheme = make(KeyType.SECRET_512, length=8)
    check_input(KeyType.SECRET_512, scheme, bytes(5), "data")
    assert not scheme.hashes_first
