"""Who is calling with a client certificate: TLS has proved that the caller has its key, the snapshot says whose it is.

A removal moves the generation, so no worker lets a removed certificate in after it, on no connection, however old: as
with credentials, a worker that has not read the change yet cannot record what it did.
"""

from privyseal.errors import UnauthenticatedError
from privyseal.model.access import User
from privyseal.model.certificates import KnownCertificate
from privyseal.store.times import now, words


def valid(known: KnownCertificate) -> User:
    """Give the user of a certificate; raises UnauthenticatedError outside its validity, which TLS does not look at."""
    certificate = known.certificate
    match certificate.state(now()):
        case "active":
            return known.user
        case "expired":
            ended = f"expired on {words(certificate.not_after)}; have a new one registered"
        case _:
            ended = f"is not valid before {words(certificate.not_before)}"
    raise UnauthenticatedError(f"certificate sha256:{certificate.fingerprint} {ended}")


def unregistered(fingerprint: str) -> UnauthenticatedError:
    """Give the refusal of a certificate that nobody registered."""
    return UnauthenticatedError(
        f"certificate sha256:{fingerprint} is registered for nobody; "
        "an administrator types `privyseal user certificate add NAME FILE`"
    )
