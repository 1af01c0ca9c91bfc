"""The way to the appliance: name, TCP, TLS, clocks, and its certificate, whose trust, names and time are a link each.

What is always true here: no password is sent; what is sent before the certificate is trusted is a question that anybody
may ask, and what comes back is used for nothing but to say how far the clocks are apart.
"""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from cryptography import x509

from privyseal.client import trust
from privyseal.client.configuration import API_PATH
from privyseal.client.errors import CertificateError
from privyseal.client.host.chain import Broken, Patient, Skip

_PATIENCE = 5.0  # seconds
_CLOCKS_APART = 300.0  # seconds; more than that is no drift
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which Python has no name for
_LONGEST_HEADER = 65536


def name(patient: Patient) -> str:
    """The host's name has an address."""
    host, port = _address(patient)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        url = f"https://NAME-OR-ADDRESS:{port}"
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise Broken(f"{host} has no address: {reason}", patient.connect_again.replace(patient.url, url)) from None
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return f"{host} is {', '.join(addresses)}" if host not in addresses else f"{host} is an address"


def tcp(patient: Patient) -> str:
    """Something accepts connections."""
    host, port = _address(patient)
    where = f"{host}, port {port}"
    try:
        with socket.create_connection((host, port), timeout=_patience(patient)) as connection:
            return f"connected to {connection.getpeername()[0]}, port {port}"
    except TimeoutError:
        saw = f"{where}: no answer within {_patience(patient):g} s, so a firewall drops it or the machine is off"
        raise Broken(saw, f"on the appliance: nft add rule inet filter input tcp dport {port} accept") from None
    except ConnectionRefusedError:
        mend = (
            f"on the appliance: systemctl start privyseal; it prints its URL, and for another one {_another(patient)}"
        )
        raise Broken(f"{where}: connection refused, so nothing listens there", mend) from None
    except OSError as error:
        raise Broken(f"{where}: {(error.strerror or str(error)).lower()}", f"ip route get {host}") from None


def tls(patient: Patient) -> str:
    """It speaks TLS. Its certificates are kept for the links to come, unchecked."""
    try:
        with trust.unchecked(_address(patient), _patience(patient)) as connection:
            patient.chain = trust.chain_of(connection)
            patient.offset = _offset(patient, connection)
            return f"{connection.version()}, {len(patient.chain)} certificates"
    except TimeoutError:
        saw = f"connected, and then no answer to TLS within {_patience(patient):g} s"
        raise Broken(saw, "on the appliance: systemctl restart privyseal") from None
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise Broken(f"what answers there does not speak TLS: {reason}", _another(patient)) from None


def clock(patient: Patient) -> str:
    """Host and appliance agree about the time, more or less."""
    if patient.offset is None:
        raise Skip("what answers there does not say what time it is")
    apart = abs(patient.offset)
    if apart <= _CLOCKS_APART:
        return f"{apart:.0f} s apart from the appliance's"
    direction = "ahead of" if patient.offset > 0 else "behind"
    saw = f"this host's clock is {_duration(apart)} {direction} the appliance's; one of them is wrong"
    raise Broken(saw, "timedatectl set-ntp true, on the machine whose clock is wrong")


def certificate(patient: Patient) -> str:
    """The certificate is under a CA that this host trusts."""
    error = _judged(patient, names=False, time=False)
    if error is None:
        return f"under the CA {trust.fingerprint(patient.chain[-1])}"
    last = trust.fingerprint(patient.chain[-1])
    saw = f"{patient.url} is not trusted: {error}; it presents the CA {last}, which {_trusted(patient)} does not have"
    raise Broken(saw, f"{patient.connect_again} --fingerprint SHA256, if `privyseal serve` printed that one")


def names(patient: Patient) -> str:
    """The certificate is for the host that the URL names."""
    error = _judged(patient, names=True, time=False)
    valid = _names(patient.chain[0])
    if error is None:
        return f"it is for {', '.join(valid[:5])}"
    other = next(iter(valid), "NAME")
    host = f"[{other}]" if ":" in other else other
    mend = patient.connect_again.replace(patient.url, f"https://{host}:{_address(patient)[1]}")
    raise Broken(f"it is for {', '.join(valid) or 'no name at all'}, and not for {_address(patient)[0]}", mend)


def validity(patient: Patient) -> str:
    """The certificates are neither expired nor from the future."""
    error = _judged(patient, names=True, time=True)
    leaf, *above = map(x509.load_der_x509_certificate, patient.chain)
    if error is None:
        return f"until {leaf.not_valid_after_utc:%Y-%m-%d}"
    now = dt.datetime.now(dt.UTC)
    for each in above:
        if not each.not_valid_before_utc <= now <= each.not_valid_after_utc:
            saw = f"the CA's certificate is for {_span(each)}"
            raise Broken(saw, f"on the appliance: rm DIR/tls/ca.* and restart it; then {patient.connect_again}")
    saw = f"the certificate is for {_span(leaf)}, and it is {now:%Y-%m-%d}"
    raise Broken(saw, "on the appliance: systemctl restart privyseal, which renews its certificate")


def _span(each: x509.Certificate) -> str:
    return f"{each.not_valid_before_utc:%Y-%m-%d} to {each.not_valid_after_utc:%Y-%m-%d}"


def _judged(patient: Patient, *, names: bool, time: bool) -> str | None:
    """What OpenSSL says against the certificate in one more handshake, or None."""
    try:
        context = trust.context_for(patient.configuration, patient.url)
    except CertificateError as error:
        return error.detail
    context.check_hostname = names
    if not time:
        context.verify_flags |= _NO_CHECK_TIME
    try:
        with _connected(patient, context):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


def _trusted(patient: Patient) -> str:
    configured = patient.configuration
    return str(configured.ca_file or configured.fingerprint or "the system's list")


def _names(certificate: bytes) -> list[str]:
    parsed = x509.load_der_x509_certificate(certificate)
    with contextlib.suppress(x509.ExtensionNotFound):
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [str(each.value) for each in sorted(found, key=lambda each: _is_loopback(str(each.value)))]
    return []


def _is_loopback(value: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(value).is_loopback
    return value == "localhost"


@contextlib.contextmanager
def _connected(patient: Patient, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    host, port = _address(patient)
    with (
        socket.create_connection((host, port), timeout=_patience(patient)) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection


def _offset(patient: Patient, connection: ssl.SSLSocket) -> float | None:
    """How many seconds this host's clock is ahead, by the Date header (RFC 9110, 6.6.1); None where there is none."""
    host, _ = _address(patient)
    question = f"GET {API_PATH}/state HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError, ValueError):
        connection.sendall(question.encode())
        header = b""
        while b"\r\n\r\n" not in header and len(header) < _LONGEST_HEADER and (more := connection.recv(4096)):
            header += more
        lines = header.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        dates = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("date:")]
        return dt.datetime.now(dt.UTC).timestamp() - parsedate_to_datetime(dates[0]).timestamp() if dates else None
    return None


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _another(patient: Patient) -> str:
    return patient.connect_again.replace(patient.url, "URL")


def _address(patient: Patient) -> tuple[str, int]:
    parts = urlsplit(patient.url)
    return parts.hostname or "", parts.port or 443


def _patience(patient: Patient) -> float:
    return min(patient.configuration.timeout_ms / 1000, _PATIENCE)
