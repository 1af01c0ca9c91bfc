"""Queries for client certificates."""

from sqlalchemy import Connection, Row, delete, insert, select

from privyseal.model.certificates import ClientCertificate
from privyseal.store.store import changed
from privyseal.store.tables import client_certificates
from privyseal.store.times import from_micros, to_micros

_SHOWN = tuple(column for column in client_certificates.c if column.name != "der")


def add(connection: Connection, certificate: ClientCertificate, der: bytes) -> None:
    """Keep a certificate."""
    connection.execute(
        insert(client_certificates).values(
            fingerprint=certificate.fingerprint,
            user=certificate.user,
            der=der,
            subject=certificate.subject,
            not_before=to_micros(certificate.not_before),
            not_after=to_micros(certificate.not_after),
            created=to_micros(certificate.created),
        )
    )
    changed(connection)


def every(connection: Connection, user: str | None = None) -> list[ClientCertificate]:
    """Give all certificates, or those of a user, in the order in which they were registered."""
    query = select(*_SHOWN).order_by(client_certificates.c.created, client_certificates.c.fingerprint)
    if user is not None:
        query = query.where(client_certificates.c.user == user)
    return [_certificate(row) for row in connection.execute(query)]


def every_der(connection: Connection) -> dict[str, bytes]:
    """Give the DER of all certificates, by fingerprint."""
    query = select(client_certificates.c.fingerprint, client_certificates.c.der)
    return {row.fingerprint: bytes(row.der) for row in connection.execute(query)}


def remove(connection: Connection, fingerprint: str) -> None:
    """Remove a certificate."""
    connection.execute(delete(client_certificates).where(client_certificates.c.fingerprint == fingerprint))
    changed(connection)


def _certificate(row: Row[tuple[object, ...]]) -> ClientCertificate:
    return ClientCertificate(
        fingerprint=row.fingerprint,
        user=row.user,
        subject=row.subject,
        not_before=from_micros(row.not_before),
        not_after=from_micros(row.not_after),
        created=from_micros(row.created),
    )
