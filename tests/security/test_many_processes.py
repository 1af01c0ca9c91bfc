"""Several processes are one appliance: what one changes holds in all, and the death of any is a moment's trouble."""

import base64
import contextlib
import hashlib
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import httpx2
import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from support.appliance import PIN, Appliance
from support.postgresql import PostgreSQL
from support.processes import BIN, Process, base_environment, free_port

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
BODY = {"digest": DIGEST, "hash": "SHA-256", "pin": PIN}
SIGN = "/api/v1/cores/1/keys/release/sign"
LONGEST = 60.0  # seconds: no client waits longer, whatever dies; seconds on a quiet machine


@pytest.fixture(scope="module")
def pair(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with two workers, and a key `release` that its users may sign with."""
    appliance = new_appliance("--workers", "2")
    appliance.add_key("release")
    return appliance


@contextlib.contextmanager
def connections(appliance: Appliance, user: str, count: int) -> Iterator[list[httpx2.Client]]:
    """Clients with a connection each, so that every worker gets some."""
    context = ssl.create_default_context(cafile=appliance.ca_file)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                httpx2.Client(
                    base_url=appliance.url,
                    auth=(user, appliance.passwords[user]),
                    verify=context,
                    trust_env=False,
                    timeout=LONGEST,
                )
            )
            for _ in range(count)
        ]


class Load:
    """Threads that sign again and again; each answer is kept with the time at which it was asked for."""

    def __init__(self, clients: list[httpx2.Client]) -> None:
        self.answers: list[tuple[float, float, int]] = []
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[client]) for client in clients]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: httpx2.Client) -> None:
        while not self._stop.is_set():
            asked = time.monotonic()
            try:
                status = client.post(SIGN, json=BODY).status_code
            except httpx2.TransportError as error:
                self.errors.append(error)
                time.sleep(0.05)
            else:
                self.answers.append((asked, time.monotonic(), status))

    def wait(self, enough: Callable[[], bool]) -> None:
        """Go on until something has been seen."""
        deadline = time.monotonic() + LONGEST
        while not enough():
            assert time.monotonic() < deadline, (self.answers[-3:], self.errors[-3:])
            time.sleep(0.01)

    def signed_since(self, moment: float) -> int:
        """How many signatures were asked for after a moment."""
        return sum(asked > moment and status == 200 for asked, _, status in list(self.answers))


def new_signer(appliance: Appliance, name: str) -> str:
    """A user who may sign with `release`."""
    appliance.add_user(name)
    appliance.add_rule(name, "release")
    return name


def test_no_signature_is_answered_after_the_rule_is_gone(pair: Appliance) -> None:
    """Requests run in both workers while the rule is deleted: those that are answered later are refused."""
    new_signer(pair, "quick")
    with connections(pair, "quick", 6) as clients, Load(clients) as load:
        load.wait(lambda: load.signed_since(0) > 50)
        rule = pair.api("GET", "/rules?user=quick").json()["rules"][0]["number"]
        pair.api("DELETE", f"/rules/{rule}")
        gone = time.monotonic()
        load.wait(lambda: sum(answered > gone + 0.2 for _, answered, _ in list(load.answers)) > 50)
    assert {status for asked, _, status in load.answers if asked > gone} == {403}
    assert {status for _, answered, status in load.answers if answered > gone + 0.2} == {403}
    assert load.errors == []


def test_a_new_password_ends_the_old_one_in_every_worker(pair: Appliance) -> None:
    """Each connection was recognised before; none is after, and the new password works at once."""
    new_signer(pair, "fickle")
    with connections(pair, "fickle", 6) as clients:
        assert {client.post(SIGN, json=BODY).status_code for client in clients} == {200}
        pair.passwords["fickle"] = "a new password"
        pair.api("PUT", "/users/fickle", {"password": "a new password"})
        assert {client.post(SIGN, json=BODY).status_code for client in clients[:2]} == {401}
        answers = [client.post(SIGN, json=BODY, auth=("fickle", "a new password")) for client in clients]
        assert {answer.status_code for answer in answers} == {200}


def test_a_deleted_user_is_nobody_in_every_worker(pair: Appliance) -> None:
    """Also where the header was recognised a moment ago."""
    new_signer(pair, "leaver")
    with connections(pair, "leaver", 4) as clients:
        assert {client.post(SIGN, json=BODY).status_code for client in clients} == {200}
        pair.api("DELETE", "/users/leaver")
        assert {client.post(SIGN, json=BODY).status_code for client in clients} == {401}


def test_a_deleted_key_signs_in_no_worker(pair: Appliance) -> None:
    """Workers and keeper had it opened; after the answer it refuses everywhere."""
    new_signer(pair, "user-of-doomed")
    pair.add_rule("user-of-doomed", "doomed")
    pair.add_key("doomed")
    with connections(pair, "user-of-doomed", 6) as clients:
        path = SIGN.replace("release", "doomed")
        assert {client.post(path, json=BODY).status_code for client in clients} == {200}
        pair.api("DELETE", "/cores/1/keys/doomed")
        assert {client.post(path, json=BODY).status_code for client in clients} == {403}


@pytest.mark.parametrize("victim", ["worker", "keeper"])
def test_a_killed_process_is_a_moments_trouble(pair: Appliance, victim: str) -> None:
    """Under load, kill -9: no client waits for ever, and signatures go on with a new process."""
    new_signer(pair, f"client-of-{victim}")
    find = {"worker": lambda: pair.worker_processes()[0], "keeper": pair.keeper_process}[victim]
    with connections(pair, f"client-of-{victim}", 6) as clients, Load(clients) as load:
        load.wait(lambda: load.signed_since(0) > 50)
        killed = find()
        os.kill(killed, signal.SIGKILL)
        load.wait(lambda: not Path(f"/proc/{killed}").exists() and len(pair.worker_processes()) == 2)
        load.wait(lambda: pair.api("GET", "/health/ready", check=False).status_code == 200)
        back = time.monotonic()
        load.wait(lambda: load.signed_since(back) > 50)
    assert not any(isinstance(error, httpx2.TimeoutException) for error in load.errors)
    assert max(answered - asked for asked, answered, _ in load.answers) < LONGEST
    assert {status for _, _, status in load.answers} <= {200, 503}
    assert find() != killed


def test_numbers_of_events_have_no_gap(pair: Appliance) -> None:
    """Whatever was killed before this: every number once, and one event for each signature that was answered."""
    numbers: list[int] = []
    after: int | None = 0
    while after is not None:
        page = pair.api("GET", f"/audit/events?after={after}&limit=1000").json()
        numbers += [event["number"] for event in page["events"]]
        after = page["next"]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_second_serve_on_one_directory_says_so(pair: Appliance) -> None:
    """It ends with 1 and leaves the first one alone."""
    words = [str(BIN / "privyseal"), "serve", "--data", str(pair.data), "--listen", f"127.0.0.1:{free_port()}"]
    log = pair.directory / "second.log"
    second = Process(words, environment=base_environment(), log=log)
    try:
        assert second.wait() == 1
    finally:
        second.kill()
    assert f"another `privyseal serve` is using {pair.data}" in log.read_text()
    assert pair.api("GET", "/health/ready").status_code == 200


@pytest.mark.parametrize("ending", ["stop", "stop_hard"])
def test_keys_and_tickets_outlive_a_restart(new_appliance: Callable[..., Appliance], ending: str) -> None:
    """SIGTERM ends it in bounded time with 0, though a client stays connected; a power cut loses nothing either."""
    appliance = new_appliance("--workers", "2")
    new_signer(appliance, "alice")
    appliance.add_key("release")
    ticket = appliance.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()["ticket"]
    public = load_pem_public_key(appliance.api("GET", "/cores/1/keys/release/public.pem").content)
    began = time.monotonic()
    if ending == "stop":
        assert appliance.process is not None
        assert appliance.process.stop() == 0
    else:
        appliance.stop_hard()
    assert time.monotonic() - began < 40  # what has not ended after 10 s is killed; a busy machine takes its time
    appliance.start()
    body = {"data": base64.b64encode(b"x").decode(), "ticket": ticket}
    signature = appliance.api("POST", "/cores/1/keys/release/sign", body, user="alice").json()["signature"]
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(signature), b"x", ec.ECDSA(hashes.SHA256()))


def test_a_database_that_goes_away(new_appliance: Callable[..., Appliance], postgresql: PostgreSQL) -> None:
    """No signature leaves without its event: 503 while the database refuses, and signatures again when it is back."""
    url = postgresql.new_database()
    appliance = new_appliance("--workers", "2", "--database", url)
    new_signer(appliance, "alice")
    appliance.add_key("release")
    name = url.rpartition("/")[2]
    server = f"postgresql://privyseal@127.0.0.1:{postgresql.port}/postgres"
    with connections(appliance, "alice", 4) as clients, psycopg.connect(server, autocommit=True) as administrator:
        assert {client.post(SIGN, json=BODY).status_code for client in clients} == {200}
        administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for client in clients:
            answer = client.post(SIGN, json=BODY)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:privyseal:problem:unavailable")
            assert "retry-after" in answer.headers
            assert "signature" not in answer.json()
        administrator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
        assert {client.post(SIGN, json=BODY).status_code for client in clients} == {200}
