"""A server's certificate as an administrator hands it in: PEM of private key and chain, checked at the door."""

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from privyseal.errors import InvalidRequestError
from privyseal.wire.certificates import PEM_MAX, UNREADABLE

_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # those that clients offer by themselves


def server_pem(chain_pem: str, key_pem: str, now: dt.datetime) -> bytes:
    """Give key and chain in one PEM, the server's own certificate first. Raises InvalidRequestError.

    Args:
        chain_pem: the server's certificate, then each one's issuer; the topmost authority may be missing.
        key_pem: its private key, not encrypted.
        now: when it has to be valid.
    """
    for field, given in (("certificate", chain_pem), ("private_key", key_pem)):
        if len(given) > PEM_MAX:
            raise InvalidRequestError.of(field, f"at most {PEM_MAX} characters go in here")
    chain, key = _chain(chain_pem), _key(key_pem)
    try:
        _check_leaf(chain[0], now)
        belongs = key.public_key() == chain[0].public_key()
        _check_names(chain)
    except UNREADABLE as error:
        raise InvalidRequestError.of("certificate", "it is not a certificate as RFC 5280 has it") from error
    if not belongs:
        raise InvalidRequestError.of("private_key", "it does not belong to the first certificate")
    for lower, upper in pairwise(chain):
        _check_issued(lower, upper)
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return plain + b"".join(one.public_bytes(pem) for one in chain)


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Give the names and addresses that a server's certificate is for (RFC 5280, 4.2.1.6)."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
    )


def _chain(pem: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise InvalidRequestError.of("certificate", "these are no certificates in PEM") from error


def _key(pem: str) -> _PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # a TypeError if it is encrypted
        raise InvalidRequestError.of("private_key", "this is no private key in PEM without a passphrase") from error
    if not isinstance(key, _PrivateKey):
        raise InvalidRequestError.of("private_key", "a TLS server's key is of type EC, RSA or Ed25519")
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, _CURVES):
        raise InvalidRequestError.of("private_key", "a TLS server's EC key is on P-256, P-384 or P-521")
    return key


def _check_leaf(certificate: x509.Certificate, now: dt.datetime) -> None:
    """Refuse what clients would refuse: rustls, among others, takes no server certificate that is a CA's."""
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise InvalidRequestError.of("certificate", "it is not valid at this time")
    if not names(certificate):
        raise InvalidRequestError.of("certificate", "it names no host: the subject alternative names are missing")
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if is_ca:
        raise InvalidRequestError.of("certificate", "the first one must be the server's, and this is an authority's")


def _check_names(chain: Sequence[x509.Certificate]) -> None:
    """Read all that is shown of them later; raises one of UNREADABLE."""
    for one in chain:
        one.subject.rfc4514_string()
        one.issuer.rfc4514_string()


def _check_issued(lower: x509.Certificate, upper: x509.Certificate) -> None:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        subject = lower.subject.rfc4514_string()
        message = f"behind '{subject}' stands a certificate that has not issued it"
        raise InvalidRequestError.of("certificate", message) from error
