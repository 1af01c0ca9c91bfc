"""ML-DSA as FIPS 204 has it: known answers verify; a message, its representative and its digest are three things.

Vectors: `kat_MLDSA_*_det_pure.rsp` of `cryptography_vectors`, the known answers of the post-quantum KAT collection.
"""

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa

from privyseal.errors import InvalidSignatureError
from privyseal.keeper.signing import from_pkcs8
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.wire import primitives
from support.vectors import vectors

KEYS = {
    44: (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey),
    65: (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey),
    87: (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey),
}
SEED = bytes(range(32))
PRIVATE = mldsa.MLDSA65PrivateKey.from_seed_bytes(SEED)
DIGEST = hashlib.sha512(b"message").digest()
PLAIN = Scheme(Mechanism.ML_DSA)


def signed(scheme: Scheme, value: bytes) -> bytes:
    """A signature as the keeper makes it."""
    pkcs8 = PRIVATE.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return from_pkcs8(pkcs8).sign(scheme, value)


def is_valid(scheme: Scheme, value: bytes, signature: bytes) -> bool:
    """What we say of a signature of `PRIVATE`."""
    try:
        primitives.verify(PRIVATE.public_key(), scheme, value, signature)
    except InvalidSignatureError:
        return False
    return True


@pytest.mark.parametrize("size", KEYS)
def test_known_answers(size: int) -> None:
    """Each signature verifies with its context and its key, and with neither another message nor another context."""
    seen = 0
    for vector in vectors(f"MLDSA/kat_MLDSA_{size}_det_pure.rsp", "ctx"):
        private, public = KEYS[size]
        key = public.from_public_bytes(bytes.fromhex(vector["pk"]))
        made = private.from_seed_bytes(bytes.fromhex(vector["xi"])).public_key()
        assert made.public_bytes_raw() == key.public_bytes_raw()
        message, context = bytes.fromhex(vector["msg"]), bytes.fromhex(vector["ctx"])
        signature = bytes.fromhex(vector["sm"])[: -len(message) or None]
        scheme = Scheme(Mechanism.ML_DSA, context=context)
        primitives.verify(key, scheme, message, signature)
        with pytest.raises(InvalidSignatureError):
            primitives.verify(key, scheme, message + b"!", signature)
        with pytest.raises(InvalidSignatureError):
            primitives.verify(key, Scheme(Mechanism.ML_DSA, context=context[1:] + b"?"), message, signature)
        seen += 1
    assert seen >= 10


def test_three_ways_to_sign_are_kept_apart() -> None:
    """What was signed as a message is no signature of a digest with the same bytes, nor the other way round."""
    hashed = Scheme(Mechanism.HASH_ML_DSA, Hash.SHA_512)
    for made, asked in ((PLAIN, hashed), (hashed, PLAIN)):
        signature = signed(made, DIGEST)
        assert is_valid(made, DIGEST, signature)
        assert not is_valid(asked, DIGEST, signature)


def test_a_representative_stands_for_its_message() -> None:
    """A caller who hashes a large message by itself (FIPS 204, algorithm 7, line 6) gets a signature of the message."""
    hasher = mldsa.MLDSAMuHasher(PRIVATE.public_key(), b"context")
    hasher.update(b"a large message")
    representative = Scheme(Mechanism.ML_DSA, mu=True)
    mu = hasher.finalize()
    signature = signed(representative, mu)
    assert is_valid(representative, mu, signature)
    assert not is_valid(representative, mu[::-1], signature)
    assert is_valid(Scheme(Mechanism.ML_DSA, context=b"context"), b"a large message", signature)


def test_contexts_and_hashes_count() -> None:
    """A HashML-DSA signature holds for its hash and its context alone."""
    scheme = Scheme(Mechanism.HASH_ML_DSA, Hash.SHA_512, context=b"one")
    signature = signed(scheme, DIGEST)
    assert is_valid(scheme, DIGEST, signature)
    assert not is_valid(Scheme(Mechanism.HASH_ML_DSA, Hash.SHA3_512, context=b"one"), DIGEST, signature)
    assert not is_valid(Scheme(Mechanism.HASH_ML_DSA, Hash.SHA_512, context=b"two"), DIGEST, signature)


def test_key_types_know_their_ways() -> None:
    """The message comes first: it is what is meant when no mechanism is named."""
    assert KeyType.ML_DSA_65.mechanisms == (Mechanism.ML_DSA, Mechanism.HASH_ML_DSA)
