"""The appliance's own small CA and the TLS certificate under it.

The server's certificate is a leaf: rustls refuses one with CA:TRUE. Its subject alternative names are every local name
and address, so that no host has to edit /etc/hosts; it is made anew when these change or its end comes near.
"""

import contextlib
import datetime as dt
import fcntl
import ipaddress
import os
import socket
import ssl
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from privyseal.errors import ConfigurationError

_CA_DAYS = 3650
_LEAF_DAYS = 397
_RENEW_DAYS = 30
_SIOCGIFADDR = 0x8915  # netdevice(7)


class TLSFiles:
    """The files below DIR/tls: `ca.pem` goes to clients, `ca.key` and `server.pem` stay.

    `server.pem` has the private key, the certificate and its chain in one, so that they are replaced together.
    """

    def __init__(self, folder: Path) -> None:
        self.ca = folder / "ca.pem"
        self.ca_key = folder / "ca.key"
        self.certificate = folder / "server.pem"
        self._names = folder / "names"  # those of this machine: workers may not look for them
        self._lock = folder / "lock"

    def prepare(self, extra_names: list[str]) -> None:
        """Make what is missing, and a new leaf when names have changed or 30 days are left.

        A certificate from elsewhere stays as it is. One that cannot be read is replaced.
        """
        self.ca.parent.mkdir(mode=0o700, exist_ok=True)
        with self._alone():
            if not self.ca.exists():
                _make_ca(self)
            found = sorted(local_names() | set(extra_names))
            write_private(self._names, "\n".join(found).encode())
            names = {_general(name) for name in found}
            if self._is_stale(names):
                _make_leaf(self, sorted(names, key=repr))

    def renew_if_due(self) -> bool:
        """Make a new leaf with the same names if 30 days are left; say whether. One from elsewhere stays.

        Raises ConfigurationError, OSError.
        """
        if self._ending() is None:  # nearly always, and without the lock
            return False
        with self._alone():
            ending = self._ending()  # a worker may have put another one there meanwhile
            if ending is not None:
                _make_leaf(self, _names(ending))
        return ending is not None

    def renew(self) -> None:
        """Make a new leaf of our own CA now, whatever is in force, for every name found at the start or a reload."""
        with self._alone():
            _make_leaf(self, [_general(name) for name in self._names.read_text().split("\n")])

    def replace(self, content: bytes) -> None:
        """Serve a certificate from elsewhere: PEM of a private key, its certificate and the chain, checked before.

        Raises ssl.SSLError for what OpenSSL does not serve, such as a key that is too short; then nothing is changed.
        """
        with self._alone():
            tried = self.certificate.with_name("tried.pem")
            write_private(tried, content)
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tried)
                tried.replace(self.certificate)
            finally:
                tried.unlink(missing_ok=True)
            _sync(self.certificate.parent)

    def chain(self) -> list[x509.Certificate]:
        """Give the certificate in the file and those above it. Raises OSError, ValueError."""
        try:
            return x509.load_pem_x509_certificates(self.certificate.read_bytes())
        except x509.InvalidVersion as error:  # no ValueError of the library's
            raise ValueError(str(error)) from error

    def leaf(self) -> bytes:
        """Give the certificate in DER."""
        return self.chain()[0].public_bytes(serialization.Encoding.DER)

    def is_own(self, certificate: x509.Certificate) -> bool:
        """Say whether our own CA has issued a certificate."""
        try:
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(self.ca.read_bytes()))
        except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
            return False
        return True

    def fingerprint(self) -> str:
        """Give `sha256:` and, in hexadecimal, that of the topmost certificate served: the CA's."""
        return fingerprint(self.chain()[-1])

    def _ending(self) -> x509.Certificate | None:
        """Give the certificate if it is our own CA's and ends soon."""
        try:
            certificate = self.chain()[0]
            return certificate if self.is_own(certificate) and _ends_soon(certificate) else None
        except (OSError, ValueError):  # somebody is copying a file to here
            return None

    def _is_stale(self, names: set[x509.GeneralName]) -> bool:
        try:
            certificate = self.chain()[0]
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate)
        except (OSError, ValueError):  # none yet, one of an older version, or none that could be served
            return True
        return self.is_own(certificate) and (_ends_soon(certificate) or set(_names(certificate)) != names)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time write here."""
        with self._lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def fingerprint(certificate: x509.Certificate) -> str:
    """Give `sha256:` and a certificate's SHA-256 in hexadecimal."""
    return f"sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


def local_names() -> set[str]:
    """Give every name and address under which this machine may be reached from itself or its networks."""
    host = socket.gethostname()
    names = {"localhost", "127.0.0.1", "::1", host, socket.getfqdn()}
    return names | set(_addresses_v4()) | set(_addresses_v6())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, on the disk before this returns, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Put the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _addresses_v4() -> list[str]:
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # an interface without an IPv4 address
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found


def _addresses_v6() -> list[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:  # no IPv6 here
        return []
    addresses = [ipaddress.IPv6Address(bytes.fromhex(line.split()[0])) for line in lines]
    return [str(address) for address in addresses if not address.is_link_local]


def _make_ca(files: TLSFiles) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Privyseal CA of {socket.gethostname()}"[:64])
    builder = _builder(name, name, key.public_key(), _CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    write_private(files.ca_key, _pem(key))
    write_private(files.ca, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def _make_leaf(files: TLSFiles, names: Sequence[x509.GeneralName]) -> None:
    try:
        ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
        ca_key = serialization.load_pem_private_key(files.ca_key.read_bytes(), None)
        if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
            raise TypeError("not the key that _make_ca wrote")  # noqa: TRY301 - told like one that cannot be read
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the appliance's TLS authority cannot be read ({files.ca} and {files.ca_key}); put both back from a "
            f"backup, or remove {files.ca.parent}: then hosts have to trust the new one that is made"
        ) from error
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(socket.gethostname()[:64]), ca.subject, key.public_key(), _LEAF_DAYS)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    builder = builder.add_extension(authority, critical=False)
    leaf = builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    write_private(files.certificate, _pem(key) + leaf + files.ca.read_bytes())
    files.certificate.with_suffix(".key").unlink(missing_ok=True)  # where older versions kept it


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _ends_soon(certificate: x509.Certificate) -> bool:
    return (certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)).days < _RENEW_DAYS


def _names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
