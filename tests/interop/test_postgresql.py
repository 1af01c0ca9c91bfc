"""The main job on PostgreSQL: tests that the suite runs on SQLite, run again by a pytest of their own."""

import subprocess
import sys

import pytest

from support.processes import ROOT, base_environment

SAME = ("tests/interop/test_walkthrough.py", "tests/interop/test_key_types.py", "tests/cli")


@pytest.mark.timeout(1800)
def test_the_same_tests_pass_on_postgresql() -> None:
    """The walk-through, every key type but RSA-8192, which takes a minute to make, and every command.

    A test of these that hangs is named: it ends before this one does.
    """
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "--timeout", "600", "-k", "not 8192"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *SAME],
        cwd=ROOT,
        env={**base_environment(), "PRIVYSEAL_TEST_DATABASE": "postgresql"},
        capture_output=True,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
