"""Verifying a signature without an appliance: all it takes is the public key.

A forgotten check raises: `verify` returns nothing on success.
"""

from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from privyseal.client.errors import InvalidInputError, InvalidSignatureError
from privyseal.client.files import HASHES

_MLDSAPublicKey: TypeAlias = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
PublicKey: TypeAlias = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | _MLDSAPublicKey
)


def load_public_key(content: bytes) -> PublicKey:
    """Read a public key from PEM or DER (SubjectPublicKeyInfo).

    Raises:
        InvalidInputError: it is neither, or of a type that cannot sign.
    """
    pem = content.lstrip().startswith(b"-----BEGIN")
    try:
        key = serialization.load_pem_public_key(content) if pem else serialization.load_der_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError("this is not a public key in PEM or DER form") from None
    if not isinstance(key, PublicKey):
        raise InvalidInputError("keys of this type do not verify signatures")
    return key


def signs_messages(key: PublicKey) -> bool:
    """Whether signatures of this key are over whole messages and not over digests."""
    return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | _MLDSAPublicKey)


def verify(
    key: PublicKey, signature: bytes, signed: bytes, *, hash_name: str = "SHA-256", mechanism: str | None = None
) -> None:
    """Check a signature.

    Args:
        key: the signer's public key.
        signature: ECDSA as DER (RFC 3279, section 2.2.3); the others have one form only.
        signed: the digest, made with `hash_name`; for Ed25519, Ed448 and ML-DSA (without a context) the message itself.
        hash_name: name of the hash; without meaning for Ed25519, Ed448 and ML-DSA.
        mechanism: `RSA-PSS` for RSA keys that sign with it (any length of salt, RFC 8017 section 8.1); None means the
            key type's own.

    Raises:
        InvalidSignatureError: the signature does not fit.
        InvalidInputError: key, mechanism and digest cannot belong together.
    """
    try:
        _verify(key, signature, signed, hash_name, mechanism)
    except InvalidSignature:
        raise InvalidSignatureError("the signature does not fit the key and the data") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInputError(f"cannot be verified with this key: {error}") from None


def _verify(key: PublicKey, signature: bytes, signed: bytes, hash_name: str, mechanism: str | None) -> None:
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        _expect(mechanism, "EdDSA")
        key.verify(signature, signed)
        return
    if isinstance(key, _MLDSAPublicKey):
        _expect(mechanism, "ML-DSA")
        key.verify(signature, signed)
        return
    algorithm = _algorithm(hash_name)
    if isinstance(key, ec.EllipticCurvePublicKey):
        _expect(mechanism, "ECDSA")
        key.verify(signature, signed, ec.ECDSA(Prehashed(algorithm)))
    elif mechanism == "RSA-PSS":
        pss = padding.PSS(mgf=padding.MGF1(algorithm), salt_length=padding.PSS.AUTO)
        key.verify(signature, signed, pss, Prehashed(algorithm))
    else:
        _expect(mechanism, "RSA-PKCS1")
        key.verify(signature, signed, padding.PKCS1v15(), Prehashed(algorithm))


def _expect(mechanism: str | None, own: str) -> None:
    if mechanism not in {None, own}:
        raise ValueError(f"the mechanism is {own}, not {mechanism}")


def _algorithm(hash_name: str) -> hashes.HashAlgorithm:
    if hash_name not in HASHES:
        raise ValueError(f"there is no hash {hash_name!r}")
    algorithm: hashes.HashAlgorithm = getattr(hashes, HASHES[hash_name].upper())()
    return algorithm
