"""Compares what the tests have run with what they must run: `python coverage_check.py DATA-FILE`.

Always true: in the four rooms that guard keys, access, record and wire nothing may be missed; elsewhere a file may miss
what docs/reference/coverage.toml says of it, with its reason, and nothing if it says nothing.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "privyseal"
EXPLAINED = ROOT / "docs" / "reference" / "coverage.toml"
ROOMS = ("access/", "audit/", "keeper/", "wire/")


def measured(data: str) -> dict[str, dict[str, object]]:
    """Combine what all processes wrote; gives each file's figures by its path below src/privyseal."""
    coverage = [sys.executable, "-m", "coverage"]
    report = Path(data).with_name("report.json")
    subprocess.run([*coverage, "combine", "--quiet", f"--data-file={data}"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", "--quiet", f"--data-file={data}", "-o", report], cwd=ROOT, check=True)
    files = json.loads(report.read_text())["files"]
    return {str((ROOT / name).resolve().relative_to(SOURCE)): found for name, found in files.items()}


def missed(found: dict[str, object]) -> tuple[int, str]:
    """How many lines and branches a file misses, and which."""
    lines, branches = found["missing_lines"], found["missing_branches"]
    assert isinstance(lines, list)
    assert isinstance(branches, list)
    taken = {line for line, _ in branches} - set(lines)
    ways = [f"{start}->{'exit' if end < 0 else end}" for start, end in branches if end not in lines and start in taken]
    return len(lines) + len(ways), ", ".join([*map(str, lines), *ways])


def complaints(files: dict[str, dict[str, object]], explained: dict[str, dict[str, object]]) -> list[str]:
    """What is wrong, in words."""
    found = [f"{name} is explained and not there" for name in sorted(set(explained) - set(files))]
    found += [f"{name} is explained, and nothing may be missed there" for name in explained if name.startswith(ROOMS)]
    for name, figures in sorted(files.items()):
        count, which = missed(figures)
        allowed = explained.get(name, {}).get("missed", 0)
        if count > int(str(allowed)):
            found.append(f"{name} misses {count}, {allowed} are explained: {which}")
        elif name in explained and not explained[name].get("reason"):
            found.append(f"{name} has no reason")
    return found


def main() -> int:
    """Print what is wrong, or one line of figures."""
    files, explained = measured(sys.argv[1]), tomllib.loads(EXPLAINED.read_text())
    wrong = complaints(files, explained)
    for one in wrong:
        sys.stdout.write(f"coverage: {one}" + "\n")
    total = sum(missed(figures)[0] for figures in files.values())
    sys.stdout.write(
        f"coverage: {len(files)} files, {total} lines and branches missed, {len(wrong)} not explained" + "\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
