"""A wire between the module and an appliance that can be cut, go silent, or say something else.

Always true: it forwards bytes in both directions and looks at none; with certificates of its own it ends TLS on both
sides, and then what comes back can be replaced by anything at all.
"""

import contextlib
import datetime as dt
import ipaddress
import select
import socket
import ssl
import struct
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Wire:
    """Forwards from a port of its own to another one, until it is told to misbehave."""

    def __init__(self, port: int, *, server: ssl.SSLContext | None = None) -> None:
        self.target = port
        self.silent = False
        self.garbage: bytes | None = None
        self._server = server
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection, as a firewall does with those that it has forgotten."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def close(self) -> None:
        """Listen no more, and reset what there is: the node is gone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=[connection], daemon=True).start()

    def _carry(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as open_:
            self._connections.append(open_.enter_context(connection))
            near = open_.enter_context(self._near(connection))
            far = open_.enter_context(socket.create_connection(("127.0.0.1", self.target)))
            far = open_.enter_context(self._far(far))
            while self._pass(near, far):
                pass

    def _near(self, connection: socket.socket) -> socket.socket:
        if self._server is None:
            return connection
        wrapped = self._server.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with contextlib.ExitStack() as unless_it_shakes_hands:
            unless_it_shakes_hands.enter_context(wrapped)
            wrapped.do_handshake()
            unless_it_shakes_hands.pop_all()
        return wrapped

    def _far(self, connection: socket.socket) -> socket.socket:
        if self._server is None:
            return connection
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        return trusting.wrap_socket(connection)

    def _pass(self, near: socket.socket, far: socket.socket) -> bool:
        waiting = [end for end in (near, far) if isinstance(end, ssl.SSLSocket) and end.pending()]
        ready = waiting or select.select([near, far], [], [], 120)[0]
        for end in ready:
            data = end.recv(65536)
            if not data:
                return False
            if self.silent:
                continue
            if self.garbage is not None:
                near.sendall(self.garbage)
                return False
            (far if end is near else near).sendall(data)
        return bool(ready)


def own_authority(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate authority and a server certificate for 127.0.0.1 below it: the file to trust, and the server's."""
    authority, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wire")])
    now = dt.datetime.now(dt.UTC)

    def certificate(key: ec.EllipticCurvePrivateKey, subject: x509.Name, *, ca: bool) -> x509.Certificate:
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).add_extension(address, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        builder = builder.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
        return builder.sign(authority, SHA256())

    trusted, served = directory / "wire-ca.pem", directory / "wire.pem"
    trusted.write_bytes(certificate(authority, name, ca=True).public_bytes(Encoding.PEM))
    key = leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wire's server")])
    served.touch(mode=0o600)
    served.write_bytes(certificate(leaf, subject, ca=False).public_bytes(Encoding.PEM) + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served)
    return trusted, context
