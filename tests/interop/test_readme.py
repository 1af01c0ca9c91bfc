"""The README's commands do what it says, as they stand there.

Always true: the blocks are read from README.md; only the port is another one, because 8443 may be taken.
"""

import json
import os
import re
from pathlib import Path

import pytest

from support.processes import ROOT, Process, base_environment, free_port
from support.terminal import converse


@pytest.fixture
def blocks() -> list[str]:
    """The README's two blocks of shell commands with a free port: the appliance's and the host's."""
    found = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    port = str(free_port())
    return [block.replace("8443", port) for block in found]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home directory of its own, so that `~` is empty."""
    kept = {name: value for name, value in base_environment().items() if name != "XDG_CONFIG_HOME"}
    return {**kept, "HOME": str(tmp_path)}


def script(directory: Path, name: str, block: str) -> Path:
    """A block as a script that ends at the first command that fails."""
    path = directory / name
    path.write_text(f"set -e -o pipefail\ncd {ROOT}\n{block}")
    return path


def test_the_nine_steps(blocks: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    """The appliance's block in one terminal, the host's in another, with the PIN typed once; every step succeeds."""
    serve, host = blocks
    own = Path("/etc/pkcs11/modules/privyseal.module")
    before = own.read_bytes() if own.exists() else None
    appliance = Process(
        ["bash", script(tmp_path, "serve.sh", serve)], environment=environment, log=tmp_path / "serve.log"
    )
    try:
        appliance.wait_for(lambda output: re.search("^ready https://", output, re.MULTILINE) is not None)
        dialogue = converse(
            ["bash", script(tmp_path, "host.sh", host)],
            prompt="Enter PKCS#11 token PIN for core1:",
            answer=(tmp_path / "hsm" / "release.pin").read_text().strip(),
            environment=environment,
            directory=ROOT,
        )
    finally:
        appliance.stop()
        if os.geteuid() == 0 and before is None:
            own.unlink(missing_ok=True)
        elif before is not None:
            own.write_bytes(before)
    assert (dialogue.prompts, dialogue.status) == (1, 0), dialogue.screen
    for expected in ('"valid":true', "[ available ]", "pin min/max        : 8/128", "Verified OK", "BEGIN PUBLIC KEY"):
        assert expected in dialogue.screen
    assert len(json.loads((tmp_path / "hsm" / "batch.json").read_text())["signatures"]) == 1000


def test_the_demo_ends_in_verified_ok(tmp_path: Path) -> None:
    """`scripts/demo`, what `make demo` runs once everything is set up; it leaves nothing in the temporary directory."""
    log = tmp_path / "demo.log"
    demo = Process([ROOT / "scripts" / "demo"], environment={**base_environment(), "TMPDIR": str(tmp_path)}, log=log)
    try:
        status = demo.wait(seconds=600)
    finally:
        demo.stop()
    output = log.read_text()
    assert status == 0, output
    assert output.splitlines()[-1] == "Verified OK"
    assert [path.name for path in tmp_path.iterdir()] == ["demo.log"]
