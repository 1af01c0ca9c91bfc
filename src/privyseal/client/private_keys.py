"""Private keys from files, opened on this host: PEM, DER and PKCS #12, with or without a passphrase, become PKCS #8.

Only for a key on its way to the appliance. Where the file can be destroyed afterwards, destroy it.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12

from privyseal.client.errors import InvalidInputError


class PassphraseNeededError(InvalidInputError):
    """The file is encrypted and no passphrase came with it."""

    type = "passphrase-needed"


def read_private_key(content: bytes, passphrase: str | None = None) -> bytes:
    """Give the private key in a file as PKCS #8 (DER, RFC 5958), not encrypted.

    Args:
        content: PEM or DER (PKCS #8, also encrypted; PKCS #1; SEC 1), or PKCS #12 (RFC 7292).
        passphrase: what the file is encrypted with; ignored for one that is not.

    Raises:
        PassphraseNeededError: it is encrypted, and there is none.
        InvalidInputError: it is none of these, it holds no private key, or the passphrase is not its.
    """
    password = None if passphrase is None else passphrase.encode()
    for read in (_pem, _der, _pkcs12):
        key = read(content, password)
        if key is not None:
            return key
    said = "with this passphrase" if passphrase is not None else "without a passphrase"
    raise InvalidInputError(f"this is no private key in PEM, DER (PKCS #8) or PKCS #12 form that opens {said}")


def _pem(content: bytes, password: bytes | None) -> bytes | None:
    if not content.lstrip().startswith(b"-----BEGIN"):
        return None
    encrypted = b"ENCRYPTED" in content
    try:
        return _pkcs8(serialization.load_pem_private_key(content, password if encrypted else None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted and password is None:
            raise PassphraseNeededError("the file is encrypted and needs its passphrase") from error
        return None


def _der(content: bytes, password: bytes | None) -> bytes | None:
    for secret in dict.fromkeys((None, password)):
        try:
            return _pkcs8(serialization.load_der_private_key(content, secret))
        except TypeError as error:
            if password is None:  # it is encrypted
                raise PassphraseNeededError("the file is encrypted and needs its passphrase") from error
        except (ValueError, UnsupportedAlgorithm):
            pass
    return None


def _pkcs12(content: bytes, password: bytes | None) -> bytes | None:
    try:
        key, _, _ = pkcs12.load_key_and_certificates(content, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        if password is None and b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" in content[:64]:  # id-data: it is PKCS #12
            raise PassphraseNeededError("the file is encrypted and needs its passphrase") from error
        return None
    return None if key is None else _pkcs8(key)


def _pkcs8(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
