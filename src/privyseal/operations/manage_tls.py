"""The TLS certificate of this node: what is in force, and another one in its place. Connections go on as they are."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from privyseal.errors import ConfigurationError, InvalidRequestError, UnavailableError
from privyseal.model.access import Operation
from privyseal.operations.appliance import Appliance
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.served_tls import ServedTLS
from privyseal.store.times import now
from privyseal.tls import TLSFiles, fingerprint
from privyseal.wire import server_certificates


@dataclass(frozen=True, slots=True)
class InForce:
    """The certificate that this worker serves, and the topmost one above it.

    Attributes:
        names: host names and addresses.
        own: whether the appliance's own CA issued it; only then is it renewed by itself.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str
    own: bool
    authority: str
    authority_fingerprint: str


async def show(appliance: Appliance, caller: Caller) -> InForce:
    """Give the certificate in force. Raises AccessRefusedError."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    served = _served(appliance)
    return await asyncio.to_thread(_in_force, served.files, served.chain)


async def replace(appliance: Appliance, caller: Caller, act: Act, chain: str, private_key: str) -> InForce:
    """Serve a certificate from elsewhere. It is checked before anything is touched.

    Raises InvalidRequestError, ApprovalNeededError, AccessRefusedError.
    """
    require_role(caller, Operation.APPLIANCE_MANAGE)
    content = await asyncio.to_thread(server_certificates.server_pem, chain, private_key, now())
    leaf = x509.load_pem_x509_certificate(content)
    served = _served(appliance)
    return await _put(appliance, caller, act, fingerprint(leaf), lambda: served.files.replace(content))


async def renew(appliance: Appliance, caller: Caller, act: Act) -> InForce:
    """Serve a new certificate of the appliance's own CA, whatever was in force. Raises as `replace`."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    served = _served(appliance)
    return await _put(appliance, caller, act, "by the appliance's own CA", served.files.renew)


async def _put(appliance: Appliance, caller: Caller, act: Act, reason: str, write: Callable[[], None]) -> InForce:
    """Write the file last in the transaction of its event; this worker serves it at once, others within a second."""
    served = _served(appliance)

    def work(_: object) -> InForce:
        try:
            write()
        except ssl.SSLError as error:
            words = f"OpenSSL does not serve it: {(error.reason or 'unknown').lower().replace('_', ' ')}"
            raise InvalidRequestError.of("certificate", words) from error
        except (OSError, ConfigurationError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UnavailableError(f"the certificate cannot be written: {why}") from error
        return _in_force(served.files, served.files.chain())

    result = await change(appliance, caller, act, reason, work)
    served.look()
    return result


def _served(appliance: Appliance) -> ServedTLS:
    assert appliance.tls is not None  # noqa: S101 - whoever was asked over REST serves
    return appliance.tls


def _in_force(files: TLSFiles, chain: Sequence[x509.Certificate]) -> InForce:
    leaf, top = chain[0], chain[-1]
    return InForce(
        subject=leaf.subject.rfc4514_string(),
        issuer=leaf.issuer.rfc4514_string(),
        names=server_certificates.names(leaf),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        fingerprint=fingerprint(leaf),
        own=files.is_own(leaf),
        authority=top.subject.rfc4514_string(),
        authority_fingerprint=fingerprint(top),
    )
