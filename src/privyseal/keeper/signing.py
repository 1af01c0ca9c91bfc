"""Keys: making them, writing them down for the seal and reading them again; and the verbs of those that sign."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, mlkem, rsa, x448, x25519

from privyseal.errors import InvalidSignatureError
from privyseal.keeper import agreement
from privyseal.keeper.agreement import MLKEMKey, MLKEMPrivateKey, XKey, XPrivateKey
from privyseal.keeper.symmetric import AESKey, SecretKey
from privyseal.keeper.verbs import Key
from privyseal.model.keys import Family, KeyType
from privyseal.model.mechanisms import Encoding, Mechanism, Scheme
from privyseal.wire import encryption, primitives
from privyseal.wire.frames import Parameters

MLDSAPrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
PrivateKey = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | MLDSAPrivateKey
    | MLKEMPrivateKey
    | XPrivateKey
)


class FaultError(Exception):
    """A computed signature did not verify. It has been thrown away, because a faulty one can give the key away."""


class ECKey(Key):
    """A key on a Weierstrass curve."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._bits = key.curve.key_size

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Sign a digest (FIPS 186-5, section 6.4)."""
        der = self._key.sign(*primitives.ecdsa_input(scheme, data, self._bits))
        return der if scheme.encoding is Encoding.DER else primitives.ecdsa_raw(der, self._bits)

    def derive(self, mechanism: Mechanism, parameters: Parameters) -> bytes:  # noqa: ARG002 - it has one only
        """Agree on a secret; see `agreement.ecdh`."""
        return agreement.ecdh(self._key, parameters)


class RSAKey(Key):
    """An RSA key. Its signatures are verified before they leave: one bad CRT signature factors the modulus."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self._public = key.public_key()

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Sign a digest or an encoded message (RFC 8017, section 8). Raises FaultError."""
        signature = self._key.sign(data, *primitives.rsa_padding(scheme))
        try:
            primitives.verify(self._public, scheme, data, signature)
        except InvalidSignatureError as error:
            raise FaultError("the signature did not verify and was thrown away") from error
        return signature

    def decrypt(self, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:
        """Decrypt (RFC 8017, section 7). A wrong padding of version 1.5 gives random data and no error."""
        return self._key.decrypt(data, encryption.rsa_padding(mechanism, parameters))

    def wrap(self, mechanism: Mechanism, parameters: Parameters, material: bytes) -> bytes:
        """Wrap a short key under the public half."""
        return self._public.encrypt(material, encryption.rsa_padding(mechanism, parameters))

    def unwrap(self, mechanism: Mechanism, parameters: Parameters, wrapped: bytes) -> bytes:
        """Give a wrapped key back."""
        return self.decrypt(mechanism, parameters, wrapped)


class EdKey(Key):
    """An Edwards-curve key (RFC 8032)."""

    def __init__(self, key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) -> None:
        self._key = key

    def sign(self, scheme: Scheme, data: bytes) -> bytes:  # noqa: ARG002 - EdDSA has no parameters
        """Sign a message."""
        return self._key.sign(data)


class MLDSAKey(Key):
    """A key on module lattices (FIPS 204). Signatures are hedged: each is another one."""

    def __init__(self, key: MLDSAPrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    def sign(self, scheme: Scheme, data: bytes) -> bytes:
        """Sign a message, a message representative, or for HashML-DSA a digest."""
        if scheme.mechanism is Mechanism.HASH_ML_DSA:
            return self._key.sign_mu(primitives.hash_ml_dsa_mu(self._public, scheme, data))
        return self._key.sign_mu(data) if scheme.mu else self._key.sign(data, scheme.context)


_GENERATE: dict[KeyType, Callable[[], PrivateKey]] = {
    KeyType.ED25519: ed25519.Ed25519PrivateKey.generate,
    KeyType.ED448: ed448.Ed448PrivateKey.generate,
    KeyType.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    KeyType.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
    KeyType.ML_KEM_768: mlkem.MLKEM768PrivateKey.generate,
    KeyType.ML_KEM_1024: mlkem.MLKEM1024PrivateKey.generate,
    KeyType.X25519: x25519.X25519PrivateKey.generate,
    KeyType.X448: x448.X448PrivateKey.generate,
}


def generate(key_type: KeyType) -> PrivateKey:
    """Make a private key from the operating system's random numbers. RSA-8192 takes seconds to a minute."""
    match key_type.family:
        case Family.EC:
            return ec.generate_private_key(primitives.CURVES[key_type])
        case Family.RSA:
            return rsa.generate_private_key(65537, key_type.bits)
        case _:
            return _GENERATE[key_type]()


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """A key before it is sealed.

    Attributes:
        secret: PKCS #8, or the bytes of a symmetric key.
        public: SubjectPublicKeyInfo (DER); empty for a symmetric key.
    """

    secret: bytes
    public: bytes


def make(key_type: KeyType) -> Material:
    """Make a key of any type from the operating system's random numbers."""
    if key_type.is_symmetric:
        return Material(os.urandom(key_type.bits // 8), b"")
    return material_of(generate(key_type))


def material_of(key: PrivateKey) -> Material:
    """Write a private key down."""
    return Material(to_pkcs8(key), to_spki(key))


def load(key_type: KeyType, secret: bytes) -> Key:
    """Open what the seal protected."""
    match key_type.family:
        case Family.AES:
            return AESKey(secret)
        case Family.SECRET:
            return SecretKey(secret)
        case _:
            return from_pkcs8(secret)


def to_pkcs8(key: PrivateKey) -> bytes:
    """Write PKCS #8 (RFC 5958) for the seal, and for nothing else."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def to_spki(key: PrivateKey) -> bytes:
    """Write the public half as SubjectPublicKeyInfo (DER)."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class ForeignKeyError(Exception):
    """A key from elsewhere cannot be kept here; the message says why."""


def from_elsewhere(der: bytes) -> tuple[PrivateKey, KeyType]:
    """Load and check a private key that was not made here (PKCS #8, DER); raises ForeignKeyError.

    The loader checks that an EC point is on its curve and that RSA's numbers belong together (SP 800-56B, 6.4.1).
    """
    try:
        key = serialization.load_der_private_key(der, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ForeignKeyError("it is no consistent private key in PKCS #8 (DER, not encrypted)") from error
    key_type = _TYPES.get(_form(key))
    if key_type is None:
        offered = ", ".join(one.value for one in KeyType if not one.is_symmetric)
        raise ForeignKeyError(f"keys of this type and size are not kept here; these are: {offered}")
    if isinstance(key, rsa.RSAPrivateKey):
        _check_rsa(key)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        _check_ec(key)
    assert isinstance(key, PrivateKey)  # noqa: S101 - no other kind has a form
    return key, key_type


def _form(key: object) -> tuple[str, object]:
    """Say what tells key types apart."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return "ec", key.curve.name
        case rsa.RSAPrivateKey():
            return "rsa", key.key_size
        case _:
            return type(key).__name__.lower(), None


_TYPES: dict[tuple[str, object], KeyType] = {
    **{("ec", curve.name): key_type for key_type, curve in primitives.CURVES.items()},
    **{("rsa", one.bits): one for one in KeyType if one.family is Family.RSA},
    ("ed25519privatekey", None): KeyType.ED25519,
    ("ed448privatekey", None): KeyType.ED448,
    ("mldsa44privatekey", None): KeyType.ML_DSA_44,
    ("mldsa65privatekey", None): KeyType.ML_DSA_65,
    ("mldsa87privatekey", None): KeyType.ML_DSA_87,
    ("mlkem768privatekey", None): KeyType.ML_KEM_768,
    ("mlkem1024privatekey", None): KeyType.ML_KEM_1024,
    ("x25519privatekey", None): KeyType.X25519,
    ("x448privatekey", None): KeyType.X448,
}
_SMALLEST_EXPONENT = 65537  # FIPS 186-5, section A.1.1: 2^16 < e < 2^256, odd
_EXPONENT_BITS = 256


def _check_rsa(key: rsa.RSAPrivateKey) -> None:
    exponent = key.public_key().public_numbers().e
    if exponent < _SMALLEST_EXPONENT or exponent.bit_length() > _EXPONENT_BITS:
        raise ForeignKeyError("its public exponent must be 65537 or more, with at most 256 bits")
    numbers = key.private_numbers()
    if abs(numbers.p - numbers.q).bit_length() <= key.key_size // 2 - 100:  # FIPS 186-5, section A.1.3
        raise ForeignKeyError("its primes are too close to each other")


def _check_ec(key: ec.EllipticCurvePrivateKey) -> None:
    numbers = key.private_numbers()
    derived = ec.derive_private_key(numbers.private_value, key.curve).public_key().public_numbers()
    if derived != numbers.public_numbers:
        raise ForeignKeyError("its public half does not belong to it")


def from_pkcs8(der: bytes) -> Key:
    """Load what the seal protected. It was validated at birth and GCM vouches for it since; validation costs 46 ms."""
    key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    match key:
        case ec.EllipticCurvePrivateKey():
            return ECKey(key)
        case rsa.RSAPrivateKey():
            return RSAKey(key)
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return EdKey(key)
        case mldsa.MLDSA44PrivateKey() | mldsa.MLDSA65PrivateKey() | mldsa.MLDSA87PrivateKey():
            return MLDSAKey(key)
        case mlkem.MLKEM768PrivateKey() | mlkem.MLKEM1024PrivateKey():
            return MLKEMKey(key)
        case x25519.X25519PrivateKey() | x448.X448PrivateKey():
            return XKey(key)
        case _:
            raise ValueError(f"{type(key).__name__} is no key type of this appliance")
