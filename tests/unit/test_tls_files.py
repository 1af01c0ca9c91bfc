"""The TLS files of a node: what is put there can be served, and what cannot be read is told as one kind of error."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from privyseal.tls import TLSFiles
from support.client_certificates import CURVE, NO_CURVE, NO_VERSION, THIRD_VERSION, make

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def files(tmp_path: Path) -> TLSFiles:
    """Those of a node that has just begun."""
    made = TLSFiles(tmp_path / "tls")
    made.prepare([])
    return made


def too_short() -> bytes:
    """A key that OpenSSL does not serve, with its certificate."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hsm")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + dt.timedelta(days=9))
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(pem)
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate


def test_what_openssl_would_not_serve_is_not_written(files: TLSFiles) -> None:
    """The file stays as it was, and nothing of the new key is left beside it."""
    before, beside = files.certificate.read_bytes(), sorted(files.certificate.parent.iterdir())
    with pytest.raises(ssl.SSLError, match="TOO_SMALL"):
        files.replace(too_short())
    assert files.certificate.read_bytes() == before
    assert sorted(files.certificate.parent.iterdir()) == beside


def test_what_can_be_served_is(files: TLSFiles) -> None:
    """It is in force, and nothing of it is left beside."""
    content, beside = files.certificate.read_bytes(), sorted(files.certificate.parent.iterdir())
    files.renew()
    files.replace(content)
    assert files.certificate.read_bytes() == content
    assert sorted(files.certificate.parent.iterdir()) == beside


def test_a_file_with_a_certificate_of_no_version(files: TLSFiles) -> None:
    """Whoever reads it gets an error that is expected: it is not renewed, and replaced at the next start."""
    files.certificate.write_text(make().altered(THIRD_VERSION, NO_VERSION))
    with pytest.raises(ValueError, match="version"):
        files.chain()
    assert not files.renew_if_due()
    files.prepare([])
    assert files.is_own(files.chain()[0])


def test_a_certificate_on_no_curve_is_not_our_own(files: TLSFiles) -> None:
    """Also where the authority's own file is one that cannot be understood."""
    leaf = files.chain()[0]
    authority = files.ca.read_bytes()
    der = ssl.PEM_cert_to_DER_cert(authority.decode()).replace(CURVE, NO_CURVE)
    files.ca.write_text(ssl.DER_cert_to_PEM_cert(der))
    assert not files.is_own(leaf)
