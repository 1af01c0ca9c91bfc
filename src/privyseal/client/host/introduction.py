"""How host and appliance get to know each other: the CA certificate, and whether the user may log in.

What is always true here: no password goes to a server whose certificate is not under the CA that was agreed on.
"""

import contextlib
import dataclasses
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from privyseal.client import trust
from privyseal.client.appliance import Appliance
from privyseal.client.configuration import Configuration
from privyseal.client.errors import CertificateError, ConfigurationError
from privyseal.client.records import Core, Key

SIGN = "key:sign"
ACTIVE = "active"
FOR_DIGESTS = ("ec:", "rsa:")
_LOOKED_AT = 1000  # keys of a core; a page of the list


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the appliance said to the user: the cores that this user may see, and the keys in those that are meant."""

    cores: tuple[Core, ...]
    keys: tuple[Key, ...]

    @property
    def signing(self) -> Key | None:
        """A key that this user may sign with; None where there is none."""
        return signing_key(self.keys)


def ca_certificate(url: str, timeout: float) -> bytes:
    """The CA certificate that the appliance sends along, DER. Nobody has checked it: ask somebody who knows.

    Raises:
        CertificateError: it sends none, so its CA has to come by another way.
        UnreachableError: it did not answer.
    """
    last = trust.presented_chain(url, timeout)[-1]
    if not _is_its_own_issuer(last):
        raise CertificateError(f"{url} does not send the certificate of its CA along")
    return last


def ca_certificates(file: Path) -> tuple[bytes, ...]:
    """The certificates in a PEM file, DER.

    Raises:
        ConfigurationError: it cannot be read or holds none.
    """
    try:
        return tuple(trust.certificates_in(file))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: cannot be used: {trust.said(error)}") from None


def pem(certificates: tuple[bytes, ...]) -> bytes:
    """Certificates as the content of a CA file."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, certificates)).encode()


@contextlib.contextmanager
def trusting(configuration: Configuration, certificates: tuple[bytes, ...]) -> Iterator[Configuration]:
    """The same configuration with these certificates to trust, as long as the context lasts."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem(certificates))
        file.flush()
        yield dataclasses.replace(configuration, ca_file=Path(file.name))


def greet(configuration: Configuration, core: int | str | None) -> Greeting:
    """Log in and look around.

    Args:
        configuration: where to, whom to trust and as whom.
        core: whose keys to list; None means of every core that the user may see.

    Raises:
        ClientError: the appliance cannot be reached, is not trusted, is locked, or refuses the user.
    """
    with Appliance(configuration) as there:
        cores = tuple(there.cores())
        meant = [each for each in cores if core in {None, each.number, each.name}]
        keys = [key for each in meant for key in islice(there.core(each.number).keys(), _LOOKED_AT)]
    return Greeting(cores, tuple(keys))


def signing_key(keys: Iterable[Key]) -> Key | None:
    """Of those that the user may sign with now the first, but rather one that OpenSSL signs digests with."""
    return rather_for_digests(key for key in keys if SIGN in key.operations and key.state == ACTIVE)


def rather_for_digests(keys: Iterable[Key]) -> Key | None:
    """The first key whose type signs digests, else the first one; None where there is none."""
    first: Key | None = None
    for key in keys:
        if key.type.startswith(FOR_DIGESTS):
            return key
        first = first or key
    return first


def _is_its_own_issuer(certificate: bytes) -> bool:
    """Whether a certificate is a root: subject and issuer are one."""
    from cryptography import x509  # noqa: PLC0415  it takes 60 ms, and only new hosts need it

    parsed = x509.load_der_x509_certificate(certificate)
    return parsed.subject == parsed.issuer
