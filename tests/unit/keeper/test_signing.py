"""Every key type signs what it should, comes back from its PKCS #8, and lets no faulty signature out."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from privyseal.keeper.signing import FaultError, RSAKey, from_pkcs8, generate, to_pkcs8, to_spki
from privyseal.model.keys import Family, KeyType, Use
from privyseal.model.mechanisms import MESSAGE_MECHANISMS, Hash, Mechanism, Scheme
from privyseal.wire import primitives

DIGEST = hashlib.sha256(b"message").digest()
SLOW = {KeyType.RSA_4096, KeyType.RSA_8192}  # the interoperability tests make these


SIGNING = [one for one in KeyType if Use.SIGN in one.uses and not one.is_symmetric and one not in SLOW]


@pytest.mark.parametrize("key_type", SIGNING, ids=lambda t: t.value)
def test_each_type_signs_after_the_seal(key_type: KeyType) -> None:
    """Written down and loaded again it signs, and its public half verifies; the size is what the name says."""
    private = generate(key_type)
    key, public = from_pkcs8(to_pkcs8(private)), primitives.load_public(to_spki(private))
    for mechanism in key_type.mechanisms_for(Use.SIGN):
        scheme = Scheme(mechanism, None if mechanism in MESSAGE_MECHANISMS else Hash.SHA_256)
        primitives.verify(public, scheme, DIGEST, key.sign(scheme, DIGEST))
    if key_type.family in (Family.EC, Family.RSA):
        assert getattr(public, "key_size") == key_type.bits  # noqa: B009 - the others have none


class Faulty:
    """A private key whose result has one bit wrong, as a fault in the CRT computation gives it."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def public_key(self) -> rsa.RSAPublicKey:
        """The right public half."""
        return self._key.public_key()

    def sign(self, *arguments: Any) -> bytes:
        """The wrong signature."""
        signature = self._key.sign(*arguments)
        return signature[:-1] + bytes([signature[-1] ^ 1])


@pytest.mark.parametrize("mechanism", [Mechanism.RSA_PKCS1, Mechanism.RSA_PSS])
def test_a_faulty_rsa_signature_does_not_leave(mechanism: Mechanism) -> None:
    """It would give the factors away (Boneh, DeMillo and Lipton 1997), so it is thrown away."""
    private = generate(KeyType.RSA_2048)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert RSAKey(private).sign(Scheme(mechanism, Hash.SHA_256), DIGEST)
    with pytest.raises(FaultError):
        RSAKey(Faulty(private)).sign(Scheme(mechanism, Hash.SHA_256), DIGEST)  # type: ignore[arg-type]


def test_a_raw_rsa_input_is_verified_too() -> None:
    """The whole encoded message comes back from the signature, or nothing leaves."""
    private = generate(KeyType.RSA_2048)
    assert isinstance(private, rsa.RSAPrivateKey)
    scheme = Scheme(Mechanism.RSA_PKCS1)
    assert RSAKey(private).sign(scheme, b"anything that fits")
    with pytest.raises(FaultError):
        RSAKey(Faulty(private)).sign(scheme, b"anything that fits")  # type: ignore[arg-type]


def test_a_key_type_that_is_not_made_here() -> None:
    """A key of the Digital Signature Algorithm in a seal is refused, and so is one in a public record."""
    private = dsa.generate_private_key(2048)
    with pytest.raises(ValueError, match="no key type"):
        from_pkcs8(to_pkcs8(private))  # type: ignore[arg-type]
    assert load_der_public_key(to_spki(private))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no key type"):
        primitives.load_public(to_spki(private))  # type: ignore[arg-type]
