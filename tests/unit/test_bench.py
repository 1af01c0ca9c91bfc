"""What `make bench` measures with."""

import importlib
import sqlite3
from pathlib import Path

import pytest

from support.processes import ROOT


def test_many_keys_are_as_different_as_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has ids of its own, also for PKCS #11: a search that finds a million with one id measures something else."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    fill = importlib.import_module("run").fill
    database = tmp_path / "rows.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE keys (number INTEGER PRIMARY KEY, id, label, object_id, sealed)")
        connection.execute("INSERT INTO keys VALUES (1, 'f90fb8e79e60a1b2', 'ec', 'f90fb8e79e60a1b2', 'bytes')")
    fill(database, 3)
    rows = sqlite3.connect(database).execute("SELECT id, object_id, label, sealed FROM keys ORDER BY number").fetchall()
    assert len({row[0] for row in rows}) == len(rows) == 4
    assert all(id_ == object_id for id_, object_id, _, _ in rows)
    assert [row[2:] for row in rows[1:]] == [(f"filler-{number}", "bytes") for number in range(3)]
