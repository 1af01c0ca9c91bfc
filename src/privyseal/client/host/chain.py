"""Walking a chain: each link says what it saw, or what is broken and what to type; behind that one nothing is tried.

A link is a function of the `Patient`. It returns what it saw, raises `Broken`, or `Skip` where there is nothing to look
at. What one link finds out, the next ones find in the patient.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from privyseal.client.configuration import Configuration
from privyseal.client.errors import ClientError
from privyseal.client.host.openssl import OpenSSL
from privyseal.client.host.openssl_cnf import Reach
from privyseal.client.host.places import Places
from privyseal.client.records import Core, Key


class State(StrEnum):
    """How a link is."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Link:
    """One link as it was found.

    Attributes:
        saw: what was there, or why nobody looked.
        mend: what to type, for a broken one.
        error: what the appliance or the network said, where it was they.
    """

    name: str
    state: State
    saw: str
    mend: str | None = None
    error: ClientError | None = field(default=None, repr=False)


class Broken(Exception):  # noqa: N818  it names the state of a link, and no caller of ours sees it
    """This link is broken."""

    def __init__(self, saw: str, mend: str, error: ClientError | None = None) -> None:
        super().__init__(saw)
        self.mend = mend
        self.error = error


class Skip(Exception):  # noqa: N818  as `Broken`
    """There is nothing to look at here, for the reason given."""


@dataclass
class Patient:
    """The host as far as it is known.

    Attributes:
        named: the configuration file that was named, None to look for it.
        label: of the key to sign with; None takes one.
        pin: its PIN, None where none was given.
        module: where the module is when no set-up says so.
    """

    environment: Mapping[str, str]
    named: Path | None = None
    label: str | None = None
    pin: str | None = field(default=None, repr=False)
    module: Path | None = None
    file: Path = Path()
    configuration: Configuration = field(default_factory=Configuration)
    places: Places | None = None
    chain: Sequence[bytes] = ()
    offset: float | None = None
    core: Core | None = None
    key: Key | None = None
    slots: Sequence[Mapping[str, object]] = ()
    openssl: OpenSSL | None = None
    openssl_cnf: Path = Path()
    reach: Reach | None = None
    data: bytes = b""
    signature: bytes | None = None

    @property
    def url(self) -> str:
        """The appliance's origin."""
        return self.configuration.urls[0]

    @property
    def connect_again(self) -> str:
        """What sets the host up anew, which mends most."""
        url = self.configuration.urls[0] if self.configuration.urls else "https://HOST:8443"
        prefix = f" --prefix {self.places.prefix}" if self.places and self.places.prefix else ""
        return f"privyseal connect {url} --user {self.configuration.user or 'NAME'} --password-file FILE{prefix}"


Check: TypeAlias = Callable[[Patient], str]


def walk(links: Sequence[tuple[str, Check]], patient: Patient) -> Iterator[Link]:
    """Look at one link after the other."""
    broken: str | None = None
    for name, check in links:
        if broken:
            yield Link(name, State.SKIPPED, f"because {broken} is broken")
            continue
        link = _look(name, check, patient)
        if link.state is State.FAILED:
            broken = name
        yield link


def _said(error: OSError) -> str:
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


def _look(name: str, check: Check, patient: Patient) -> Link:
    try:
        return Link(name, State.OK, check(patient))
    except Skip as reason:
        return Link(name, State.SKIPPED, str(reason))
    except Broken as found:
        return Link(name, State.FAILED, str(found), found.mend, found.error)
    except ClientError as error:
        return Link(name, State.FAILED, error.detail, error.missing_rule or patient.connect_again, error)
    except OSError as error:
        return Link(name, State.FAILED, _said(error), patient.connect_again)
