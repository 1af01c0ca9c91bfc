"""Client certificates of every sort, made as a host or its CA would, and connections that bring one."""

import datetime as dt
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.x509.oid import NameOID

from support.appliance import Appliance

THIRD_VERSION, NO_VERSION = bytes.fromhex("a003020102"), bytes.fromhex("a003020105")
"""How a certificate says that it is of version 3, and of version 6, which there is not."""
CURVE, NO_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030177")
"""The object identifier of P-256, and one that names no curve."""


@dataclass(frozen=True)
class Made:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """As TLS sends it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def altered(self, old: bytes, new: bytes) -> str:
        """In PEM, with other bytes in place of some; its signature does not fit any more."""
        assert len(old) == len(new)
        assert old in self.der
        return ssl.DER_cert_to_PEM_cert(self.der.replace(old, new))

    @property
    def fingerprint(self) -> str:
        """As the appliance calls it."""
        return f"sha256:{self.certificate.fingerprint(hashes.SHA256()).hex()}"

    @property
    def key_pem(self) -> str:
        """The private key alone."""
        encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem: bytes = self.key.private_bytes(*encoding)
        return pem.decode()

    def write(self, folder: Path, name: str = "host") -> Self:
        """Write NAME.pem and NAME.key."""
        (folder / f"{name}.pem").write_text(self.pem)
        key = folder / f"{name}.key"
        key.touch(mode=0o600)
        key.write_text(self.key_pem)
        return self


def make(
    subject: str | x509.Name = "host",
    *,
    key: Any = None,
    issuer: tuple[str | x509.Name, Any] | None = None,
    valid: tuple[float, float] = (-3600, 30 * 86400),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Made:
    """Make a certificate.

    Args:
        key: None for a new P-256 key.
        issuer: its name and key; None for a self-signed certificate.
        valid: from when to when, in seconds from now.
        extensions: each with whether it is critical.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    issuer_name, issuer_key = issuer or (subject, key)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(seconds=valid[0]))
        .not_valid_after(now + dt.timedelta(seconds=valid[1]))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    bare = isinstance(issuer_key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return Made(builder.sign(issuer_key, None if bare else hashes.SHA256()), key)


def context(appliance: Appliance, made: Made | None, folder: Path, version: ssl.TLSVersion | None = None) -> Any:
    """What a client's TLS needs to bring a certificate; files go to a folder."""
    found = ssl.create_default_context(cafile=appliance.ca_file)
    if version is not None:
        found.minimum_version = found.maximum_version = version
    if made is not None:
        made.write(folder, "of-a-client")
        found.load_cert_chain(folder / "of-a-client.pem", folder / "of-a-client.key")
    return found


def connect(appliance: Appliance, made: Made | None, folder: Path, **options: Any) -> httpx2.Client:
    """A client that brings a certificate and no password, whose paths begin behind /api/v1; the caller closes it."""
    version = options.pop("version", None)
    return httpx2.Client(
        base_url=f"{appliance.url}/api/v1",
        verify=context(appliance, made, folder, version),
        trust_env=False,
        timeout=60,
        **options,
    )


def _name(text: str | x509.Name) -> x509.Name:
    if isinstance(text, x509.Name):
        return text
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
