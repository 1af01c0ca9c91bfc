"""TLS with registered certificates as anchors: what it follows, and what must not keep anybody out."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from privyseal.audit.recorder import Recorder
from privyseal.keeper.client import KeeperClient
from privyseal.model.access import Role
from privyseal.model.certificates import ClientCertificate
from privyseal.operations.appliance import Appliance, load, nothing_yet
from privyseal.rest import mutual_tls
from privyseal.rest.mutual_tls import MutualTLS, fingerprint_of
from privyseal.store import appliance as appliance_rows
from privyseal.store import client_certificates, users
from privyseal.store.store import Store, generation
from privyseal.store.times import now
from privyseal.telemetry.bell import Bell, make_bell
from privyseal.tls import TLSFiles
from support.client_certificates import Made, make
from support.waiting import wait_until

Work = Callable[[Appliance, MutualTLS], Coroutine[Any, Any, None]]


def run(folder: Path, work: Work, *, provisioned: bool = True) -> None:
    """Run a test on an appliance with the user alice; no keeper is asked."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    store.migrate()
    if provisioned:
        with store.write() as connection:
            appliance_rows.create(connection, "node")
            users.add(connection, "alice", Role.OPERATOR, "stored")
    files = TLSFiles(folder / "tls")
    files.prepare([])
    recorder = Recorder(store)

    async def wired() -> None:
        snapshot = load(store) if provisioned else nothing_yet()
        appliance = Appliance("node" if provisioned else "", store, KeeperClient(folder / "none"), recorder, snapshot)
        await work(appliance, MutualTLS.of(appliance, files.certificate))

    try:
        asyncio.run(wired())
    finally:
        recorder.close()
        store.close()


def add(store: Store, made: Made, der: bytes | None = None) -> int:
    """Register a certificate in the database as another node would; gives the generation."""
    with store.write() as connection:
        plain = made.fingerprint.removeprefix("sha256:")
        certificate = made.certificate
        row = ClientCertificate(
            plain, "alice", "CN=host", certificate.not_valid_before_utc, certificate.not_valid_after_utc, now()
        )
        client_certificates.add(connection, row, der or made.der)
        return generation(connection)


def shake_hands(server: MutualTLS, made: Made, folder: Path) -> str | None:
    """The fingerprint that the server sees; None when it took no certificate. Raises what the server raises."""
    made.write(folder)
    context = ssl.create_default_context(cafile=folder / "tls" / "ca.pem")
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(there, back, server_side=True)
    theirs = context.wrap_bio(back, there, server_hostname="localhost")
    for one in (theirs, ours, theirs, ours):
        try:
            one.do_handshake()
        except ssl.SSLWantReadError:
            continue
    seen = fingerprint_of(ours)
    return None if seen is None else f"sha256:{seen}"


def takes(server: MutualTLS, made: Made, folder: Path) -> bool:
    """Whether it takes this certificate."""
    try:
        return shake_hands(server, made, folder) == made.fingerprint
    except (ssl.SSLError, ValueError):  # ValueError: the handshake is not done
        return False


def test_without_tls_there_is_no_certificate() -> None:
    """As in a test that speaks to the application without it."""
    assert fingerprint_of(None) is None


def test_it_follows_the_bell(tmp_path: Path) -> None:
    """A bell is heard at the next connection; without it, nothing is asked of the database."""

    async def work(appliance: Appliance, server: MutualTLS) -> None:
        made = make()
        assert not takes(server, made, tmp_path)
        number = add(appliance.store, made)
        assert not takes(server, made, tmp_path)
        appliance.bell.ring(number)
        assert takes(server, made, tmp_path)
        second = make()
        appliance.bell.ring(add(appliance.store, second))
        assert takes(server, second, tmp_path)
        with appliance.store.write() as connection:
            client_certificates.remove(connection, made.fingerprint.removeprefix("sha256:"))
            appliance.bell.ring(generation(connection))
        assert not takes(server, made, tmp_path)
        assert takes(server, second, tmp_path)

    run(tmp_path, work)


def test_it_follows_other_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which ring no bell here: the database is looked at, and again after it was away."""
    monkeypatch.setattr(mutual_tls, "_OTHER_NODES_SECONDS", 0.01)

    async def work(appliance: Appliance, server: MutualTLS) -> None:
        following = asyncio.create_task(server.follow())
        try:
            made = make()
            rename(appliance.store, "client_certificates", "elsewhere")
            add_generation(appliance.store)
            await asyncio.sleep(0.1)
            rename(appliance.store, "elsewhere", "client_certificates")
            add(appliance.store, made)
            await asyncio.to_thread(wait_until, lambda: takes(server, made, tmp_path))
        finally:
            following.cancel()

    run(tmp_path, work)


def test_one_that_cannot_be_used_keeps_nobody_out(tmp_path: Path) -> None:
    """A damaged row is its owner's trouble."""

    async def work(appliance: Appliance, server: MutualTLS) -> None:
        good, bad = make("good"), make("bad")
        add(appliance.store, bad, der=b"garbage")
        appliance.bell.ring(add(appliance.store, good))
        assert takes(server, good, tmp_path)
        assert not takes(server, bad, tmp_path)

    run(tmp_path, work)


def test_a_database_that_is_away_ends_no_connection(tmp_path: Path) -> None:
    """What was known before still opens TLS, and the next connection asks again."""

    async def work(appliance: Appliance, server: MutualTLS) -> None:
        known, later = make("known"), make("later")
        appliance.bell.ring(add(appliance.store, known))
        assert takes(server, known, tmp_path)
        number = add(appliance.store, later)
        rename(appliance.store, "client_certificates", "elsewhere")
        appliance.bell.ring(number)
        assert takes(server, known, tmp_path)
        rename(appliance.store, "elsewhere", "client_certificates")
        assert takes(server, later, tmp_path)

    run(tmp_path, work)


def test_nothing_is_looked_for_before_the_provisioning(tmp_path: Path) -> None:
    """There is nobody whose certificate it could be."""

    async def work(appliance: Appliance, server: MutualTLS) -> None:
        del appliance
        await server._look()
        assert not takes(server, make(), tmp_path)

    run(tmp_path, work, provisioned=False)


def test_a_bell_is_heard_by_all_who_have_it() -> None:
    """It is memory that processes share."""
    descriptor = make_bell()
    one, other = Bell(descriptor), Bell(descriptor)
    one.ring(2**63 - 1)
    assert other.heard == 2**63 - 1
    assert Bell().heard == 0


def rename(store: Store, old: str, new: str) -> None:
    """Take a table away, or bring it back."""
    with store.write() as connection:
        connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def add_generation(store: Store) -> None:
    """Change something else."""
    with store.write() as connection:
        users.change(connection, "alice", {})
