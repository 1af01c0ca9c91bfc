"""How the supervisor starts its processes."""

from pathlib import Path

import pytest

from privyseal import supervisor


def test_its_processes_import_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An appliance that is started by hand in some folder runs no module that lies there."""
    (tmp_path / "stranger.py").write_text("")
    monkeypatch.chdir(tmp_path)
    with supervisor._spawn(["stranger"], (), {}) as process:
        assert process.wait(60) != 0
