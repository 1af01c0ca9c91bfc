"""Client certificates in both databases: kept, listed, moved into the generation, gone with their user."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from privyseal.errors import ConflictError
from privyseal.model.access import Role
from privyseal.model.certificates import ClientCertificate
from privyseal.operations.appliance import load
from privyseal.store import client_certificates, users
from privyseal.store.store import Store, generation
from privyseal.store.times import now

FIRST = datetime(1, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The end of a certificate without a well-defined one (RFC 5280, section 4.1.2.5)."""


def certificate(digit: str, user: str = "alice") -> ClientCertificate:
    """A certificate whose fingerprint is one digit over and over."""
    created = now().replace(microsecond=0) + timedelta(seconds=int(digit, 16))
    return ClientCertificate(digit * 64, user, "CN=ü", FIRST, LAST, created)


@pytest.fixture
def filled(store: Store) -> Store:
    """Two users and three certificates."""
    with store.write() as connection:
        for name in ("alice", "bob"):
            users.add(connection, name, Role.OPERATOR, "stored")
        for digit, user in (("a", "alice"), ("b", "bob"), ("c", "alice")):
            client_certificates.add(connection, certificate(digit, user), f"der {digit}".encode())
    return store


def fingerprints(connection: Connection, user: str | None = None) -> list[str]:
    """The first digits of what is there."""
    return [one.fingerprint[0] for one in client_certificates.every(connection, user)]


def test_they_are_kept(filled: Store) -> None:
    """With all that there is to them, to the ends of time."""
    with filled.read() as connection:
        assert fingerprints(connection) == ["a", "b", "c"]
        assert fingerprints(connection, "alice") == ["a", "c"]
        assert client_certificates.every_der(connection) == {d * 64: f"der {d}".encode() for d in "abc"}
        [bobs] = client_certificates.every(connection, "bob")
    assert (bobs.subject, bobs.not_before, bobs.not_after) == ("CN=ü", FIRST, LAST)
    known = load(filled).certificates["b" * 64]
    assert (known.certificate, known.user.name, known.user.certificate) == (bobs, "bob", "b" * 64)
    assert known.user.way_in == f"certificate sha256:{'b' * 64}"


def test_one_is_there_once(filled: Store) -> None:
    """Also when two administrators register it at the same time."""
    with pytest.raises(ConflictError), filled.write() as connection:
        client_certificates.add(connection, certificate("a", "bob"), b"der a")


def test_changes_move_the_generation(filled: Store) -> None:
    """So that no decision of before a removal is recorded after it."""
    with filled.write() as connection:
        before = generation(connection)
        client_certificates.remove(connection, "a" * 64)
        assert generation(connection) > before
        assert fingerprints(connection) == ["b", "c"]


def test_they_go_with_their_user(filled: Store) -> None:
    """A namesake has none."""
    with filled.write() as connection:
        users.remove(connection, "alice")
        assert fingerprints(connection) == ["b"]


def test_states() -> None:
    """Both ends belong to the validity."""
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    one = ClientCertificate("a" * 64, "alice", "CN=a", begin, end, begin)
    second = timedelta(seconds=1)
    times = (begin - second, begin, end, end + second)
    assert [one.state(time) for time in times] == ["not yet valid", "active", "active", "expired"]
