"""Encrypting with a public key: RSA's paddings, and ML-KEM's capsules. No secret of the appliance is needed for it."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa

from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.wire.frames import Parameters
from privyseal.wire.primitives import HASHES

_PKCS1_OVERHEAD = 11  # RFC 8017, section 7.2.1


def rsa_padding(mechanism: Mechanism, parameters: Parameters) -> padding.AsymmetricPadding:
    """Give the padding of RFC 8017, section 7, for checked parameters."""
    if mechanism is Mechanism.RSA_PKCS1:
        return padding.PKCS1v15()
    hash_ = Hash(parameters.hash)
    mgf = hash_ if parameters.mgf_hash is None else Hash(parameters.mgf_hash)
    return padding.OAEP(padding.MGF1(HASHES[mgf]), HASHES[hash_], parameters.label or None)


def rsa_room(bits: int, mechanism: Mechanism, parameters: Parameters) -> int:
    """Say how many bytes can be encrypted with a modulus of so many bits."""
    overhead = _PKCS1_OVERHEAD if mechanism is Mechanism.RSA_PKCS1 else 2 * Hash(parameters.hash).length + 2
    return bits // 8 - overhead


def encrypt(public_key: bytes, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:
    """Encrypt with the public half of an RSA key (DER)."""
    key = serialization.load_der_public_key(public_key)
    assert isinstance(key, rsa.RSAPublicKey)  # noqa: S101 - no other type has these mechanisms
    return key.encrypt(data, rsa_padding(mechanism, parameters))


def encapsulate(public_key: bytes) -> tuple[bytes, bytes]:
    """Make a secret and the capsule that gives it to who has the private half (FIPS 203): `(secret, capsule)`."""
    key = serialization.load_der_public_key(public_key)
    assert isinstance(key, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey)  # noqa: S101 - as above
    return key.encapsulate()
