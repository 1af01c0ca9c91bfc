"""Somebody outside who keeps checkpoints while things go wrong, and verifies the record with the real program."""

import subprocess
import threading
from pathlib import Path

import httpx2

from support.appliance import Appliance
from support.processes import BIN, base_environment


class Witness:
    """The audit key, and the checkpoints that were taken before and during a test."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._key = appliance.directory / "kept.key"
        self._kept = appliance.directory / "kept.checkpoints"
        self._key.write_text(appliance.api("GET", "/audit/key").json()["key"])
        self._kept.write_text("")
        self._taking = threading.Lock()
        self.keep()

    def keep(self) -> None:
        """Keep one more, if the appliance gives one."""
        try:
            answer = self._appliance.api("GET", "/audit/checkpoint", check=False)
        except httpx2.TimeoutException:
            raise
        except httpx2.TransportError:  # what answered was killed
            return
        if answer.status_code == 200:
            with self._taking, self._kept.open("a") as file:
                file.write(answer.json()["checkpoint"] + "\n")

    def verify(self, restored: Appliance | None = None) -> str:
        """Export the record and verify it against all that was kept; gives what the program says.

        Args:
            restored: the appliance that has the record now, if it is another.
        """
        appliance = restored or self._appliance
        export = appliance.directory / "record.jsonl"
        appliance.cli("audit", "export", "-o", export)
        words: list[str | Path] = ["audit", "verify", export, "--key", self._key, "--checkpoint", self._kept]
        done = subprocess.run(
            [BIN / "privyseal", *words],
            capture_output=True,
            text=True,
            check=False,
            env=base_environment(),
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Verified OK" in done.stdout
        export.unlink()
        return done.stdout + done.stderr
