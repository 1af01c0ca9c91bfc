"""A client certificate on its way in: one PEM block, read and checked for what would make TLS refuse it later.

Which certificate it is decides, and not who issued it: a self-signed one is as good as any other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from privyseal.errors import InvalidRequestError

PEM_MAX = 64 * 1024
SUBJECT_MAX = 512
_FIELD = "certificate"
_DIGITS = 64
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # for which TLS has signature schemes (RFC 8446, section 4.2.3)
_RSA_BITS = range(2048, 8193)  # fewer are below OpenSSL's security level 2
_KNOWN_CRITICAL = frozenset(  # what OpenSSL knows of what a client's certificate may have
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)
_Name = frozenset[tuple[str, str]]
UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What the library raises for parts of a certificate that it reads only when they are asked for; most share no base."""


@dataclass(frozen=True, slots=True)
class ReadCertificate:
    """A certificate that TLS accepts as a client's.

    Attributes:
        fingerprint: SHA-256 of the DER, hexadecimal.
        subject: as in RFC 4514, cut off and escaped so that it can be shown.
        names, issuer_names: subject and issuer as OpenSSL compares them: without case and runs of spaces.
    """

    der: bytes
    fingerprint: str
    subject: str
    not_before: datetime
    not_after: datetime
    names: _Name
    issuer_names: _Name

    def is_in_the_way_of(self, other: "ReadCertificate") -> bool:
        """Say whether OpenSSL would take this one for the issuer of the other and judge the other by it.

        It looks for an issuer by its name before it looks whether a certificate is itself an anchor.
        """
        return self.names == other.issuer_names and other.names != other.issuer_names


def read_client_certificate(pem: str) -> ReadCertificate:
    """Read a client's certificate. Raises InvalidRequestError, which says what TLS would not accept."""
    certificate = _only_one(pem)
    try:
        _check(certificate)
        return _read(certificate)
    except (*UNREADABLE, TypeError) as error:
        raise _wrong("it is not a certificate as RFC 5280 has it") from error


def read_again(der: bytes) -> ReadCertificate:
    """Read a certificate that was checked before."""
    return _read(x509.load_der_x509_certificate(der))


def fingerprint(text: str) -> str | None:
    """Give the 64 digits of a fingerprint, written with or without `sha256:` and colons; None when it is none."""
    digits = text.lower().removeprefix("sha256:").replace(":", "")
    return digits if len(digits) == _DIGITS and set(digits) <= set("0123456789abcdef") else None


def _only_one(pem: str) -> x509.Certificate:
    if len(pem) > PEM_MAX:
        raise _wrong(f"a certificate has at most {PEM_MAX} characters")
    if "PRIVATE KEY" in pem:
        raise _wrong("send the certificate alone: the private key stays where it is")
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise _wrong("this holds no PEM certificate that can be read") from error
    if len(found) != 1:
        raise _wrong(f"there are {len(found)} certificates in it; give the client's own and no other")
    return found[0]


def _check(certificate: x509.Certificate) -> None:
    if not _is_usable(certificate.public_key()):
        raise _wrong("its key is none that TLS takes: RSA of 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or Ed448")
    for reason in _objections(certificate.extensions):
        raise _wrong(reason)
    if certificate.issuer == certificate.subject and not _signed_itself(certificate):
        raise _wrong("it names itself as its issuer, and its signature is not by its own key")


def _is_usable(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size in _RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey))


def _objections(extensions: x509.Extensions) -> Iterator[str]:
    """Say what OpenSSL's purpose check for TLS clients has against it."""
    for extension in extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            yield f"it has a critical extension that TLS does not know ({extension.oid.dotted_string})"
        match extension.value:
            case x509.KeyUsage() as usage if not (usage.digital_signature or usage.key_agreement):
                yield "its key usage leaves out digitalSignature, which a TLS client needs"
            case x509.ExtendedKeyUsage() as usages if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
                yield "its extended key usage leaves out clientAuth"


def _signed_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return False
    return True


def _read(certificate: x509.Certificate) -> ReadCertificate:
    return ReadCertificate(
        der=certificate.public_bytes(serialization.Encoding.DER),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        subject=_printable(certificate.subject.rfc4514_string())[:SUBJECT_MAX],
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        names=_compared(certificate.subject),
        issuer_names=_compared(certificate.issuer),
    )


def _compared(name: x509.Name) -> _Name:
    return frozenset((one.oid.dotted_string, " ".join(str(one.value).casefold().split())) for one in name)


def _printable(text: str) -> str:
    """Escape what could mislead a reader's terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _wrong(message: str) -> InvalidRequestError:
    return InvalidRequestError.of(_FIELD, message)
