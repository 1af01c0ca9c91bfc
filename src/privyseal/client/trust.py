"""Whom this host trusts: the TLS context for one appliance.

Three ways, in the configuration's words: `ca_file` (the certificates to trust), `fingerprint` (the SHA-256 of the
appliance's CA certificate, which the server sends along in its chain) or neither (the system's certificates). The host
name is checked in all of them. TLS 1.2 is the oldest version spoken.
"""

import contextlib
import hashlib
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from privyseal.client.configuration import Configuration, reason
from privyseal.client.errors import (
    CertificateError,
    ConfigurationError,
    InvalidInputError,
    TimedOutError,
    UnreachableError,
)

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def context_for(configuration: Configuration, url: str) -> ssl.SSLContext:
    """The TLS context for the appliance at `url`.

    With a fingerprint and no `ca_file` this opens one connection to fetch the chain that the server presents. Nothing
    is sent over it, and it only ever yields the certificate that the fingerprint names.

    Raises:
        ConfigurationError: a file cannot be read or holds no certificate.
        CertificateError: no certificate has the configured fingerprint.
        UnreachableError: the chain could not be fetched.
    """
    try:
        context = ssl.create_default_context(cadata=_anchors(configuration, url))
        if configuration.client_cert:
            context.load_cert_chain(configuration.client_cert, configuration.client_key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as error:
        files = [str(file) for file in (configuration.ca_file, configuration.client_cert) if file]
        raise ConfigurationError(f"{' or '.join(files) or 'the certificates'}: cannot be used: {said(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def certificates_only(pem: str) -> str:
    """The certificates in a PEM text, without what stands beside them: often a private key.

    Raises:
        InvalidInputError: there is none.
    """
    blocks = _PEM.findall(pem)
    if not blocks:
        raise InvalidInputError("this holds no PEM certificate")
    return "".join(f"{block}\n" for block in blocks)


def fingerprint(certificate: bytes) -> str:
    """`sha256:` and the hexadecimal SHA-256 of a certificate's DER, as `privyseal serve` prints it."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


def presented_chain(url: str, timeout: float) -> list[bytes]:
    """The certificates that the server at `url` presents, DER, leaf first. Nothing about them has been checked.

    Args:
        url: the server's origin.
        timeout: longest wait for the network, in seconds.

    Raises:
        UnreachableError: it did not answer, or not with TLS.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 443)
    try:
        with unchecked(address, timeout) as connection:
            return chain_of(connection)
    except TimeoutError:
        raise TimedOutError(f"{url} did not answer within {timeout:g} seconds") from None
    except OSError as error:
        raise UnreachableError(f"{url} cannot be reached: {said(error)}") from None


def _anchors(configuration: Configuration, url: str) -> bytes | None:
    """The certificates to trust, DER, one behind the other; None means the system's."""
    if configuration.ca_file:
        certificates = certificates_in(configuration.ca_file)
    elif configuration.fingerprint:
        certificates = presented_chain(url, configuration.timeout_ms / 1000)
    else:
        return None
    if configuration.fingerprint:
        certificates = [each for each in certificates if fingerprint(each) == configuration.fingerprint]
        if not certificates:
            where = configuration.ca_file or url
            raise CertificateError(f"no certificate of {where} has the fingerprint {configuration.fingerprint}")
    return b"".join(certificates)


def certificates_in(path: Path) -> list[bytes]:
    """The certificates in a PEM file, DER.

    Raises:
        ConfigurationError: it holds none.
        OSError: it cannot be read.
        ValueError: one is damaged.
    """
    blocks = _PEM.findall(path.read_text(encoding="ascii", errors="replace"))
    certificates = [ssl.PEM_cert_to_DER_cert(block) for block in blocks]
    if not certificates:
        raise ConfigurationError(f"{path}: holds no PEM certificate")
    return certificates


def said(error: Exception) -> str:
    """What was said about a file or a connection: by the system without its number, by anybody else in full."""
    return reason(error) if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else str(error)


def _no_passphrase() -> str:
    """Keep OpenSSL from asking the terminal for a passphrase."""
    raise ValueError("the private key has a passphrase, which nobody could type here")


@contextlib.contextmanager
def unchecked(address: tuple[str, int], timeout: float) -> Iterator[ssl.SSLSocket]:
    """A connection to whoever answers there: nothing about its certificate is checked, so tell it no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(address, timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=address[0]) as connection,
    ):
        yield connection


def chain_of(connection: Any) -> list[bytes]:
    """The presented chain. `SSLSocket.get_unverified_chain` came with Python 3.13; before, only its inside had it."""
    if sys.version_info >= (3, 13):
        return list(connection.get_unverified_chain())
    encoding_der = 2  # _ssl.ENCODING_DER
    return [bytes(each.public_bytes(encoding_der)) for each in connection._sslobj.get_unverified_chain()]  # noqa: SLF001
