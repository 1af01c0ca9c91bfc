"""Our names of hashes, curves and schemes, as the objects that `cryptography` wants. Public-key work only."""

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from privyseal.errors import InvalidSignatureError
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme

MLDSAPublicKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
PublicKey = (
    ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | MLDSAPublicKey
)

HASHES: dict[Hash, hashes.HashAlgorithm] = {
    Hash.SHA_224: hashes.SHA224(),
    Hash.SHA_256: hashes.SHA256(),
    Hash.SHA_384: hashes.SHA384(),
    Hash.SHA_512: hashes.SHA512(),
    Hash.SHA3_224: hashes.SHA3_224(),
    Hash.SHA3_256: hashes.SHA3_256(),
    Hash.SHA3_384: hashes.SHA3_384(),
    Hash.SHA3_512: hashes.SHA3_512(),
}
CURVES: dict[KeyType, ec.EllipticCurve] = {
    KeyType.P256: ec.SECP256R1(),
    KeyType.P384: ec.SECP384R1(),
    KeyType.P521: ec.SECP521R1(),
    KeyType.SECP256K1: ec.SECP256K1(),
    KeyType.BRAINPOOL_P256R1: ec.BrainpoolP256R1(),
    KeyType.BRAINPOOL_P384R1: ec.BrainpoolP384R1(),
    KeyType.BRAINPOOL_P512R1: ec.BrainpoolP512R1(),
}
_PREHASHED = {name: utils.Prehashed(algorithm) for name, algorithm in HASHES.items()}
_ECDSA = {name: ec.ECDSA(prehashed) for name, prehashed in _PREHASHED.items()}
_OIDS = {  # the last byte of 2.16.840.1.101.3.4.2.x
    Hash.SHA_224: 4,
    Hash.SHA_256: 1,
    Hash.SHA_384: 2,
    Hash.SHA_512: 3,
    Hash.SHA3_224: 7,
    Hash.SHA3_256: 8,
    Hash.SHA3_384: 9,
    Hash.SHA3_512: 10,
}
_OID_START = bytes.fromhex("0609608648016503 0402")
_MU_LENGTH = 64
_BY_LENGTH = {28: Hash.SHA_224, 32: Hash.SHA_256, 48: Hash.SHA_384, 64: Hash.SHA_512}


def read_public(der: bytes) -> PublicKeyTypes:
    """Read a SubjectPublicKeyInfo from elsewhere. Raises ValueError whatever is wrong with it."""
    try:
        return serialization.load_der_public_key(der)
    except UnsupportedAlgorithm as error:  # an unknown curve or kind, which the library does not count as a wrong value
        raise ValueError(str(error)) from error


def load_public(der: bytes) -> PublicKey:
    """Read a SubjectPublicKeyInfo. Raises ValueError when it is none of the key types made here."""
    key = read_public(der)
    if not isinstance(key, PublicKey):
        raise ValueError(f"{type(key).__name__} is no key type of this appliance")  # noqa: TRY004 - as the loader does
    return key


def pem(der: bytes) -> str:
    """Write a SubjectPublicKeyInfo as PEM (RFC 7468, section 13)."""
    key = serialization.load_der_public_key(der)
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def ecdsa_input(scheme: Scheme, digest: bytes, order_bits: int) -> tuple[bytes, ec.ECDSA]:
    """Fit a digest to `cryptography`, which wants one of a hash's length.

    A digest without a named hash is cut to its leftmost `order_bits` bits (FIPS 186-5, section 6.4) and then filled up
    with zero bytes in front, which leaves the number that is signed as it was.
    """
    if scheme.hash:
        return digest, _ECDSA[scheme.hash]
    cut = digest[: order_bits // 8]
    length = next(length for length in _BY_LENGTH if length >= len(cut))
    return cut.rjust(length, b"\0"), _ECDSA[_BY_LENGTH[length]]


def rsa_padding(scheme: Scheme) -> tuple[padding.AsymmetricPadding, utils.Prehashed | utils.NoDigestInfo]:
    """Give padding and prehash for an RSA scheme; without a hash the input is the whole encoded message."""
    if scheme.mechanism is Mechanism.RSA_PKCS1:
        return padding.PKCS1v15(), _PREHASHED[scheme.hash] if scheme.hash else utils.NoDigestInfo()
    name = _named(scheme)
    salt = name.length if scheme.salt_length is None else scheme.salt_length
    return padding.PSS(padding.MGF1(HASHES[scheme.mgf_hash or name]), salt), _PREHASHED[name]


def hash_ml_dsa_mu(public_key: bytes, scheme: Scheme, digest: bytes) -> bytes:
    """Give the message representative that HashML-DSA signs (FIPS 204, algorithms 4 and 7).

    The library offers ML-DSA for a message and for a representative; HashML-DSA is the latter with another prefix.

    Args:
        public_key: its raw bytes, not the SubjectPublicKeyInfo.
    """
    oid = _OID_START + bytes([_OIDS[_named(scheme)]])
    message = b"\x01" + bytes([len(scheme.context)]) + scheme.context + oid + digest
    return hashlib.shake_256(hashlib.shake_256(public_key).digest(_MU_LENGTH) + message).digest(_MU_LENGTH)


def verify(key: PublicKey, scheme: Scheme, data: bytes, signature: bytes) -> None:
    """Check a signature over a digest (or, for EdDSA, a message); raises InvalidSignatureError when it is not right."""
    try:
        _verify(key, scheme, data, signature)
    except (InvalidSignature, ValueError) as error:
        raise InvalidSignatureError("the signature does not verify") from error


def _verify(key: PublicKey, scheme: Scheme, data: bytes, signature: bytes) -> None:
    match key:
        case ec.EllipticCurvePublicKey():
            digest, ecdsa = ecdsa_input(scheme, data, key.curve.key_size)
            der = signature if scheme.encoding is Encoding.DER else ecdsa_der(signature, key.curve.key_size)
            key.verify(der, digest, ecdsa)
        case rsa.RSAPublicKey():
            _verify_rsa(key, scheme, data, signature)
        case mldsa.MLDSA44PublicKey() | mldsa.MLDSA65PublicKey() | mldsa.MLDSA87PublicKey():
            _verify_ml_dsa(key, scheme, data, signature)
        case _:
            key.verify(signature, data)


def _verify_rsa(key: rsa.RSAPublicKey, scheme: Scheme, data: bytes, signature: bytes) -> None:
    padding_, prehash = rsa_padding(scheme)
    if isinstance(prehash, utils.Prehashed):
        key.verify(signature, data, padding_, prehash)
    elif not hmac.compare_digest(key.recover_data_from_signature(signature, padding_, None), data):
        raise InvalidSignature


def _verify_ml_dsa(key: MLDSAPublicKey, scheme: Scheme, data: bytes, signature: bytes) -> None:
    if scheme.mechanism is Mechanism.HASH_ML_DSA:
        key.verify_mu(signature, hash_ml_dsa_mu(key.public_bytes_raw(), scheme, data))
    elif scheme.mu:
        key.verify_mu(signature, data)
    else:
        key.verify(signature, data, scheme.context)


def ecdsa_raw(der: bytes, order_bits: int) -> bytes:
    """Turn an Ecdsa-Sig-Value into r and s of equal length, one behind the other."""
    width = (order_bits + 7) // 8
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


def ecdsa_der(raw: bytes, order_bits: int) -> bytes:
    """Turn r and s into an Ecdsa-Sig-Value. Raises ValueError when the length does not fit the curve."""
    width = (order_bits + 7) // 8
    if len(raw) != 2 * width:
        raise ValueError(f"a raw signature on this curve has {2 * width} bytes, not {len(raw)}")
    return utils.encode_dss_signature(int.from_bytes(raw[:width], "big"), int.from_bytes(raw[width:], "big"))


def _named(scheme: Scheme) -> Hash:
    if scheme.hash is None:
        raise ValueError(f"{scheme.mechanism.value} needs a hash")
    return scheme.hash
