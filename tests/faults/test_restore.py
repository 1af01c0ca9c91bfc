"""A restore is killed in the middle: the next `serve` makes no other appliance there, and a second restore succeeds."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.load import whole_record
from faults.soak import TIMEOUT
from faults.witness import Witness
from support.appliance import Appliance
from support.processes import BIN, base_environment

pytestmark = pytest.mark.timeout(TIMEOUT)
PASSPHRASE = "what opens the safe"


def restore(source: Appliance, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `privyseal restore` with variables."""
    words: list[str | Path] = ["restore", source.directory / "backup", "--data", data]
    words += ["--passphrase-file", source.directory / "passphrase"]
    environment = {**base_environment(), **variables}
    return subprocess.run([BIN / "privyseal", *words], env=environment, capture_output=True, text=True, check=False)


def test_no_half_restore_becomes_an_appliance(
    new_appliance: Callable[..., Appliance], shim: Callable[[str], Path], tmp_path: Path
) -> None:
    """Killed behind its mark, while tables are made, and while rows are written; `power_cut.py` has the rest."""
    source = new_appliance("--workers", "1")
    source.add_key("release")
    witness = Witness(source)
    source.cli("backup", "recipient", "add", "safe", "--passphrase-file", source.secret_file("passphrase", PASSPHRASE))
    source.cli("backup", "create", "-o", source.directory / "backup")
    before = whole_record(source)
    for call in (6, 60, 180):
        new = Appliance(tmp_path / f"new-{call}", "--workers", "1")
        done = restore(source, new.data, LD_PRELOAD=str(shim("cut")), CUT_AT=str(call))
        assert done.returncode == -9, (done.returncode, done.stderr)
        with pytest.raises(RuntimeError, match=r"a restore into .* was cut off; type `privyseal restore` again"):
            new.start()
        assert not (new.data / "tls" / "server.pem").exists()
    done = restore(source, new.data)
    assert done.returncode == 0, done.stderr
    new.start()
    try:
        after = whole_record(new)
        assert {number: after[number] for number in before} == before
        witness.verify(new)
        new.stop()
        done = restore(source, new.data)
        assert (done.returncode, "there is an appliance in" in done.stderr) == (1, True), done.stderr
        new.start()
    finally:
        new.stop()
