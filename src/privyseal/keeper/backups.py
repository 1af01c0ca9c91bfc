"""Sealing an appliance's secrets for those who may open its backups, and opening them in a new keeper.

HPKE (RFC 9180, base mode: X25519, HKDF-SHA256, AES-256-GCM). A passphrase is a recipient too: Argon2id turns it into an
X25519 private key, so that a backup is made without it and whoever makes one cannot read it.
"""

import hashlib
import os

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from privyseal.keeper.domain import KEY_LENGTH, DamagedError
from privyseal.keeper.pins import stretch

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_INFO = b"privyseal backup v1"


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """What a backup's recipients get: the key of its chunks, and the domain key of the records in them (`Secrets`)."""

    file_key: bytes
    secrets: bytes

    def __repr__(self) -> str:
        return "Contents(…)"


def new_file_key() -> bytes:
    """Make the key of one backup."""
    return os.urandom(KEY_LENGTH)


def public_key(passphrase: str, salt: bytes) -> bytes:
    """Give the public key that a passphrase stands for, 32 bytes."""
    return _from_passphrase(passphrase, salt).public_key().public_bytes_raw()


def seal(contents: Contents, recipient: bytes) -> bytes:
    """Seal for one public key of 32 bytes. Raises ValueError for one that is none."""
    key = X25519PublicKey.from_public_bytes(recipient)
    return _SUITE.encrypt(msgspec.msgpack.encode(contents), key, _info(recipient))


def unseal(sealed: bytes, secret: str, salt: bytes) -> Contents:
    """Open with a passphrase (`salt` is not empty) or a private key in PEM. Raises DamagedError if it does not fit."""
    private = _from_passphrase(secret, salt) if salt else _from_pem(secret)
    info = _info(private.public_key().public_bytes_raw())
    try:
        return msgspec.msgpack.decode(_SUITE.decrypt(sealed, private, info), type=Contents)
    except (InvalidTag, ValueError) as error:
        raise DamagedError("the secret does not open the backup") from error


def _from_passphrase(passphrase: str, salt: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(stretch(passphrase, salt))


def _from_pem(pem: str) -> X25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise DamagedError("the private key cannot be read") from error
    if not isinstance(key, X25519PrivateKey):
        raise DamagedError("the private key is not of type X25519")
    return key


def _info(recipient: bytes) -> bytes:
    return _INFO + hashlib.sha256(recipient).digest()
