"""Who may not know learns nothing from the time that an answer takes: of keys, of PINs, of users.

Pairs are measured in turn and compared by a rank test: a difference as large as one query more is seen, and a busy
machine alone makes none.
"""

import base64
import hashlib
import itertools
import os
import random
from collections.abc import Callable, Iterator

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from privyseal.access.attempts import PASSWORD_LIMITS
from support.appliance import PIN, Appliance
from support.ranks import deviation, interleaved

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
WRONG = "a wrong one"
PAIRS = 200
TOLD_APART = 5.0  # standard deviations
TOLD_APART_OF_FEW = 4.0  # what 24 pairs can show: those that are told apart reach 4.2


@pytest.fixture(scope="module")
def shared(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance whose only worker has the key `hidden` in memory, because alice uses it; mallory may use `own`."""
    appliance = new_appliance("--workers", "1")
    for user, key in (("alice", "hidden"), ("mallory", "own")):
        appliance.add_user(user)
        appliance.add_rule(user, key)
        appliance.add_key(key)
    return appliance


@pytest.fixture
def mallory(shared: Appliance) -> Iterator[httpx2.Client]:
    """A connection of mallory's."""
    with shared.client("mallory") as client:
        yield client


def signing(client: httpx2.Client, key: str, pin: str, status: int) -> Callable[[], object]:
    """A request for a signature that has to be answered with a status."""

    def ask() -> None:
        body = {"hash": "SHA-256", "digest": DIGEST, "pin": pin}
        answer = client.post(f"/api/v1/cores/1/keys/{key}/sign", json=body)
        assert answer.status_code == status, answer.text

    return ask


@pytest.mark.parametrize(
    ("one", "other"),
    [(("hidden", PIN), ("nothing", PIN)), (("hidden", PIN), ("hidden", WRONG))],
    ids=["hidden or absent", "right or wrong PIN"],
)
def test_a_hidden_key_is_like_none(
    shared: Appliance, mallory: httpx2.Client, one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Although others use it all the time, and whether or not the PIN that came with the request is its PIN."""
    use = signing(shared._client("alice"), "hidden", PIN, 200)
    first, second = (signing(mallory, key, pin, 404) for key, pin in (one, other))
    use()
    differences = interleaved(first, second, PAIRS)
    assert abs(deviation(differences)) < TOLD_APART


def test_a_hidden_key_is_explained_like_none(mallory: httpx2.Client) -> None:
    """`access explain` says the same words after the same time."""

    def explaining(key: str) -> Callable[[], httpx2.Response]:
        asked = {"user": "mallory", "core": "1", "key": key, "operation": "key:sign"}
        return lambda: mallory.get("/api/v1/access/explain", params=asked)

    hidden, nothing = explaining("hidden"), explaining("nothing")
    assert hidden().text.replace("hidden", "nothing") == nothing().text
    assert abs(deviation(interleaved(hidden, nothing, PAIRS))) < TOLD_APART


def test_the_measurement_sees_what_there_is(shared: Appliance) -> None:
    """The other way round: a wrong field, which is looked at before the key, and a key that is not there."""
    client = shared._client("alice")
    wrong, absent = signing(client, "hidden", "short", 422), signing(client, "nothing", PIN, 404)
    differences = interleaved(wrong, absent, 60)  # enough on a quiet machine
    while len(differences) < 3 * PAIRS and deviation(differences) >= -TOLD_APART:
        differences += interleaved(wrong, absent, 60)
    assert deviation(differences) < -TOLD_APART


def test_rsa_takes_as_long_whatever_the_padding(shared: Appliance) -> None:
    """RSAES-PKCS1-v1_5: a right padding, and what is none and opens to random data, which is as long."""
    shared.add_key("opener", "rsa:2048")
    shared.add_rule("alice", "opener", operations=("key:read", "key:decrypt"))
    public = load_pem_public_key(shared.api("GET", "/cores/1/keys/opener/public.pem").content)
    assert isinstance(public, RSAPublicKey)
    right = [public.encrypt(os.urandom(random.randrange(245)), PKCS1v15()) for _ in range(PAIRS)]  # noqa: S311
    wrong = [b"\0" + os.urandom(255) for _ in range(PAIRS)]
    client = shared._client("alice")
    differences = interleaved(decrypting(client, right), decrypting(client, wrong), PAIRS)
    assert abs(deviation(differences)) < TOLD_APART


def decrypting(client: httpx2.Client, texts: list[bytes]) -> Callable[[], object]:
    """A request that opens the next of some texts; all of them open to something."""
    bodies = iter([{"mechanism": "RSA-PKCS1", "data": base64.b64encode(one).decode(), "pin": PIN} for one in texts])

    def ask() -> None:
        answer = client.post("/api/v1/cores/1/keys/opener/decrypt", json=next(bodies))
        assert answer.status_code == 200, answer.text

    return ask


def guessing(shared: Appliance, names: Iterator[str]) -> Callable[[], object]:
    """A log-in with a wrong password under the next name."""
    client = shared._client("admin")

    def ask() -> None:
        answer = client.get("/api/v1/cores", auth=(next(names), "a wrong password"))
        assert answer.status_code == 401, answer.text

    return ask


def test_users_are_not_told_apart_from_nobody(shared: Appliance) -> None:
    """Six users and six names that nobody has, four guesses each, before the delays begin."""
    users = [shared.add_user(f"known{number}") for number in range(6)]
    nobody = [f"unknown{number}" for number in range(6)]
    known, unknown = (itertools.chain.from_iterable([name] * 4 for name in names) for names in (users, nobody))
    differences = interleaved(guessing(shared, known), guessing(shared, unknown), 24)
    assert abs(deviation(differences)) < TOLD_APART_OF_FEW


def test_guesses_at_nobody_are_delayed_like_those_at_users(shared: Appliance) -> None:
    """Five times 401 at least, then 429: the same words and headers for both."""
    shared.add_user("victim")
    seen = []
    for name in ("victim", "nobody"):
        tried, delayed = until_delayed(shared, name)
        assert tried >= 5  # more where a guess takes longer than the delay; that doubles
        problem = delayed.json()
        seconds = int(delayed.headers["Retry-After"])
        assert 1 <= seconds <= PASSWORD_LIMITS.wait(tried)
        words = problem["detail"].replace(f" {seconds} s", " N s")
        seen.append((set(problem), problem["type"], words, set(delayed.headers)))
    assert seen[0] == seen[1]


def until_delayed(shared: Appliance, name: str) -> tuple[int, httpx2.Response]:
    """Guess until a guess is not tried any more; how many were, and the answer to the one that was not."""
    for tried in range(20):
        answer = shared._client("admin").get("/api/v1/cores", auth=(name, "a wrong password"))
        if answer.status_code == 429:
            return tried, answer
        assert answer.status_code == 401, answer.text
    pytest.fail(f"{name} may guess for ever")
