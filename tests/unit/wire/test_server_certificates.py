"""What a TLS server may be given to serve: a key, its certificate and the chain, and nothing that clients refuse."""

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtensionOID, NameOID

from privyseal.errors import InvalidRequestError
from privyseal.wire.certificates import PEM_MAX
from privyseal.wire.server_certificates import names, server_pem
from support.client_certificates import CURVE, NO_CURVE, NO_VERSION, THIRD_VERSION, Made

NOW = dt.datetime.now(dt.UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hsm")])
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def issued(*extensions: x509.ExtensionType) -> x509.Certificate:
    """A certificate of its own making, with these extensions."""
    builder = x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 1, NOW, NOW + dt.timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, hashes.SHA256())


SAN = x509.SubjectAlternativeName([x509.DNSName("hsm.example")])
CA = x509.BasicConstraints(ca=True, path_length=None)


def test_names_are_those_of_the_extension() -> None:
    """And the subject's common name is none."""
    assert names(issued()) == ()
    assert names(issued(SAN)) == ("hsm.example",)


@pytest.mark.parametrize("extensions", [(SAN,), (SAN, x509.BasicConstraints(ca=False, path_length=None))])
def test_key_and_chain_come_in_one(extensions: tuple[x509.ExtensionType, ...]) -> None:
    """The key first, which OpenSSL finds anywhere; a certificate that says nothing of being an authority is none."""
    pem = issued(*extensions).public_bytes(Encoding.PEM)
    assert server_pem(pem.decode(), KEY_PEM, NOW) == KEY_PEM.encode() + pem


@pytest.mark.parametrize(
    ("extensions", "when", "said"),
    [
        ((), NOW, "it names no host"),
        ((SAN,), NOW - dt.timedelta(days=1), "not valid at this time"),
        ((SAN,), NOW + dt.timedelta(days=2), "not valid at this time"),
        ((SAN, CA), NOW, "this is an authority's"),
    ],
)
def test_what_clients_would_refuse(extensions: tuple[x509.ExtensionType, ...], when: dt.datetime, said: str) -> None:
    """Is refused here already."""
    with pytest.raises(InvalidRequestError, match=said):
        server_pem(issued(*extensions).public_bytes(Encoding.PEM).decode(), KEY_PEM, when)


def test_pem_that_is_none() -> None:
    """Each field is named."""
    pem = issued(SAN).public_bytes(Encoding.PEM).decode()
    edwards = ed448.Ed448PrivateKey.generate()
    other = edwards.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    stranger = ec.generate_private_key(ec.SECP256R1())
    another = stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    nowhere = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).replace(CURVE, NO_CURVE)
    for chain, key, said in (
        ("x", KEY_PEM, "no certificates in PEM"),
        (pem, "x", "no private key in PEM"),
        (Made(issued(SAN), KEY).altered(THIRD_VERSION, NO_VERSION), KEY_PEM, "no certificates in PEM"),
        (pem, key_pem(nowhere), "no private key in PEM"),
        (pem, other, "of type EC, RSA or Ed25519"),
        (pem, on_a_curve_that_tls_has_not(), "on P-256, P-384 or P-521"),
        (pem + " " * PEM_MAX, KEY_PEM, "at most"),
        (pem, KEY_PEM + " " * PEM_MAX, "at most"),
        (pem, another, "does not belong to the first"),
    ):
        with pytest.raises(InvalidRequestError, match=said):
            server_pem(chain, key, NOW)


def on_a_curve_that_tls_has_not() -> str:
    """A key that OpenSSL loads for a server, whose every handshake would then fail."""
    key = ec.generate_private_key(ec.SECP256K1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def key_pem(der: bytes) -> str:
    """A private key in PEM."""
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(der).decode()}\n-----END PRIVATE KEY-----\n"


def test_a_leaf_that_cannot_be_read() -> None:
    """Its key is on no curve, its names are none or of a kind that is not read here, its subject is no text."""
    oid = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    broken, unknown = (x509.UnrecognizedExtension(oid, bytes.fromhex(der)) for der in ("0500", "3002a300"))
    for pem in (
        Made(issued(SAN), KEY).altered(CURVE, NO_CURVE),
        Made(issued(broken), KEY).pem,
        Made(issued(unknown), KEY).pem,
        Made(issued(SAN), KEY).altered(b"\x0c\x03hsm", b"\x0c\x03\xff\xff\xff"),
    ):
        with pytest.raises(InvalidRequestError, match=r"body\.certificate: .* RFC 5280"):
            server_pem(pem, KEY_PEM, NOW)


def test_a_chain_has_to_hold() -> None:
    """Each certificate is issued by the one behind it, which has a key that can be read."""
    leaf = issued(SAN).public_bytes(Encoding.PEM).decode()
    assert server_pem(leaf + issued(CA).public_bytes(Encoding.PEM).decode(), KEY_PEM, NOW).count(b"BEGIN CERT") == 2
    foreign = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(NAME, NAME, foreign.public_key(), 2, NOW, NOW + dt.timedelta(days=1))
    stranger = builder.sign(foreign, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    with pytest.raises(InvalidRequestError, match="has not issued it"):
        server_pem(leaf + stranger, KEY_PEM, NOW)
    with pytest.raises(InvalidRequestError, match="has not issued it"):
        server_pem(leaf + Made(issued(CA), KEY).altered(CURVE, NO_CURVE), KEY_PEM, NOW)
