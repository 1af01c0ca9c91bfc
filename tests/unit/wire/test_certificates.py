"""Client certificates as they come in: what TLS would take, and words for what it would not."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from privyseal.errors import InvalidRequestError
from privyseal.wire.certificates import PEM_MAX, SUBJECT_MAX, fingerprint, read_again, read_client_certificate
from support.client_certificates import CURVE, NO_CURVE, NO_VERSION, THIRD_VERSION, Made, make


def usage(**given: bool) -> x509.KeyUsage:
    """A key usage with these bits and no others."""
    bits = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: given.get(bit, False) for bit in bits})


CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
X400_NAME = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3002a300"))
CA = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=lambda key: type(key).__name__,
)
def test_it_is_read(key: Any) -> None:
    """With every kind of key that TLS has, self-signed or by a CA."""
    for issuer in (None, ("a CA", CA)):
        made = make("build-host", key=key, issuer=issuer)
        read = read_client_certificate("Subject: what some tools write above it\n" + made.pem)
        assert (read.der, f"sha256:{read.fingerprint}") == (made.der, made.fingerprint)
        assert read.subject == "CN=build-host"
        assert (read.not_before, read.not_after) == (
            made.certificate.not_valid_before_utc,
            made.certificate.not_valid_after_utc,
        )
        assert read_again(made.der) == read


@pytest.mark.parametrize(
    "extensions",
    [
        [(x509.BasicConstraints(ca=True, path_length=None), True)],  # `openssl req -x509` writes it by default
        [(usage(digital_signature=True), True), (CLIENT, True)],
        [(usage(key_agreement=True), True)],
        [(UNKNOWN, False)],
    ],
)
def test_extensions_that_do_no_harm(extensions: list[tuple[x509.ExtensionType, bool]]) -> None:
    """What a certificate may do besides is nobody's business here."""
    read_client_certificate(make(extensions=extensions).pem)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (make(key=ec.generate_private_key(ec.SECP256K1())), "its key is none that TLS takes"),
        (make(key=rsa.generate_private_key(65537, 1024)), "its key is none that TLS takes"),  # noqa: S505 - that is the test
        (make(key=dsa.generate_private_key(2048)), "its key is none that TLS takes"),
        (make(extensions=[(SERVER, False)]), "leaves out clientAuth"),
        (make(extensions=[(usage(key_encipherment=True), True)]), "leaves out digitalSignature"),
        (make(extensions=[(UNKNOWN, True)]), r"critical extension .* \(1\.2\.3\.4\)"),
        (make("host", issuer=("host", CA)), "not by its own key"),
    ],
)
def test_what_tls_would_refuse_later(made: Made, words: str) -> None:
    """It is refused now, with the reason, and not at three in the morning."""
    with pytest.raises(InvalidRequestError, match=words):
        read_client_certificate(made.pem)


def test_other_texts() -> None:
    """Nothing, two, too long, a key beside it, bytes that are no certificate."""
    made = make()
    body = made.pem.splitlines()[1]
    for text, words in (
        ("", "no PEM certificate"),
        (made.pem + make("ca").pem, "there are 2 certificates"),
        (made.pem + made.key_pem, "the private key stays where it is"),
        (made.pem + "#" * PEM_MAX, "at most"),
        (made.pem.replace(body, body[::-1]), "no PEM certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no PEM certificate"),
        (made.altered(THIRD_VERSION, NO_VERSION), "no PEM certificate"),
    ):
        with pytest.raises(InvalidRequestError, match=words):
            read_client_certificate(text)


def test_what_turns_out_wrong_when_it_is_looked_at() -> None:
    """A certificate whose parts are read late: a key that is no point of its curve, names of a kind not read here."""
    made = make()
    point = made.key.public_key().public_numbers()
    for pem in (
        made.altered(point.y.to_bytes(32, "big"), bytes(32)),
        made.altered(CURVE, NO_CURVE),
        make(extensions=[(X400_NAME, False)]).pem,
    ):
        with pytest.raises(InvalidRequestError, match="RFC 5280"):
            read_client_certificate(pem)


def test_unprintable_subjects_are_escaped() -> None:
    """A subject cannot write to the terminal of who lists it, nor fill the screen."""
    assert read_client_certificate(make("a\x1b[2Jb").pem).subject == "CN=a\\x1b[2Jb"
    long = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * 64)] * 20)
    assert len(read_client_certificate(make(long).pem).subject) == SUBJECT_MAX


def test_who_is_in_whose_way() -> None:
    """One that has the name of the other's issuer; names are compared without case and runs of spaces."""
    ca, leaf, alone = (
        read_client_certificate(one.pem) for one in (make("The  CA"), make("leaf", issuer=("the ca", CA)), make("leaf"))
    )
    assert ca.is_in_the_way_of(leaf)
    assert not leaf.is_in_the_way_of(ca)
    assert not alone.is_in_the_way_of(leaf)
    assert not leaf.is_in_the_way_of(alone)
    assert not alone.is_in_the_way_of(alone)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("sha256:" + "ab" * 32, "ab" * 32),
        ("AB" * 32, "ab" * 32),
        (":".join(["AB"] * 32), "ab" * 32),
        ("ab" * 31, None),
        ("sha1:" + "ab" * 32, None),
        ("xy" * 32, None),
    ],
)
def test_fingerprints(text: str, digits: str | None) -> None:
    """As our programs write them, and as `openssl x509 -fingerprint` does."""
    assert fingerprint(text) == digits
