"""Client certificates: what a host or person proves to be in the TLS handshake (mutual TLS), in a password's place."""

from dataclasses import dataclass, replace
from datetime import datetime

from privyseal.model.access import User

MOST = 100
"""Certificates of one user."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that is registered for a user: this very one, whoever issued it.

    Attributes:
        fingerprint: SHA-256 of its DER, 64 hexadecimal digits.
        subject: as in RFC 4514, without unprintable characters.
        not_before, not_after: its validity (RFC 5280, section 4.1.2.5); both ends belong to it.
    """

    fingerprint: str
    user: str
    subject: str
    not_before: datetime
    not_after: datetime
    created: datetime

    def state(self, now: datetime) -> str:
        """Say whether it is `active`, `expired` or `not yet valid`."""
        if now < self.not_before:
            return "not yet valid"
        return "active" if now <= self.not_after else "expired"


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A registered certificate with the user who came with it, prepared once for a snapshot."""

    certificate: ClientCertificate
    user: User

    @classmethod
    def of(cls, certificate: ClientCertificate, account: User) -> "KnownCertificate":
        """Prepare a certificate."""
        return cls(certificate, replace(account, certificate=certificate.fingerprint))
