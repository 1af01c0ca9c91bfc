"""TLS that asks for client certificates: the registered ones are its trust anchors, each for itself.

What is always true here:

- TLS proves that the other end has the certificate's private key, and keeps out what nobody registered. Who may do what
  is not decided here: `operations.authenticate` looks each request's certificate up, so a connection outlives neither
  the registration nor the validity of its certificate.
- Validity is looked at there too (X509_V_FLAG_NO_CHECK_TIME), so that who comes too late is told so, on record.
- While none is registered, nobody is asked for one: no browser offers those that it has.
- A new connection meets what is registered at that moment, in every worker of the node: `telemetry.bell`.

No ASGI server hands the certificate on; `rest.protocol` puts its fingerprint into each request's state.
"""

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from privyseal.errors import PrivysealError
from privyseal.operations.appliance import Appliance
from privyseal.operations.refuse_handshake import record_refused
from privyseal.store import client_certificates
from privyseal.store.store import Store

CERTIFICATE = "client_certificate"
"""Where a request's state has the fingerprint; the key is not there when no certificate came."""

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h, for which `ssl` has no name
_OTHER_NODES_SECONDS = 1.0
_log = logging.getLogger("privyseal.worker")


class MutualTLS(ssl.SSLContext):
    """What the event loop holds. Each connection gets the context that fits what is registered when it comes.

    An anchor can be added to a context in use. None can be taken out, so after a removal there is a new one.
    """

    appliance: Appliance
    file: Path
    _anchors: frozenset[str] = frozenset()
    _context: ssl.SSLContext
    _heard: int

    @classmethod
    def of(cls, appliance: Appliance, certificate: Path) -> "MutualTLS":
        """Make it, with the PEM file of the appliance's own certificate and key."""
        made = cls(ssl.PROTOCOL_TLS_SERVER)
        made.appliance, made.file = appliance, certificate
        made._adopt(appliance.bell.heard, _registered(appliance.store))
        return made

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection; the event loop calls this for each."""
        heard = self.appliance.bell.heard
        if heard != self._heard:
            self._try_to_adopt(heard)
        return self._context.wrap_bio(*arguments, **options)

    async def follow(self) -> None:
        """Look for what other nodes have changed, for ever."""
        while True:
            await asyncio.sleep(_OTHER_NODES_SECONDS)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may go well
                _say(error)

    async def _look(self) -> None:
        if not self.appliance.node:  # not provisioned: there are none
            return
        snapshot = await self.appliance.current()
        if snapshot.certificates.keys() != self._anchors:
            heard = self.appliance.bell.heard
            self._adopt(heard, await asyncio.to_thread(_registered, self.appliance.store))

    def _try_to_adopt(self, heard: int) -> None:
        try:
            self._adopt(heard, _registered(self.appliance.store))
        except (PrivysealError, OSError) as error:  # the next connection tries again; requests are decided elsewhere
            _say(error)

    def _adopt(self, heard: int, registered: Mapping[str, bytes]) -> None:
        if self._anchors and self._anchors <= registered.keys():
            _anchor(self._context, {one: der for one, der in registered.items() if one not in self._anchors})
        else:
            self._context = _context(self.file, registered, self._refused)
        self._heard, self._anchors = heard, frozenset(registered)

    def renew(self) -> None:
        """Serve what the file holds now to those who come from here on.

        Raises OSError, ValueError, PrivysealError; then everything is as it was.
        """
        heard, registered = self.appliance.bell.heard, _registered(self.appliance.store)
        self._context = _context(self.file, registered, self._refused)
        self._heard, self._anchors = heard, frozenset(registered)

    def _refused(self, reason: str) -> None:
        record_refused(self.appliance, reason)


def _say(error: Exception) -> None:
    unknown = None if isinstance(error, PrivysealError) else error
    _log.warning("client certificates were not read: %s", error, exc_info=unknown)


def _registered(store: Store) -> dict[str, bytes]:
    with store.read() as connection:
        return client_certificates.every_der(connection)


def _context(file: Path, registered: Mapping[str, bytes], refused: Callable[[str], None]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(file)
    if registered:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
        context.sslobject_class = _handshake(refused)
        _anchor(context, registered)
    return context


def _anchor(context: ssl.SSLContext, registered: Mapping[str, bytes]) -> None:
    for fingerprint, der in registered.items():
        try:
            context.load_verify_locations(cadata=der)
        except ssl.SSLError as error:  # one that cannot be used must keep nobody else out
            _log.warning("client certificate sha256:%s cannot be used: %s", fingerprint, error)


def _handshake(refused: Callable[[str], None]) -> type[ssl.SSLObject]:
    class Handshake(ssl.SSLObject):
        """A connection that says on both sides that it did not take a certificate; the event loop would just end it."""

        _failed: ssl.SSLError | None = None

        def do_handshake(self) -> None:
            if self._failed is not None:
                raise self._failed
            try:
                super().do_handshake()
            except ssl.SSLCertVerificationError as error:
                refused(error.verify_message)
                self._failed = error
                raise ssl.SSLWantReadError from error  # the loop sends the alert, and fails at the next turn

    return Handshake


def fingerprint_of(ssl_object: ssl.SSLObject | None) -> str | None:
    """Give the fingerprint of the certificate that came with a connection, None when none did."""
    der = None if ssl_object is None else ssl_object.getpeercert(binary_form=True)
    return None if der is None else hashlib.sha256(der).hexdigest()
