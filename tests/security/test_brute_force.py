"""Whoever guesses gets the promised number of guesses, however many connections, workers and restarts he uses.

Four guesses are free. The fifth failure makes the next one wait a second, and each further one twice as long; a PIN is
locked at the tenth.
"""

import base64
import hashlib
import itertools
import threading
import time
from collections.abc import Callable

import httpx2
import pytest

from support.appliance import PIN, Appliance

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
GUESSERS = 12
SECONDS = 4.0  # of guessing, before and after a restart


def most(seconds: float) -> int:
    """How many guesses may have been tried: five, then one after 1, 2, 4 ... seconds."""
    ends = itertools.accumulate(2**number for number in range(20))
    return 5 + sum(end <= seconds for end in ends)


class Guessers:
    """Threads that guess on connections of their own. `tried` counts the guesses that were compared with the secret."""

    def __init__(self, appliance: Appliance, guess: Callable[[httpx2.Client, int], httpx2.Response]) -> None:
        self.appliance, self.guess = appliance, guess
        self.numbers = itertools.count()
        self.statuses: list[int] = []

    def run(self, seconds: float) -> None:
        """Guess for a while."""
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._run, args=[end]) for _ in range(GUESSERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, end: float) -> None:
        with self.appliance.client("alice") as client:
            while time.monotonic() < end:
                self.statuses.append(self.guess(client, next(self.numbers)).status_code)


def pin(client: httpx2.Client, number: int) -> httpx2.Response:
    """Sign with a PIN that nobody had before: 403 when it was tried, 429 or 423 when not."""
    body = {"hash": "SHA-256", "digest": DIGEST, "pin": f"guess {number:06}"}
    return client.post("/api/v1/cores/1/keys/release/sign", json=body)


def password(client: httpx2.Client, number: int) -> httpx2.Response:
    """Log in as somebody else with a password: 401 when it was tried, 429 when not."""
    return client.get("/api/v1/cores", auth=("victim", f"a guess of {number:06}"))


def unknown(client: httpx2.Client, number: int) -> httpx2.Response:
    """Log in as somebody who is not there."""
    return client.get("/api/v1/cores", auth=("nobody", f"a guess of {number:06}"))


@pytest.fixture(scope="module")
def target(new_appliance: Callable[..., Appliance]) -> Appliance:
    """Two workers; alice may sign with `release`."""
    appliance = new_appliance("--workers", "2")
    for user in ("alice", "victim"):
        appliance.add_user(user)
    appliance.add_rule("alice", "release")
    appliance.add_key("release")
    return appliance


def test_guesses_are_held_to_their_rate(target: Appliance) -> None:
    """PINs, passwords and names that nobody has, all at once, with a power cut in the middle that forgets none."""
    assert target.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").status_code == 200
    crowd = {401: [Guessers(target, password), Guessers(target, unknown)], 403: [Guessers(target, pin)]}
    everybody = [*crowd[401], *crowd[403]]
    began = time.monotonic()
    _together(everybody)
    target.stop_hard()
    target.start()
    _together(everybody)
    allowed = most(time.monotonic() - began)
    for tried, guessers in crowd.items():
        for one in guessers:
            assert set(one.statuses) <= {tried, 423, 429}, set(one.statuses)
            assert 5 <= one.statuses.count(tried) <= allowed, (tried, one.statuses.count(tried), allowed)
            assert 429 in one.statuses
    assert crowd[403][0].statuses.count(403) <= 10


def _together(everybody: list[Guessers]) -> None:
    threads = [threading.Thread(target=one.run, args=[SECONDS]) for one in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
