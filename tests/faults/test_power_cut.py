"""The power goes at every call that changes a file, and nothing that was promised is lost. See `power_cut.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.scenarios import SCENARIOS
from support.processes import ROOT, base_environment

FEWEST = {"approving": 40, "destroying": 30, "generating": 40, "guessing": 45, "signing": 20}


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_nothing_is_lost_at_any_cut(name: str, shim: Callable[[str], Path], tmp_path: Path) -> None:
    """Each cut is tried, and after each the database is whole and says what the client was told."""
    done = subprocess.run(
        [sys.executable, "-m", "faults.power_cut", name, tmp_path, "1"],
        cwd=ROOT / "tests",
        env={**base_environment(), "LD_PRELOAD": str(shim("cut")), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["problems"] == {}
    assert answer["cuts"] >= FEWEST[name]
