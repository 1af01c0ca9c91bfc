"""Keys that agree on a secret with somebody else's public key, or take one out of a capsule."""

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x448, x25519
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from privyseal.keeper.verbs import Key
from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.wire.frames import Parameters
from privyseal.wire.primitives import HASHES, read_public

XPrivateKey = x25519.X25519PrivateKey | x448.X448PrivateKey
MLKEMPrivateKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
_SPKI = 0x30  # the first byte of a SubjectPublicKeyInfo; a point begins with 2, 3 or 4
_X_LENGTHS = (32, 56)


def ecdh(key: ec.EllipticCurvePrivateKey, parameters: Parameters) -> bytes:
    """Agree on a secret (SP 800-56A, section 5.7.1.2; all our curves have cofactor 1).

    Raises ValueError when the other's point is not on the curve of this key.
    """
    given = parameters.public_key
    if given[:1] == bytes([_SPKI]):
        other = read_public(given)
        if not isinstance(other, ec.EllipticCurvePublicKey):
            raise ValueError("a point on this key's curve is wanted")
    else:
        other = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, given)
    return derived(key.exchange(ec.ECDH(), other), parameters)


class XKey(Key):
    """A Montgomery-curve key (RFC 7748)."""

    def __init__(self, key: XPrivateKey) -> None:
        self._key = key

    def derive(self, mechanism: Mechanism, parameters: Parameters) -> bytes:  # noqa: ARG002 - it has one only
        """Agree on a secret; raises ValueError for a point of small order, which gives the same one to everybody."""
        other = _coordinate(parameters.public_key)
        match self._key:
            case x25519.X25519PrivateKey() as key:
                secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(other))
            case key:
                secret = key.exchange(x448.X448PublicKey.from_public_bytes(other))
        return derived(secret, parameters)


class MLKEMKey(Key):
    """A key on module lattices that opens capsules (FIPS 203)."""

    def __init__(self, key: MLKEMPrivateKey) -> None:
        self._key = key

    def decrypt(self, mechanism: Mechanism, parameters: Parameters, data: bytes) -> bytes:  # noqa: ARG002 - it has none
        """Give the shared secret of a capsule. An altered capsule gives another secret and no error (section 6.3)."""
        return self._key.decapsulate(data)


def derived(secret: bytes, parameters: Parameters) -> bytes:
    """Give what comes of the agreed secret: itself, or what ANSI X9.63 derives from it (SEC 1, section 3.6.1)."""
    if parameters.kdf is None:
        return secret
    hash_ = Hash(parameters.hash)
    length = hash_.length if parameters.length is None else parameters.length
    return X963KDF(HASHES[hash_], length, parameters.shared_info).derive(secret)


def _coordinate(given: bytes) -> bytes:
    """Give the other's u-coordinate, which may come as it is or in a SubjectPublicKeyInfo (RFC 8410)."""
    if len(given) in _X_LENGTHS:
        return given
    other = read_public(given)
    if not isinstance(other, x25519.X25519PublicKey | x448.X448PublicKey):
        raise ValueError("a public key on this key's curve is wanted")  # noqa: TRY004 - as the loader does
    return other.public_bytes_raw()
