"""Processes are killed again and again under load: nothing is lost, and the record verifies.

Clients sign, make keys and try wrong PINs all the time and keep what they were told; afterwards that is compared with
the record and with the keys. `make soak` kills twenty times as often. What kill -9 does not show is a loss of power:
the kernel keeps what a killed process has written. See `power_cut.py` for that.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.load import LONGEST, Clients, compare, new, until_ready
from faults.soak import TIMEOUT, times
from faults.witness import Witness
from support.appliance import Appliance

pytestmark = pytest.mark.timeout(TIMEOUT)


def test_processes_are_killed_again_and_again(new_appliance: Callable[..., Appliance]) -> None:
    """Workers, the keeper, and now and then all at once: nothing is lost, half made or forgotten."""
    appliance = new(new_appliance("--workers", "2"))
    clients, witness = Clients(appliance), Witness(appliance)
    dice = random.Random(1)  # noqa: S311 - which process to kill is no secret
    with clients.busy():
        for kill in range(times(10)):
            clients.wait_for(10 + dice.randrange(20))
            if kill % 5 == 4:
                appliance.stop_hard()
                appliance.start()
            else:
                victims = [*appliance.worker_processes(), appliance.keeper_process()]
                os.kill(dice.choice(victims), signal.SIGKILL)
                until_ready(appliance)
            witness.keep()
        clients.wait_for(20)
    assert clients.told.statuses <= {200, 201, 503}
    assert clients.told.wrong.total() > 0
    compare(appliance, clients.told)
    witness.verify()


def test_workers_alone_leave_no_gap(new_appliance: Callable[..., Appliance]) -> None:
    """While the keeper lives every number has its event, without a word about any: what a worker had in hand too."""
    appliance = new(new_appliance("--workers", "2"))
    clients, witness = Clients(appliance), Witness(appliance)
    with clients.busy():
        for _ in range(times(5)):
            clients.wait_for(20)
            for worker in appliance.worker_processes():
                os.kill(worker, signal.SIGKILL)
            until_ready(appliance)
            witness.keep()
        clients.wait_for(20)
    compare(appliance, clients.told)
    assert "warning" not in witness.verify()


def test_the_supervisor_alone_is_killed(new_appliance: Callable[..., Appliance]) -> None:
    """Keeper and workers end by themselves, so that the next `serve` has the port; the clients' work goes on there."""
    appliance = new(new_appliance("--workers", "2"))
    clients, witness = Clients(appliance), Witness(appliance)
    with clients.busy():
        for _ in range(times(1)):
            clients.wait_for(20)
            children = [appliance.keeper_process(), *appliance.worker_processes()]
            appliance.kill_supervisor()
            deadline = time.monotonic() + LONGEST
            while left := [child for child in children if Path(f"/proc/{child}").exists()]:
                assert time.monotonic() < deadline, f"{left} live on without a supervisor"
                time.sleep(0.05)
            appliance.start()
            witness.keep()
        clients.wait_for(20)
    compare(appliance, clients.told)
    witness.verify()
