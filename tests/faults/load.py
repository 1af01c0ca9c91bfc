"""Clients that keep an appliance busy while things go wrong, and remember what they were told."""

import base64
import contextlib
import hashlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from privyseal.access.attempts import key_subject
from privyseal.store import attempts
from privyseal.store.store import Store
from support.appliance import PIN, Appliance

LONGEST = 90.0  # seconds; what takes some on a quiet machine may take many on a busy one
USERS = ("alice", "bob", "carol")
GUESSERS = 4  # each has a user and a key, because ten wrong PINs lock both
MADE = ("key:generate", "done")


@dataclass
class Told:
    """What the clients were told.

    Attributes:
        signed: event numbers, and SHA-256 of what was signed.
        wrong: how many wrong PINs, by key.
        trouble: what no client may meet, such as an answer that does not come.
    """

    signed: list[tuple[int, str]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)
    statuses: set[int] = field(default_factory=set)
    trouble: list[BaseException] = field(default_factory=list)


class Clients:
    """Threads that ask for one thing after another: signatures, keys, and use of a key with a wrong PIN."""

    def __init__(self, appliance: Appliance) -> None:
        self.told = Told()
        self._appliance = appliance
        self._stop = threading.Event()
        self._numbers = itertools.count()
        works: list[tuple[Callable[[httpx2.Client, str], None], str]] = [(self._ask, name) for name in USERS]
        works += [(self._guess, f"guesser{number}") for number in range(GUESSERS)]
        self._threads = [threading.Thread(target=self._run, args=work) for work in works]

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Keep them busy in a block; afterwards nobody may have waited in vain."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        assert not self.told.trouble, self.told.trouble

    def wait_for(self, more: int) -> None:
        """Wait until so many more signatures have been made."""
        wanted = len(self.told.signed) + more
        self.wait_until(lambda: len(self.told.signed) >= wanted)

    def wait_until(self, true: Callable[[], bool]) -> None:
        """Wait until something is so; what that depends on has to come."""
        deadline = time.monotonic() + LONGEST
        while not true():
            assert time.monotonic() < deadline, f"it does not come; statuses {self.told.statuses} {self.told.trouble}"
            time.sleep(0.02)

    def _run(self, work: Callable[[httpx2.Client, str], None], user: str) -> None:
        with self._appliance.client(user) as client:
            while not self._stop.is_set():
                try:
                    work(client, user)
                except httpx2.TimeoutException as hang:
                    self.told.trouble.append(hang)
                    return
                except httpx2.TransportError:  # a process was killed; the supervisor starts another
                    time.sleep(0.05)
                except BaseException as error:  # noqa: BLE001 - the test has to hear of it
                    self.told.trouble.append(error)
                    return

    def _ask(self, client: httpx2.Client, user: str) -> None:
        number = next(self._numbers)
        if number % 20 == 0:
            answer = client.post("/api/v1/cores/1/keys", json={"label": f"{user} {number}", "type": "ec:P-256"})
            self.told.made += [answer.json()["id"]] if answer.status_code == 201 else []
        else:
            digest = hashlib.sha256(b"%d" % number).digest()
            body = {"digest": base64.b64encode(digest).decode(), "hash": "SHA-256"}
            answer = client.post("/api/v1/cores/1/keys/plain/sign", json=body)
            if answer.status_code == 200:
                self.told.signed.append((answer.json()["event"], hashlib.sha256(digest).hexdigest()))
        self.told.statuses.add(answer.status_code)

    def _guess(self, client: httpx2.Client, user: str) -> None:
        body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256", "pin": "a wrong PIN"}
        answer = client.post(f"/api/v1/cores/1/keys/{user}/sign", json=body)
        if answer.status_code == 403 and "attempts_left" in answer.json():
            self.told.wrong[user] += 1
        else:
            assert answer.status_code in {403, 423, 429, 503}, answer.text
        self._stop.wait(0.3)


def new(appliance: Appliance) -> Appliance:
    """Give an appliance users, the keys `plain`, and `secret` and those of the guessers, which have a PIN."""
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_key("plain", pin=None)
    appliance.add_key("secret")
    for name in USERS:
        appliance.add_user(name)
        appliance.add_rule(name, operations=("key:sign", "key:generate"))
    for number in range(GUESSERS):
        name = appliance.add_user(f"guesser{number}")
        appliance.add_rule(name, name)
        appliance.add_key(name)
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


def compare(appliance: Appliance, told: Told, database: str | None = None) -> None:
    """What the clients were told is on record, each key has its event and signs, no number and no guess is missing."""
    record = whole_record(appliance)
    assert sorted(record) == list(range(1, len(record) + 1))
    assert [number for number, digest in told.signed if record[number]["input"] != digest] == []
    listed = appliance.api("GET", "/cores/1/keys?limit=1000").json()["keys"]
    made = {event["key"] for event in record.values() if (event["operation"], event["outcome"]) == MADE}
    assert {key["id"] for key in listed} == made >= set(told.made)
    assert _forgotten(listed, told.wrong, database or f"sqlite:///{appliance.data / 'privyseal.db'}") == {}
    for key in listed:
        if key["label"] not in told.wrong:
            body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256"} | (
                {"pin": PIN} if key["pin"] else {}
            )
            appliance.api("POST", f"/cores/1/keys/{key['id']}/sign", body, user="alice")


def _forgotten(listed: list[dict[str, Any]], wrong: Counter[str], database: str) -> dict[str, tuple[int, int]]:
    """Keys at which fewer wrong PINs are counted than were told; how many are, and were."""
    store = Store(database)
    with store.read() as connection:
        counted = {key["label"]: attempts.get(connection, key_subject(1, key["id"])).failures for key in listed}
    store.close()
    return {label: (counted[label], count) for label, count in wrong.items() if counted[label] < count}


def until_ready(appliance: Appliance) -> None:
    """Wait until the supervisor has put everything right."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx2.TransportError, StopIteration):
            if appliance.api("GET", "/health/ready", check=False).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError("the appliance did not come back")
