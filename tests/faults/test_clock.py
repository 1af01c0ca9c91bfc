"""The clock is set back while the appliance works: numbers keep the order, and everybody is told."""

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.load import LONGEST, Clients, compare, new, whole_record
from faults.soak import TIMEOUT
from faults.witness import Witness
from support.appliance import PIN, Appliance
from support.waiting import wait_until

pytestmark = pytest.mark.timeout(TIMEOUT)

MONTH = 30 * 24 * 3600
SIGN = "/cores/1/keys/secret/sign"


def bob_signs(appliance: Appliance, body: dict[str, str]) -> int:
    """The status of bob's request: 403 for a wrong PIN that was tried, 429 for one that was not."""
    return appliance.api("POST", SIGN, body, user="bob", check=False).status_code


def test_the_clock_is_set_back(shim: Callable[[str], Path], tmp_path: Path) -> None:
    """By a month, under load: signatures go on, a wait for a wrong PIN is no month; event, metric and state say so."""
    appliance = Appliance(tmp_path / "appliance", "--workers", "2")
    offset = tmp_path / "offset"
    offset.write_text("0")
    appliance.variables = {"LD_PRELOAD": str(shim("clock")), "CLOCK_OFFSET": str(offset)}
    appliance.start()
    try:
        new(appliance)
        clients, witness = Clients(appliance), Witness(appliance)
        with clients.busy():
            ticket = appliance.api("POST", "/cores/1/login", {"pin": PIN}, user="alice").json()["ticket"]
            body = {"digest": base64.b64encode(bytes(32)).decode(), "hash": "SHA-256"}
            guesses = list(
                iter(lambda: bob_signs(appliance, body | {"pin": "wrong PIN"}), 429)
            )  # a slow one waits less
            assert guesses == [403] * max(5, len(guesses))
            offset.write_text(str(-MONTH))
            appliance.api("POST", SIGN, {**body, "ticket": ticket}, user="alice")
            deadline = time.monotonic() + LONGEST
            while bob_signs(appliance, body | {"pin": PIN}) == 429:
                assert time.monotonic() < deadline, "the wait does not end"
                time.sleep(0.2)
            assert bob_signs(appliance, body | {"pin": PIN}) == 200
            wait_until(lambda: "warnings" in appliance.api("GET", "/state").json())
            clients.wait_for(20)
        assert appliance.api("GET", "/state").json()["warnings"] == ["clock-set-back"]
        assert "privyseal_clock_set_back_total 1" in appliance.api("GET", "/metrics").text
        record = whole_record(appliance)
        (found,) = [event for event in record.values() if event["operation"] == "clock:set-back"]
        assert abs(float(found["reason"].split()[3]) - MONTH) < LONGEST
        assert record[len(record)]["time"] < record[1]["time"]
        compare(appliance, clients.told)
        witness.verify()
    finally:
        appliance.stop()
