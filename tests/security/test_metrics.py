"""What the appliance measures, read as Prometheus reads it, from several workers."""

import os
import signal
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx2
import pytest

from support.appliance import PIN, Appliance
from support.exposition import Family, parse

BODY = {"data": "eA==", "pin": PIN}


@pytest.fixture(scope="module")
def pair(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with two workers, a key `release`, alice who signs, and watcher who reads metrics."""
    appliance = new_appliance("--workers", "2")
    appliance.add_key("release")
    appliance.add_rule(appliance.add_user("alice"), "release")
    appliance.add_user("watcher", role="metrics")
    return appliance


def scrape(appliance: Appliance, user: str = "watcher") -> dict[str, Family]:
    """One reading."""
    answer = appliance.api("GET", "/metrics", user=user)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parse(answer.text)


def sign(appliance: Appliance, count: int) -> None:
    """Sign on a new connection each time, so that both workers do some."""

    def one(_: int) -> int:
        url, auth = f"{appliance.url}/api/v1/cores/1/keys/release/sign", ("alice", appliance.passwords["alice"])
        with httpx2.Client(verify=False, trust_env=False, timeout=60) as client:
            return client.post(url, json=BODY, auth=auth).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(one, range(count))) == {200}


def test_all_workers_are_counted(pair: Appliance) -> None:
    """Forty signatures over two workers are forty, whoever is asked."""
    before = scrape(pair)
    sign(pair, 40)
    after = scrape(pair)
    labels = {"operation": "key:sign", "mechanism": "ECDSA-SHA-256", "outcome": "done"}
    operations = "privyseal_operations_total"
    earlier = before[operations].value(**labels)
    assert after[operations].value(**labels) - earlier == 40
    assert after["privyseal_operation_seconds"].value("_count", operation="key:sign") >= 40
    assert after["privyseal_operation_seconds"].value("_sum", operation="key:sign") > 0
    assert after["privyseal_events_total"].value() >= before["privyseal_events_total"].value() + 40
    assert after["privyseal_record_commit_seconds"].value("_count") > 0
    assert after["privyseal_keeper_cache_hits_total"].value() > before["privyseal_keeper_cache_hits_total"].value()
    assert after["privyseal_keeper_cache_misses_total"].value() >= 1
    assert after["privyseal_keeper_keys"].value() >= 1


def test_what_is_true_now(pair: Appliance) -> None:
    """State, version, certificate, workers and queues."""
    found = scrape(pair)
    assert found["privyseal_unlocked"].value() == 1
    assert found["privyseal_build_info"].value() == 1
    assert found["privyseal_workers"].value() == 2
    days = (found["privyseal_certificate_expiry_seconds"].value() - datetime.now(UTC).timestamp()) / 86400
    assert 300 < days < 400
    assert found["privyseal_recorder_queue"].value() >= 0
    assert found["privyseal_keeper_queue"].value() >= 0


def test_refusals_are_counted_with_their_outcome(pair: Appliance) -> None:
    """A wrong field is the caller's mistake, a missing right is a refusal."""
    pair.api("POST", "/cores/1/keys/none/sign", BODY, user="alice", check=False)
    pair.api("POST", "/cores/1/keys/release/sign", {"digest": "AAAA", "hash": "SHA-256"}, user="alice", check=False)
    operations = scrape(pair)["privyseal_operations_total"]
    assert operations.value(operation="key:sign", outcome="refused") >= 1
    assert operations.value(operation="key:sign", outcome="invalid") >= 1


def test_names_that_callers_choose_are_no_labels(pair: Appliance) -> None:
    """Or anybody could fill the memory."""
    for number in range(3):
        pair.api("POST", f"/cores/1/keys/chosen{number}/sign", BODY, user="alice", check=False)
    assert "chosen" not in pair.api("GET", "/metrics", user="watcher").text


def test_who_may_read(pair: Appliance) -> None:
    """The roles metrics and administrator; nobody else, and nobody without a password."""
    assert scrape(pair, "admin")
    assert pair.api("GET", "/metrics", user="alice", check=False).status_code == 403
    context = ssl.create_default_context(cafile=pair.ca_file)
    assert httpx2.get(f"{pair.url}/api/v1/metrics", verify=context, trust_env=False).status_code == 401
    for path in ("/users", "/audit/events", "/rules"):
        assert pair.api("GET", path, user="watcher", check=False).status_code == 403


def test_counters_outlive_a_killed_worker(pair: Appliance) -> None:
    """Its successor goes on where it was, and the restart is counted."""
    sign(pair, 10)
    before = scrape(pair)
    killed = pair.worker_processes()[0]
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        try:
            after = scrape(pair)
        except httpx2.TransportError:
            assert time.monotonic() < deadline
            continue
        if after["privyseal_restarts_total"].value(process="worker") == 1 and len(pair.worker_processes()) == 2:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    name = "privyseal_operations_total"
    assert after[name].value(operation="key:sign") >= before[name].value(operation="key:sign")
    assert after["privyseal_restarts_total"].value(process="keeper") == 0
