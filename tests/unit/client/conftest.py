"""A small HTTPS server that answers what a test tells it to: for answers that no appliance gives."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, settings

from privyseal.client.configuration import Configuration

settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")  # how long an example takes says something about the neighbours here

Answer = bytes | float | tuple[float, bytes] | None
"""Bytes to send; seconds of silence; a pause between the bytes of the body; None cuts the connection at once."""


@dataclass(frozen=True)
class Credentials:
    """A CA and a server certificate for 127.0.0.1 under it, as files."""

    ca_file: Path
    chain_file: Path
    key_file: Path


@dataclass
class Server:
    """Answers one scripted answer to each request; the last one stands for all later ones."""

    url: str
    ca_file: Path
    answers: list[Answer]
    requests: list[bytes] = field(default_factory=list)

    def configuration(self, **options: object) -> Configuration:
        """How a client reaches it; no retries unless a test wants them."""
        return Configuration(
            **{"urls": (self.url,), "ca_file": self.ca_file, "retries": 0, "timeout_ms": 30_000} | options
        )

    def headers(self, name: str) -> list[str]:
        """The values of one header in all requests."""
        lines = [line.decode() for request in self.requests for line in request.split(b"\r\n")]
        return [line.split(": ", 1)[1] for line in lines if line.lower().startswith(f"{name.lower()}: ")]


def http(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """An HTTP answer."""
    lines = [f"HTTP/1.1 {status} Some words", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    """Made once for the session."""
    return make_credentials(tmp_path_factory.mktemp("tls"), ipaddress.ip_address("127.0.0.1"))


@pytest.fixture
def serve(credentials: Credentials) -> Iterator[Callable[..., Server]]:
    """Starts a server: `serve(answer, answer, …)`; `plain=True` speaks without TLS."""
    stops: list[Callable[[], None]] = []

    def start(*answers: Answer, plain: bool = False, tls: Credentials = credentials) -> Server:
        listener = socket.create_server(("127.0.0.1", 0))
        server = Server(f"https://127.0.0.1:{listener.getsockname()[1]}", credentials.ca_file, list(answers))
        thread = threading.Thread(target=_accept, args=(listener, server, None if plain else _context(tls)))
        thread.start()

        def stop() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()

        stops.append(stop)
        return server

    yield start
    for stop in stops:
        stop()


def make_credentials(folder: Path, address: ipaddress.IPv4Address) -> Credentials:
    """A CA and a certificate for one address under it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("test CA", ca_key.public_key(), "test CA", ca_key, x509.BasicConstraints(ca=True, path_length=0))
    names = x509.SubjectAlternativeName([x509.IPAddress(address)])
    leaf = _certificate("test server", key.public_key(), "test CA", ca_key, names)
    made = Credentials(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    made.ca_file.write_bytes(ca)
    made.chain_file.write_bytes(leaf + ca)
    made.key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _certificate(
    subject: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> bytes:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(extension, critical=False)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _context(tls: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.chain_file, tls.key_file)
    return context


def _accept(listener: socket.socket, server: Server, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(20)
        with connection:
            _answer(connection, server, context)


def _answer(connection: socket.socket, server: Server, context: ssl.SSLContext | None) -> None:
    """Answer one request and cut the connection. What the client does to it is the client's business."""
    with contextlib.suppress(OSError):
        stream = context.wrap_socket(connection, server_side=True) if context else connection
        with stream, contextlib.suppress(OSError):
            if request := _read(stream) if context else stream.recv(65536):
                server.requests.append(request)
                _send(stream, server.answers.pop(0) if len(server.answers) > 1 else server.answers[0])


def _read(stream: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        piece = stream.recv(65536)
        if not piece:
            return request
        request += piece
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += stream.recv(65536)
    return head + b"\r\n\r\n" + body


def _send(stream: socket.socket, answer: Answer) -> None:
    match answer:
        case bytes():
            stream.sendall(answer)
        case float():
            stream.settimeout(answer)
            stream.recv(1)  # returns as soon as the client has gone
        case (pause, content):
            head, _, body = content.partition(b"\r\n\r\n")
            stream.sendall(head + b"\r\n\r\n")
            for byte in body:
                stream.sendall(bytes([byte]))
                time.sleep(pause)
