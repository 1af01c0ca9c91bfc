"""Processes are killed again and again under load, the disk fills up, the clock is set back: nothing is lost.

Clients sign, make keys and try wrong PINs all the time and keep what they were told; afterwards that is compared with
the record and with the keys. `PRIVYSEAL_SOAK=1` (`make soak`) kills twenty times as often.
"""

import base64
import contextlib
import hashlib
import itertools
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2

from support.appliance import PIN, Appliance

KILLS = 200 if os.environ.get("PRIVYSEAL_SOAK") else 10
LONGEST = 90.0  # seconds; what takes some on a quiet machine may take many on a busy one


class Clients:
    """Threads that ask for one thing after another, and what they were told."""

    def __init__(self, appliance: Appliance) -> None:
        self.signed: list[tuple[int, str]] = []
        self.made: list[str] = []
        self.statuses: set[int] = set()
        self._appliance = appliance
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._run, args=[name]) for name in ("alice", "bob", "carol")]

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Keep them busy in a block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def wait_for(self, more: int) -> None:
        """Wait until so many more signatures have been made."""
        wanted, deadline = len(self.signed) + more, time.monotonic() + LONGEST
        while len(self.signed) < wanted:
            assert time.monotonic() < deadline, f"no signatures any more; statuses so far {self.statuses}"
            time.sleep(0.02)

    def _run(self, user: str) -> None:
        client = self._appliance.client(user)
        for number in self._numbers:
            if self._stop.is_set():
                break
            try:
                self._ask(client, number, user)
            except httpx2.TransportError:  # a worker was killed; the supervisor starts another
                time.sleep(0.05)
        client.close()

    def _ask(self, client: httpx2.Client, number: int, user: str) -> None:
        if number % 20 == 0:
            answer = client.post("/api/v1/cores/1/keys", json={"label": f"{user} {number}", "type": "ec:P-256"})
            self.made += [answer.json()["id"]] if answer.status_code == 201 else []
        else:
            digest = hashlib.sha256(b"%d" % number).digest()
            body = {"digest": base64.b64encode(digest).decode(), "hash": "SHA-256"}
            answer = client.post("/api/v1/cores/1/keys/plain/sign", json=body)
            if answer.status_code == 200:
                self.signed.append((answer.json()["event"], hashlib.sha256(digest).hexdigest()))
        self.statuses.add(answer.status_code)


def new(new_appliance: Callable[..., Appliance] | Callable[[], Appliance]) -> Appliance:
    """An appliance with two workers, three users and the keys `plain`, and `secret` with a PIN."""
    appliance = new_appliance()
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    for name in ("alice", "bob", "carol"):
        appliance.add_user(name)
        appliance.add_rule(name, operations=("key:sign", "key:generate"))
    appliance.add_key("plain", pin=None)
    appliance.add_key("secret")
    return appliance


def whole_record(appliance: Appliance) -> dict[int, dict[str, Any]]:
    """All events by number."""
    found: dict[int, dict[str, Any]] = {}
    after: int | None = 0
    while after is not None:
        page = appliance.api("GET", f"/audit/events?after={after}&limit=1000").json()
        found |= {event["number"]: event for event in page["events"]}
        after = page["next"]
    return found


def compare(appliance: Appliance, clients: Clients) -> None:
    """What the clients were told is on record, every key has its event and signs, and no number is missing."""
    record = whole_record(appliance)
    assert sorted(record) == list(range(1, len(record) + 1))
    assert [number for number, digest in clients.signed if record[number]["input"] != digest] == []
    listed = appliance.api("GET", "/cores/1/keys?limit=1000").json()["keys"]
    made = {event["key"] for event in record.values() if (event["operation"], event["outcome"]) == MADE}
    assert {key["id"] for key in listed} == made >= set(clients.made)
    for key in listed:
        body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256"} | (
            {"pin": PIN} if key["pin"] else {}
        )
        appliance.api("POST", f"/cores/1/keys/{key['id']}/sign", body, user="alice")


MADE = ("key:generate", "done")


def until_ready(appliance: Appliance) -> None:
    """Wait until the supervisor has put everything right."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.TransportError, StopIteration):
            if appliance.api("GET", "/health/ready", check=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the appliance did not come back")


def test_processes_are_killed_again_and_again(new_appliance: Callable[..., Appliance]) -> None:
    """Workers, the keeper, and now and then all at once: afterwards nothing is lost or half made."""
    appliance = new(lambda: new_appliance("--workers", "2"))
    clients, dice = Clients(appliance), random.Random(1)  # noqa: S311 - which process to kill is no secret
    with clients.busy():
        for kill in range(KILLS):
            clients.wait_for(10 + dice.randrange(20))
            if kill % 5 == 4:
                appliance.stop_hard()
                appliance.start()
            else:
                victims = [*appliance.worker_processes(), appliance.keeper_process()]
                os.kill(dice.choice(victims), signal.SIGKILL)
                until_ready(appliance)
        clients.wait_for(20)
    assert clients.statuses <= {200, 201, 503}
    compare(appliance, clients)


def test_a_full_disk(new_appliance: Callable[..., Appliance]) -> None:
    """While nothing can be written nothing is signed; when there is room again, all goes on."""
    appliance = new(lambda: new_appliance("--workers", "2"))
    clients = Clients(appliance)
    with clients.busy():
        clients.wait_for(20)
        limit = 512  # bytes; no file may grow beyond it, as if there were no room
        for worker in appliance.worker_processes():
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        deadline = time.monotonic() + LONGEST
        while 503 not in clients.statuses:
            assert time.monotonic() < deadline, clients.statuses
            time.sleep(0.05)
        answers = {appliance.api("GET", "/audit/events?limit=1", check=False).status_code for _ in range(5)}
        assert answers <= {200, 503}
        for worker in appliance.worker_processes():
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        clients.wait_for(50)
    assert clients.statuses <= {200, 201, 503}
    compare(appliance, clients)


def test_the_clock_is_set_back(shim: Callable[[str], Path], tmp_path: Path) -> None:
    """By a month: signatures go on, numbers keep the order, and a wait for a wrong PIN does not last a month."""
    appliance = Appliance(tmp_path / "appliance", "--workers", "1")
    offset = tmp_path / "offset"
    offset.write_text("0")
    appliance.variables = {"LD_PRELOAD": str(shim("clock")), "CLOCK_OFFSET": str(offset)}
    appliance.start()
    try:
        new(lambda: appliance)
        ticket = appliance.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()["ticket"]
        body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256"}
        path = "/cores/1/keys/secret/sign"
        for _ in range(5):
            assert appliance.api("POST", path, {**body, "pin": "wrong PIN"}, user="bob", check=False).status_code == 403
        assert appliance.api("POST", path, {**body, "pin": PIN}, user="bob", check=False).status_code == 429
        offset.write_text(str(-30 * 24 * 3600))
        appliance.api("POST", path, {**body, "ticket": ticket}, user="alice")
        deadline = time.monotonic() + LONGEST
        while appliance.api("POST", path, {**body, "pin": PIN}, user="bob", check=False).status_code == 429:
            assert time.monotonic() < deadline, "the wait does not end"
            time.sleep(0.2)
        appliance.api("POST", path, {**body, "pin": PIN}, user="bob")
        record = whole_record(appliance)
        assert sorted(record) == list(range(1, len(record) + 1))
        assert record[len(record)]["time"] < record[1]["time"]
    finally:
        appliance.stop()
