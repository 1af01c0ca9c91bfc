"""Packages of other Debians, unpacked beside this machine's own."""

import fcntl
import subprocess
from pathlib import Path

import pytest

from support.processes import ROOT


def fetched(name: str, suite: str, *packages: str) -> Path:
    """Where packages of another Debian are unpacked; the test is skipped when the mirror has them no more."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of pytest-xdist, one download
        command = [ROOT / "scripts" / "fetch-debian", name, suite, *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the Debian mirror of this machine does not have it: {done.stderr.strip()[-300:]}")
    return ROOT / "build" / name / "root"


def debian11() -> Path:
    """OpenSSL 1.1.1 with its PKCS#11 engine."""
    return fetched("debian11", "bullseye", "libssl1.1", "openssl", "libengine-pkcs11-openssl")
