"""Keys on their way in and out: the form of PKCS #11's CKM_RSA_AES_KEY_WRAP (v2.40, section 2.1.21).

A wrapped key is two things, one behind the other: a fresh AES-256 key under RSA-OAEP (SHA-256, MGF1 with SHA-256, no
label), as long as the RSA modulus; and the private key as PKCS #8 (DER) under that AES key with AES-KWP (RFC 5649).
"""

import os

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from privyseal.wire.primitives import read_public

WRAPPING_BITS = 3072
"""The least that an RSA key must have to wrap another one."""
_AES_LENGTH = 32


class UnwrapError(Exception):
    """It does not unwrap. Which of the steps failed is not said: that would be an oracle."""


def load_wrapping_key(der: bytes) -> rsa.RSAPublicKey:
    """Read the public key that shall wrap; raises ValueError when it is no RSA key of 3072 bits or more."""
    key = read_public(der)
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < WRAPPING_BITS:
        raise ValueError(f"the wrapping key must be an RSA public key of {WRAPPING_BITS} bits or more")
    return key


def wrap(key: rsa.RSAPublicKey, pkcs8: bytes) -> bytes:
    """Wrap a private key, given as PKCS #8 in DER."""
    secret = os.urandom(_AES_LENGTH)
    return key.encrypt(secret, _oaep()) + keywrap.aes_key_wrap_with_padding(secret, pkcs8)


def unwrap(key: rsa.RSAPrivateKey, wrapped: bytes) -> bytes:
    """Give the PKCS #8 that `wrap` wrapped; raises UnwrapError.

    AES keys of 128 and 192 bits are taken too, because PKCS #11 leaves the choice to whoever wraps.
    """
    length = key.key_size // 8
    try:
        secret = key.decrypt(wrapped[:length], _oaep())
        return keywrap.aes_key_unwrap_with_padding(secret, wrapped[length:])
    except (ValueError, keywrap.InvalidUnwrap) as error:
        raise UnwrapError("the wrapped key does not open with this import key") from error


def _oaep() -> padding.OAEP:
    return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
