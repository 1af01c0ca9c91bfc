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
            path = "/cores/1/keys/secret/sign"
            for _ in range(5):
                assert (
                    appliance.api("POST", path, {**body, "pin": "wrong PIN"}, user="bob", check=False).status_code
                    == 403
                )
            assert appliance.api("POST", path, {**body, "pin": PIN}, user="bob", check=False).status_code == 429
            offset.write_text(str(-MONTH))
            appliance.api("POST", path, {**body, "ticket": ticket}, user="alice")
            deadline = time.monotonic() + LONGEST
            while appliance.api("POST", path, {**body, "pin": PIN}, user="bob", check=False).status_code == 429:
                assert time.monotonic() < deadline, "the wait does not end"
                time.sleep(0.2)
            appliance.api("POST", path, {**body, "pin": PIN}, user="bob")
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
