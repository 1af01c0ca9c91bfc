"""Whom a host trusts, tried with real TLS handshakes."""

import hashlib
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from privyseal.client import errors, trust
from privyseal.client.configuration import Configuration
from privyseal.client.http import Connection

from .conftest import Credentials, Server, http, make_credentials

Serve = Callable[..., Server]


def ca_fingerprint(credentials: Credentials) -> str:
    """Of the CA certificate, computed without the code under test."""
    der = ssl.PEM_cert_to_DER_cert(credentials.ca_file.read_text())
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def ask(configuration: Configuration) -> int:
    """One request."""
    with Connection(configuration) as connection:
        return connection.request("GET", "/state").status


def test_only_certificates_leave_a_file() -> None:
    """What stands beside them stays here, a private key before all."""
    block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    key = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n"
    assert trust.certificates_only(f"words\n{block}{key}{block}") == block * 2
    with pytest.raises(errors.InvalidInputError):
        trust.certificates_only(key)


def test_fingerprint_of_the_ca_is_enough(serve: Serve, credentials: Credentials) -> None:
    server = serve(http(200))
    assert ask(server.configuration(ca_file=None, fingerprint=ca_fingerprint(credentials))) == 200


def test_nothing_is_sent_before_the_fingerprint_fits(serve: Serve) -> None:
    server = serve(http(200))
    wrong = server.configuration(ca_file=None, fingerprint=f"sha256:{'0' * 64}", user="alice", password="p")
    with pytest.raises(errors.CertificateError):
        ask(wrong)
    assert server.requests == []


def test_fingerprint_binds_the_key_and_not_only_the_chain(
    serve: Serve, credentials: Credentials, tmp_path: Path
) -> None:
    """An attacker who sends our CA certificate along with a leaf of his own is not believed."""
    theirs = make_credentials(tmp_path, ipaddress.ip_address("127.0.0.1"))
    forged = tmp_path / "forged.pem"
    leaf = theirs.chain_file.read_text().split("-----BEGIN")[1]
    forged.write_text(f"-----BEGIN{leaf}{credentials.ca_file.read_text()}")
    server = serve(http(200), tls=Credentials(theirs.ca_file, forged, theirs.key_file))
    with pytest.raises(errors.CertificateError):
        ask(server.configuration(ca_file=None, fingerprint=ca_fingerprint(credentials)))
    assert server.requests == []


def test_ca_file_and_fingerprint_must_agree(serve: Serve, credentials: Credentials) -> None:
    server = serve(http(200))
    assert ask(server.configuration(fingerprint=ca_fingerprint(credentials))) == 200
    with pytest.raises(errors.CertificateError):
        ask(server.configuration(fingerprint=f"sha256:{'0' * 64}"))


def test_the_system_does_not_know_our_ca(serve: Serve) -> None:
    with pytest.raises(errors.CertificateError):
        ask(serve(http(200)).configuration(ca_file=None))


def test_another_ca_is_not_trusted(serve: Serve, tmp_path: Path) -> None:
    theirs = make_credentials(tmp_path, ipaddress.ip_address("127.0.0.1"))
    with pytest.raises(errors.CertificateError):
        ask(serve(http(200)).configuration(ca_file=theirs.ca_file))


def test_the_name_is_checked_with_a_fingerprint_too(serve: Serve, tmp_path: Path) -> None:
    elsewhere = make_credentials(tmp_path, ipaddress.ip_address("192.0.2.1"))
    server = serve(http(200), tls=elsewhere)
    with pytest.raises(errors.CertificateError, match=r"127\.0\.0\.1"):
        ask(server.configuration(ca_file=None, fingerprint=ca_fingerprint(elsewhere)))


def test_a_server_certificate_is_no_fingerprint(serve: Serve, credentials: Credentials) -> None:
    """The fingerprint is the CA's; the leaf is made anew when names change, and its fingerprint would not last."""
    leaf = ssl.PEM_cert_to_DER_cert(
        f"{credentials.chain_file.read_text().split('-----END')[0]}-----END CERTIFICATE-----"
    )
    with pytest.raises(errors.CertificateError):
        ask(serve(http(200)).configuration(ca_file=None, fingerprint=trust.fingerprint(leaf)))


def test_chain_of_nobody() -> None:
    with pytest.raises(errors.UnreachableError):
        trust.presented_chain("https://127.0.0.1:1", 1)


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_holds_no_certificate(tmp_path: Path, content: str) -> None:
    (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(errors.ConfigurationError, match=r"ca\.pem"):
        ask(Configuration(urls=("https://127.0.0.1:1",), ca_file=tmp_path / "ca.pem"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"ca\.pem"):
        ask(Configuration(urls=("https://127.0.0.1:1",), ca_file=tmp_path / "ca.pem"))


def test_a_client_certificate_is_presented(serve: Serve, credentials: Credentials) -> None:
    """It loads and the handshake goes on; the appliance decides what it is worth."""
    server = serve(http(200))
    assert ask(server.configuration(client_cert=credentials.chain_file, client_key=credentials.key_file)) == 200
    with pytest.raises(errors.ConfigurationError):
        ask(server.configuration(client_cert=credentials.chain_file, client_key=credentials.ca_file))
