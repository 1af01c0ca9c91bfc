"""Compares what the unit tests have run with what they must run: `python coverage_check.py DATA-FILE`.

Always true: in the rooms that guard access, record, keys and what comes in, no line and no branch is missed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "privyseal"
ROOMS = ("access", "audit", "keeper", "wire")


class Figures(TypedDict):
    """Of coverage's JSON report, what is used of a file."""

    missing_lines: list[int]
    missing_branches: list[tuple[int, int]]


def measured(data: str) -> dict[str, Figures]:
    """Combine what all processes wrote; gives each file's figures by its path below src/privyseal."""
    coverage = [sys.executable, "-m", "coverage"]
    report = Path(data).with_name("report.json")
    subprocess.run([*coverage, "combine", "--quiet", f"--data-file={data}"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", "--quiet", f"--data-file={data}", "-o", report], cwd=ROOT, check=True)
    files: dict[str, Figures] = json.loads(report.read_text())["files"]
    return {str((ROOT / name).resolve().relative_to(SOURCE)): found for name, found in files.items()}


def missed(found: Figures) -> list[str]:
    """The lines that a file misses, and the ways from a line that was run to one to which nothing led."""
    lines = found["missing_lines"]
    ways = [(start, end) for start, end in found["missing_branches"] if start not in lines and end not in lines]
    return [*map(str, lines), *(f"{start}->{'exit' if end < 0 else end}" for start, end in ways)]


def complaints(files: dict[str, Figures]) -> list[str]:
    """What is wrong, in words. A room of which nothing was measured is wrong, too."""
    rooms = {room: {name: one for name, one in files.items() if name.split("/")[0] == room} for room in ROOMS}
    found = [f"nothing of {room}/ was measured" for room, inside in rooms.items() if not inside]
    for inside in rooms.values():
        found += [f"{name} misses {', '.join(gaps)}" for name, one in sorted(inside.items()) if (gaps := missed(one))]
    return found


def main() -> int:
    """Print what is wrong, or one line of figures."""
    files = measured(sys.argv[1])
    wrong = complaints(files)
    guarded = sum(name.split("/")[0] in ROOMS for name in files)
    words = [f"coverage: {one}\n" for one in wrong] or [f"coverage: nothing is missed in {guarded} files of {ROOMS}\n"]
    sys.stdout.writelines(words)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
