"""The check of what was left out can fail: for a line, for a branch, and when nothing was measured at all."""

from typing import Any

from support.coverage_check import ROOMS, complaints

WHOLE: dict[str, Any] = {f"{room}/a.py": {"missing_lines": [], "missing_branches": []} for room in ROOMS}


def test_whole_rooms_pass() -> None:
    """Whatever is missed elsewhere."""
    elsewhere = {"cli/a.py": {"missing_lines": [1], "missing_branches": []}}
    assert complaints(WHOLE | elsewhere) == []


def test_what_is_missed_is_named() -> None:
    """A branch to a line that was missed is told with that line, once."""
    gaps = {"missing_lines": [7], "missing_branches": [[6, 7], [9, -1], [11, 13]]}
    assert complaints(WHOLE | {"keeper/b.py": gaps}) == ["keeper/b.py misses 7, 9->exit, 11->13"]


def test_a_room_that_was_not_measured_is_told() -> None:
    """Else a mistake in the settings would look like success."""
    without = {name: figures for name, figures in WHOLE.items() if not name.startswith("wire/")}
    assert complaints(without) == ["nothing of wire/ was measured"]
