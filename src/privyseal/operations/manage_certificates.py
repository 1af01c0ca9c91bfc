"""Client certificates: register, list and remove. Administrators do it, logged in as persons.

What is registered is one certificate, whoever issued it. A CA that is registered vouches for nobody but itself.
"""

from sqlalchemy import Connection

from privyseal.errors import ConflictError, InvalidRequestError, NotFoundError
from privyseal.model.access import Operation
from privyseal.model.certificates import MOST, ClientCertificate
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.operations.require_person import require_person
from privyseal.store import client_certificates
from privyseal.store.times import now, words
from privyseal.wire.certificates import ReadCertificate, fingerprint, read_again, read_client_certificate


async def add_certificate(appliance: Appliance, caller: Caller, act: Act, user: str, pem: str) -> ClientCertificate:
    """Register a certificate. Raises NotFoundError, InvalidRequestError, ConflictError, AccessRefusedError."""
    require_person(caller)
    _require_user(caller, user)
    read = read_client_certificate(pem)
    made = ClientCertificate(read.fingerprint, user, read.subject, read.not_before, read.not_after, now())
    if made.state(made.created) == "expired":
        raise InvalidRequestError.of("certificate", f"it expired on {words(read.not_after)}")

    def work(connection: Connection) -> ClientCertificate:
        _require_room(client_certificates.every(connection), made)
        _require_no_confusion(client_certificates.every_der(connection), read)
        client_certificates.add(connection, made, read.der)
        return made

    added = await change(appliance, caller, act, _words(made), work)
    appliance.bell.ring(appliance.snapshot.generation)
    return added


async def list_certificates(appliance: Appliance, caller: Caller, user: str) -> list[ClientCertificate]:
    """Give a user's certificates; everybody may see the own ones."""
    if user != caller.user.name:
        _require_user(caller, user)
    return await look(appliance, lambda connection: client_certificates.every(connection, user))


async def remove_certificate(appliance: Appliance, caller: Caller, act: Act, user: str, given: str) -> None:
    """Remove a certificate by its fingerprint, in every worker at once. Raises NotFoundError, AccessRefusedError."""
    require_person(caller)
    _require_user(caller, user)
    known = caller.snapshot.certificates.get(fingerprint(given) or "")
    if known is None or known.certificate.user != user:
        raise NotFoundError(
            f"user '{user}' has no certificate with this fingerprint; see `privyseal user certificate list {user}`"
        )
    found = known.certificate.fingerprint
    words = f"certificate sha256:{found} of user '{user}'"
    await change(appliance, caller, act, words, lambda connection: client_certificates.remove(connection, found))
    appliance.bell.ring(appliance.snapshot.generation)


def _require_user(caller: Caller, user: str) -> None:
    require_role(caller, Operation.USER_MANAGE)
    if user not in caller.snapshot.users:
        raise NotFoundError(f"there is no user '{user}'; see `privyseal user list`")


def _require_room(others: list[ClientCertificate], made: ClientCertificate) -> None:
    for one in others:
        if one.fingerprint == made.fingerprint:
            raise ConflictError(f"the certificate is registered for user '{one.user}' already")
    if sum(one.user == made.user for one in others) >= MOST:
        raise ConflictError(f"user '{made.user}' has {MOST} certificates; that is the most")


def _require_no_confusion(others: dict[str, bytes], made: ReadCertificate) -> None:
    """Keep apart what OpenSSL would not: with one in the way of another, the other's host could not connect."""
    for one in map(read_again, others.values()):
        if made.is_in_the_way_of(one) or one.is_in_the_way_of(made):
            raise ConflictError(
                f"certificate sha256:{one.fingerprint} is registered, and one of the two has the name of the other's "
                "issuer; register certificates of clients, not of their CA"
            )


def _words(made: ClientCertificate) -> str:
    until = words(made.not_after)
    return f"certificate sha256:{made.fingerprint} ({made.subject}) of user '{made.user}', until {until}"
