"""The table of other people's programs: which row a test is, and the page that a run of them writes.

Always true: what a row says was done is the first line of the test's docstring, its version is the package's that was
installed at that moment, and each result is that of this run.
"""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from support.hosts import NAMES, root_of

PROPERTY = "interop"
NOT_YET = "not yet"
HEAD = """\
# Other people's programs

Written by `make interop`; do not edit. Every row is a test that ran the real program against the module, and against
SoftHSM2 with the same keys where that says something. "not yet" is what the module does not do so far.

"""


def needs(*programs: str) -> None:
    """Skip the test unless all of these are in PATH or are existing files."""
    for program in programs:
        if shutil.which(program) is None and not Path(program).exists():
            pytest.skip(f"{program} is not installed")


def not_yet(reason: str) -> pytest.MarkDecorator:
    """Marks what the module does not do so far, with the reason that the table gives; it fails until the mark goes."""
    return pytest.mark.not_yet(reason)


def expect_failure(item: pytest.Item) -> None:
    """Expect what is marked `not_yet` to fail on our token; SoftHSM2's may pass."""
    marker = item.get_closest_marker("not_yet")
    if marker is not None and not is_baseline(item):
        reason = f"{NOT_YET}: {marker.args[0]}"
        item.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))


def parameters(item: pytest.Item) -> dict[str, Any]:
    """What the test was parametrised with."""
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


def is_baseline(item: pytest.Item) -> bool:
    """Whether the test is about SoftHSM2 and not about us."""
    return bool(parameters(item).get("token") == "softhsm2")


def row_of(item: pytest.Item) -> str:
    """The row that the test fills in, as JSON; nothing for a test that is no other program's."""
    marker = item.get_closest_marker("program")
    if marker is None or not isinstance(item, pytest.Function):
        return ""
    given = parameters(item)
    host, road = given.pop("pair", ("debian12", None))
    given.pop("token", None)
    varied = ", ".join(str(value) for value in (road, *given.values()) if isinstance(value, str | int))
    did = (item.function.__doc__ or item.name).strip().splitlines()[0].rstrip(".")
    name, version = marker.args
    row = {
        "program": name,
        "version": _version(version, host),
        "host": NAMES[host],
        "did": f"{did} ({varied})" if varied else did,
        "module": "SoftHSM2" if is_baseline(item) else "Privyseal",
    }
    return json.dumps(row)


def _version(source: str, host: str) -> str:
    """The version of `=VERSION` as it stands, or of a Debian package on that host."""
    if source.startswith("="):
        return source[1:]
    inside = [] if host == "debian12" else ["chroot", str(root_of(host))]
    query = [*inside, "dpkg-query", "-W", "-f", "${Version}", source]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return re.sub(r"^\d+:|[-+~].*", "", done.stdout) or "not there"


def last_line(text: str) -> str:
    """The line of a failure that says most: pytest's first line of the error itself."""
    errors = [line[2:].strip() for line in text.splitlines() if line.startswith("E ")]
    return (errors or ["failed"])[0]


def verdict(report: pytest.TestReport) -> str:
    """The result in the table's words."""
    reason = getattr(report, "wasxfail", None)
    if report.skipped and reason is None:
        return "skipped: " + str(report.longrepr[2] if isinstance(report.longrepr, tuple) else "").removeprefix(
            "Skipped: "
        )
    if report.skipped:
        return str(reason) if str(reason).startswith(NOT_YET) else "failed"
    return report.outcome


class Writer:
    """Listens to a run's results and writes the page at its end."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._rows: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the result of a test that is a row: that of its call, or of a set-up that did not lead to one."""
        row = json.loads(dict(report.user_properties).get(PROPERTY, "null"))
        if row and (report.when == "call" or (report.when == "setup" and not report.passed)):
            key = (row["program"], row["host"], row["version"], row["did"])
            self._rows[key][row["module"]] = verdict(report)

    def pytest_sessionfinish(self) -> None:
        """Write the page, unless nothing of it ran."""
        if self._rows:
            self._page.write_text(HEAD + self._totals() + self._table())

    def _totals(self) -> str:
        lines = []
        for module in ("Privyseal", "SoftHSM2"):
            words = [results[module].partition(":")[0] for results in self._rows.values() if module in results]
            counts = [f"{words.count(word)} {word}" for word in ("passed", "failed", "skipped", NOT_YET)]
            lines.append(f"- {module}: {', '.join(counts)}\n")
        return "".join(lines)

    def _table(self) -> str:
        head = "\n| program | host | version | what it did | Privyseal | SoftHSM2 |\n|---|---|---|---|---|---|\n"
        lines = [
            f"| {' | '.join(_cell(word) for word in key)} | {_cell(results.get('Privyseal', ''))}"
            f" | {_cell(results.get('SoftHSM2', ''))} |\n"
            for key, results in sorted(self._rows.items())
        ]
        return head + "".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:160]
