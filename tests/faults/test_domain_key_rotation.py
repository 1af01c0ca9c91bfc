"""A rotation of the domain key survives whatever dies: every key signs afterwards, and none is half made.

`make soak` kills twenty times as often. A rotation that is cut off at every write is in `power_cut.py`.
"""

import base64
import hashlib
import os
import random
import signal
import time
from collections.abc import Callable

import httpx2
import pytest
from sqlalchemy import update

from faults.soak import TIMEOUT, times
from faults.witness import Witness
from privyseal.keeper import sealing, slots
from privyseal.keeper.domain import DomainKey
from privyseal.store import appliance as appliance_rows
from privyseal.store import sealed
from privyseal.store.store import Store
from privyseal.store.tables import keys
from support.appliance import PIN, Appliance

pytestmark = pytest.mark.timeout(TIMEOUT)

ROUNDS = times(4)
KEYS = 120
SECONDS = 120
DIGEST = base64.b64encode(hashlib.sha256(b"what is signed").digest()).decode()


@pytest.fixture(scope="module")
def rotating(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with keys, every third of them with a PIN, and alice who signs."""
    appliance = new_appliance("--workers", "2")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_user("alice")
    appliance.add_rule("alice")
    for number in range(KEYS):
        appliance.add_key(f"key {number}", pin=pin_of(number))
    return appliance


def pin_of(number: int) -> str | None:
    """Every third key has one."""
    return PIN if number % 3 == 0 else None


def eventually(work: Callable[[], httpx2.Response | None]) -> httpx2.Response:
    """Ask until there is an answer that is not "come again": a killed process costs a retry, not a hang."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            answer = work()
        except httpx2.TimeoutException:  # that is a hang
            raise
        except httpx2.TransportError:
            answer = None
        if answer is not None and answer.status_code < 500:
            return answer
        assert time.monotonic() < deadline, answer.text if answer else "no answer"
        time.sleep(0.05)


def sign(appliance: Appliance, number: int) -> None:
    """One key signs."""
    body = {"digest": DIGEST, "hash": "SHA-256"} | ({"pin": PIN} if pin_of(number) else {})
    answer = eventually(
        lambda: appliance.api("POST", f"/cores/1/keys/key {number}/sign", body, user="alice", check=False)
    )
    assert answer.status_code == 200, answer.text


def rotate(appliance: Appliance) -> None:
    """Begin, or find that the one before goes on."""
    answer = eventually(lambda: appliance.api("POST", "/domain-key/rotate", check=False))
    assert answer.status_code in (202, 409), answer.text


def wait_until_done(appliance: Appliance) -> None:
    """Until nothing is being rotated; nobody has to do anything for it."""
    deadline = time.monotonic() + SECONDS
    while eventually(lambda: appliance.api("GET", "/domain-key", check=False)).json()["rotating"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def domain_of(appliance: Appliance) -> DomainKey:
    """The domain key that the key file opens, once it is the only one there."""
    deadline = time.monotonic() + SECONDS
    secret = (appliance.data / "unlock.key").read_bytes()
    store = Store.in_directory(appliance.data)
    while True:
        with store.read() as connection:
            slot = appliance_rows.slots(connection)[0]
            records = [record for source in sealed.SOURCES for _, record in source.page(connection, 0, 10 * KEYS)]
        opened = slots.open_slot(slots.decode(slot.sealed), secret)
        if opened.following is None:
            store.close()
            for record in records:
                sealing.open_outer(opened.current, record)  # raises where a record was left behind
            return opened.current
        assert time.monotonic() < deadline
        time.sleep(0.1)


def kill_keeper(appliance: Appliance) -> None:
    """The keeper dies; the supervisor starts it again and unlocks it."""
    os.kill(appliance.keeper_process(), signal.SIGKILL)


def kill_worker(appliance: Appliance) -> None:
    """One API worker dies."""
    os.kill(random.choice(appliance.worker_processes()), signal.SIGKILL)  # noqa: S311 - which one does not matter


def kill_all(appliance: Appliance) -> None:
    """The power goes."""
    appliance.stop_hard()
    appliance.start()


@pytest.mark.parametrize("kill", [kill_keeper, kill_worker, kill_all])
def test_every_key_signs_after_a_rotation_that_was_cut_off(
    rotating: Appliance, kill: Callable[[Appliance], None]
) -> None:
    """It is killed at random moments of a rotation, signs meanwhile, and finishes by itself."""
    chance = random.Random(kill.__name__)  # noqa: S311 - the same moments in every run
    witness, inside = Witness(rotating), 0
    for number in range(ROUNDS):
        rotate(rotating)
        time.sleep(chance.uniform(0, 1.5) if number else 0)
        inside += rotating.api("GET", "/domain-key").json()["rotating"]
        kill(rotating)
        sign(rotating, chance.randrange(KEYS))
    wait_until_done(rotating)
    before = domain_of(rotating).name
    for number in range(KEYS):
        sign(rotating, number)
    rotate(rotating)
    wait_until_done(rotating)
    assert domain_of(rotating).name != before
    made = eventually(lambda: rotating.api("POST", "/cores/1/keys", {"label": kill.__name__, "type": "ec:P-256"}))
    assert made.status_code == 201
    domain_of(rotating)
    assert inside > 0, "every rotation was over before something was killed"
    witness.verify()


def test_its_progress_is_shown(rotating: Appliance) -> None:
    """From nothing to all records, and never back."""
    rotate(rotating)
    shown = []
    while (status := rotating.api("GET", "/domain-key").json())["rotating"]:
        shown.append((status["done"], status["total"]))
    done = [one for one, _ in shown]
    assert done == sorted(done)
    assert len(set(done)) > 1
    assert all(total >= KEYS and one <= total for one, total in shown)


def test_a_record_that_does_not_open_keeps_the_old_key(rotating: Appliance) -> None:
    """Nothing is given up while one is left behind; the status names it, and without it the rotation ends."""
    made = rotating.add_key("damaged", pin=None)
    store = Store.in_directory(rotating.data)
    with store.write() as connection:
        connection.execute(update(keys).where(keys.c.id == made["id"]).values(sealed=b"no seal at all, of any key"))
    store.close()
    rotate(rotating)
    deadline = time.monotonic() + SECONDS
    while rotating.api("GET", "/domain-key").json()["damaged"] != f"key {made['id']}":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rotating.api("GET", "/domain-key").json()["rotating"]
    assert rotating.api("POST", "/domain-key/rotate", check=False).status_code == 409
    shown = rotating.cli("domain-key", "status").stdout
    assert made["id"] in shown or "is being rotated" in shown
    sign(rotating, 1)
    rotating.api("PUT", "/cores/1", {"destroy_days": 0})
    rotating.api("DELETE", f"/cores/1/keys/{made['id']}?now=true")
    wait_until_done(rotating)
    domain_of(rotating)


def test_no_signature_waits_for_a_rotation(rotating: Appliance) -> None:
    """Keys sign and are made while it goes on, and a ticket from before goes on working after."""
    answer = eventually(lambda: rotating.api("POST", "/cores/1/login", {"pin": PIN}, user="alice"))
    ticket = answer.json()["ticket"]
    rotate(rotating)
    made = 0
    while rotating.api("GET", "/domain-key").json()["rotating"]:
        sign(rotating, made % KEYS)
        rotating.add_key(f"made meanwhile {made}", pin=None)
        made += 1
    domain_of(rotating)
    for number in range(made):
        body = {"digest": DIGEST, "hash": "SHA-256"}
        rotating.api("POST", f"/cores/1/keys/made meanwhile {number}/sign", body, user="alice")
    body = {"digest": DIGEST, "hash": "SHA-256", "ticket": ticket}
    rotating.api("POST", "/cores/1/keys/key 0/sign", body, user="alice")
    assert rotating.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()["keys"] == KEYS // 3
