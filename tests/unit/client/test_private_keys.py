"""Private keys from files in every form that people have them in."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from privyseal.client.errors import InvalidInputError
from privyseal.client.private_keys import PassphraseNeededError, read_private_key

EC, RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
PLAIN, SECRET = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"phrase")
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, OLD = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
EXPECTED = EC.private_bytes(DER, PKCS8, PLAIN)
OPEN = [
    EC.private_bytes(PEM, PKCS8, PLAIN),
    EC.private_bytes(DER, PKCS8, PLAIN),
    EC.private_bytes(PEM, OLD, PLAIN),
    EC.private_bytes(DER, OLD, PLAIN),
    b"\n" + EC.private_bytes(PEM, PKCS8, PLAIN),
    pkcs12.serialize_key_and_certificates(b"name", EC, None, None, PLAIN),
]
CLOSED = [
    EC.private_bytes(PEM, PKCS8, SECRET),
    EC.private_bytes(DER, PKCS8, SECRET),
    EC.private_bytes(PEM, OLD, SECRET),
    pkcs12.serialize_key_and_certificates(b"name", EC, None, None, SECRET),
]


@pytest.mark.parametrize("content", OPEN)
@pytest.mark.parametrize("passphrase", [None, "ignored"])
def test_a_file_without_a_passphrase(content: bytes, passphrase: str | None) -> None:
    """A passphrase that is not needed does no harm, but PKCS #12 always has one, be it empty."""
    if content is OPEN[-1] and passphrase:
        pytest.skip("PKCS #12 without encryption still has a MAC under the passphrase")
    assert read_private_key(content, passphrase) == EXPECTED


@pytest.mark.parametrize("content", CLOSED)
def test_a_file_with_a_passphrase(content: bytes) -> None:
    """It opens with its own; without one it is asked for, and another one is told to be wrong."""
    assert read_private_key(content, "phrase") == EXPECTED
    with pytest.raises(PassphraseNeededError):
        read_private_key(content)
    with pytest.raises(InvalidInputError, match="with this passphrase"):
        read_private_key(content, "wrong")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"-----BEGIN PRIVATE KEY-----\nbm9uc2Vuc2U=\n-----END PRIVATE KEY-----\n",
        EC.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
)
def test_what_is_no_private_key(content: bytes) -> None:
    with pytest.raises(InvalidInputError, match="no private key"):
        read_private_key(content)


def test_rsa_and_a_file_that_has_only_certificates(certificate: Callable[[], bytes]) -> None:
    """PKCS #1 becomes PKCS #8; a PKCS #12 without a key has nothing to take in."""
    assert read_private_key(RSA.private_bytes(PEM, OLD, PLAIN)) == RSA.private_bytes(DER, PKCS8, PLAIN)
    with pytest.raises(InvalidInputError, match="no private key"):
        read_private_key(certificate(), "phrase")


@pytest.fixture
def certificate() -> Callable[[], bytes]:
    """Makes a PKCS #12 file with a certificate and no key."""
    import datetime as dt  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    def make() -> bytes:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "name")])
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(name, name, EC.public_key(), 1, now, now + dt.timedelta(days=1))
        return pkcs12.serialize_key_and_certificates(None, None, builder.sign(EC, hashes.SHA256()), None, SECRET)

    return make
