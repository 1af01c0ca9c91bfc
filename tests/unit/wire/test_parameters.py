"""The words of a request become parameters that fit, or every word that does not fit is named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.errors import InvalidRequestError
from privyseal.model.keys import KeyType, Use
from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.wire import parameters
from privyseal.wire.bodies import DATA_MAX
from privyseal.wire.frames import Parameters
from privyseal.wire.parameters import Wanted, check_data, wanted

AES = KeyType.AES_256
BYTES = st.binary(max_size=40)
WORDS = st.fixed_dictionaries(
    {},
    optional={
        "hash": st.sampled_from(Hash),
        "mgf_hash": st.sampled_from(Hash),
        "label": BYTES,
        "iv": BYTES,
        "aad": BYTES,
        "tag_length": st.integers(-1, 20),
        "counter": st.integers(-1, 130),
        "public_key": BYTES,
        "kdf": st.sampled_from(["X9.63", "other"]),
        "shared_info": BYTES,
        "salt": BYTES,
        "info": BYTES,
        "context": BYTES,
        "length": st.integers(-1, 8000),
    },
)


@given(
    key_type=st.sampled_from(KeyType),
    use=st.sampled_from(Use),
    mechanism=st.none() | st.sampled_from(Mechanism),
    words=WORDS,
    data=BYTES,
)
def test_any_words(
    key_type: KeyType, use: Use, mechanism: Mechanism | None, words: dict[str, Any], data: bytes
) -> None:
    """Either they are refused with fields of the body, or they are kept, and the mechanism is one of the type's."""
    wish = error = None
    try:
        wish = wanted(key_type, use, mechanism, words)
        check_data(key_type, wish, data)
    except InvalidRequestError as caught:
        error = caught
    if error is not None:
        assert all(one.field.startswith("body.") for one in error.errors)
    if wish is not None:
        assert wish.mechanism in key_type.mechanisms_for(use)
        assert wish.parameters.iv == words.get("iv", b"")
        assert len(wish.name) <= 32  # the column's width


def fields(error: pytest.ExceptionInfo[InvalidRequestError]) -> set[str]:
    """The fields that are named."""
    return {one.field.removeprefix("body.") for one in error.value.errors}


@pytest.mark.parametrize(
    ("key_type", "use", "mechanism", "words", "wrong"),
    [
        (KeyType.ED25519, Use.DECRYPT, None, {}, {"mechanism"}),
        (AES, Use.ENCRYPT, Mechanism.RSA_OAEP, {}, {"mechanism"}),
        (AES, Use.ENCRYPT, None, {"hash": Hash.SHA_256, "label": b"x"}, {"hash", "label"}),
        (AES, Use.DECRYPT, None, {}, {"iv"}),
        (AES, Use.DECRYPT, None, {"iv": bytes(7), "tag_length": 17}, {"iv", "tag_length"}),
        (AES, Use.ENCRYPT, None, {"aad": bytes(DATA_MAX + 1)}, {"aad"}),
        (AES, Use.ENCRYPT, Mechanism.AES_CBC, {"iv": bytes(15)}, {"iv"}),
        (AES, Use.ENCRYPT, Mechanism.AES_CTR, {"counter": 129}, {"counter"}),
        (KeyType.P256, Use.DERIVE, None, {"kdf": "x", "hash": Hash.SHA_256}, {"public_key", "kdf"}),
        (KeyType.P256, Use.DERIVE, None, {"public_key": bytes(5000), "shared_info": b"x"}, {"public_key", "kdf"}),
        (KeyType.SECRET_256, Use.DERIVE, None, {"length": 8000, "salt": bytes(5000)}, {"length", "salt"}),
    ],
)
def test_every_word_that_does_not_fit(
    key_type: KeyType, use: Use, mechanism: Mechanism | None, words: dict[str, Any], wrong: set[str]
) -> None:
    """All at once."""
    with pytest.raises(InvalidRequestError) as error:
        wanted(key_type, use, mechanism, words)
    assert fields(error) == wrong


def test_a_hash_is_put_in_where_one_is_needed() -> None:
    """SHA-256; ECDH without a derivation function has none."""
    assert wanted(KeyType.RSA_2048, Use.DECRYPT, None, {}).name == "decrypt RSA-OAEP-SHA-256"
    assert wanted(KeyType.RSA_2048, Use.DECRYPT, Mechanism.RSA_PKCS1, {}).name == "decrypt RSA-PKCS1"
    assert wanted(KeyType.X25519, Use.DERIVE, None, {"public_key": bytes(32)}).name == "ECDH"
    with_kdf = {"public_key": bytes(32), "kdf": "X9.63"}
    assert wanted(KeyType.X25519, Use.DERIVE, None, with_kdf).name == "ECDH-SHA-256"
    assert wanted(AES, Use.WRAP, None, {}).name == "wrap AES-KW"


@pytest.mark.parametrize(
    ("key_type", "mechanism", "words", "fits", "does_not"),
    [
        (AES, Mechanism.AES_CBC, {"iv": bytes(16)}, 32, 33),
        (AES, Mechanism.AES_CBC_PAD, {"iv": bytes(16)}, 16, 0),
        (AES, Mechanism.AES_ECB, {}, 0, 8),
        (AES, Mechanism.AES_GCM, {"iv": bytes(12)}, 16, 15),
        (AES, Mechanism.AES_CTR, {"iv": bytes(15) + b"\xfe", "counter": 8}, 32, 33),
        (KeyType.RSA_2048, Mechanism.RSA_OAEP, {}, 256, 255),
        (KeyType.RSA_3072, Mechanism.RSA_PKCS1, {}, 384, 385),
        (KeyType.ML_KEM_768, Mechanism.ML_KEM, {}, 1088, 1087),
        (KeyType.ML_KEM_1024, Mechanism.ML_KEM, {}, 1568, 1088),
    ],
)
def test_lengths_of_what_is_decrypted(
    key_type: KeyType, mechanism: Mechanism, words: dict[str, Any], fits: int, does_not: int
) -> None:
    """What has the right length goes to the keeper, the rest does not."""
    wish = wanted(key_type, Use.DECRYPT, mechanism, words)
    check_data(key_type, wish, bytes(fits))
    with pytest.raises(InvalidRequestError):
        check_data(key_type, wish, bytes(does_not))


@pytest.mark.parametrize(
    ("mechanism", "hash_", "room"),
    [
        (Mechanism.RSA_PKCS1, None, 245),
        (Mechanism.RSA_OAEP, Hash.SHA_256, 190),
        (Mechanism.RSA_OAEP, Hash.SHA_512, 126),
    ],
)
def test_the_room_of_rfc_8017(mechanism: Mechanism, hash_: Hash | None, room: int) -> None:
    """Sections 7.1.1 and 7.2.1."""
    wish = wanted(KeyType.RSA_2048, Use.ENCRYPT, mechanism, {} if hash_ is None else {"hash": hash_})
    check_data(KeyType.RSA_2048, wish, bytes(room))
    with pytest.raises(InvalidRequestError, match=str(room)):
        check_data(KeyType.RSA_2048, wish, bytes(room + 1))


def test_a_mechanism_without_a_limit() -> None:
    """GCM encrypts any length."""
    check_data(AES, wanted(AES, Use.ENCRYPT, None, {}), b"")


@pytest.mark.parametrize(
    ("verb", "value", "expected"),
    [
        ("encrypt", b"sealed", b"sealed"),
        ("encrypt", None, b""),
        ("decrypt", b"plain", b"data"),
        ("verify", b"", b"data"),
    ],
)
def test_the_record_never_has_a_plaintext(verb: str, value: bytes | None, expected: bytes) -> None:
    """Nor its digest."""
    assert parameters.counted(verb, b"data", Parameters(), value) == expected


@pytest.mark.parametrize("name", ["public_key", "info", "context"])
def test_what_the_record_has_of_a_derivation(name: str) -> None:
    """The other's key, or what tells this secret from others."""
    assert parameters.counted("derive", b"", Parameters(**{name: b"x"}), b"secret") == b"x"


def test_names_are_told_apart() -> None:
    """A worker cannot record a decryption as a signature of the same mechanism."""
    names = {Wanted(use, Mechanism.RSA_PKCS1, Parameters()).name for use in (Use.DECRYPT, Use.ENCRYPT)}
    assert names == {"decrypt RSA-PKCS1", "encrypt RSA-PKCS1"}
    assert parameters.wrapped_input("ab", b"c") == b"ab\0c"


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("RSA-PKCS1", "sign"),
        ("HMAC-SHA-256", "sign"),
        ("decrypt RSA-PKCS1", "decrypt"),
        ("verify AES-CMAC", "verify"),
        ("ECDH", "derive"),
        ("SP800-108-COUNTER-SHA-256", "derive"),
    ],
)
def test_a_name_in_the_record_says_its_verb(name: str, verb: str) -> None:
    """So that a use whose worker died is recorded as what it was."""
    assert parameters.verb_of(name) == verb
