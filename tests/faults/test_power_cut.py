"""The power goes at every call that changes a file, and nothing that was promised is lost. See `power_cut.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.scenarios import SCENARIOS
from faults.soak import SOAK, TIMEOUT
from support.processes import BIN, ROOT, base_environment

pytestmark = pytest.mark.timeout(TIMEOUT)
FEWEST = {
    "approving": 40,
    "destroying": 30,
    "generating": 40,
    "guessing": 45,
    "restoring": 25,
    "rotating": 30,
    "signing": 20,
}
MOST = {} if SOAK else {"restoring": 30, "rotating": 40}


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_nothing_is_lost_at_any_cut(name: str, shim: Callable[[str], Path], tmp_path: Path) -> None:
    """After each cut the database is whole, says what the client was told, and its record verifies."""
    done = subprocess.run(
        [sys.executable, "-m", "faults.power_cut", name, tmp_path, str(MOST.get(name, 10_000))],
        cwd=ROOT / "tests",
        env={**base_environment(), "LD_PRELOAD": str(shim("cut")), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=None if SOAK else 580,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["problems"] == {}
    assert answer["cuts"] >= FEWEST[name]
    words = ["audit", "verify", "export", "--key", "key", "--checkpoint", "kept"]
    verified = subprocess.run([BIN / "privyseal", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_there_are_two_hundred() -> None:
    """In every run of the suite, kills of whole processes not counted."""
    assert sum(FEWEST.values()) >= 200
