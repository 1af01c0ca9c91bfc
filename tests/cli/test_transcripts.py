"""Each `*.txt` beside this file is what a user types and sees.

    alice$ privyseal key uri release
    pkcs11:…;object=release
    [5]

The word before `$` is the user of the appliance, with the password in `USER.password`; without one no appliance is
configured. Below it stand stdout and stderr as they come, `…` for any text within a line, and the exit status where it
is not 0. Lines before the first command and lines that begin with `#` are prose. Commands run in one folder, in order.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.appliance import Appliance
from support.processes import base_environment

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
_PROMPT = re.compile(r"([a-z]*)\$ (.+)")


@pytest.fixture(scope="module")
def appliance(new_appliance: Callable[..., Appliance]) -> Appliance:
    """One for the transcripts alone, because they make users and keys under everyday names."""
    return new_appliance()


@pytest.fixture
def suited(request: pytest.FixtureRequest, new_appliance: Callable[..., Appliance]) -> Appliance:
    """That one, but for the transcript that begins with an appliance that is not provisioned."""
    if request.node.callspec.params["transcript"].stem == "provisioning":
        return new_appliance("--no-provision")
    found: Appliance = request.getfixturevalue("appliance")
    return found


@dataclass
class Step:
    """One command with what it shows."""

    line: int
    user: str
    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def pattern(self) -> str:
        """What is shown, and the exit status, as a regular expression."""
        status = [] if self.shown and re.fullmatch(r"\[\d+\]", self.shown[-1]) else ["[0]"]
        return "\n".join(re.escape(line).replace("…", ".*") for line in [*self.shown, *status])


def steps(transcript: Path) -> Iterator[Step]:
    """The commands of a transcript in order."""
    step: Step | None = None
    for number, line in enumerate(transcript.read_text().splitlines(), 1):
        if found := _PROMPT.fullmatch(line):
            if step:
                yield step
            step = Step(number, *found.groups())
        elif step and line and not line.startswith("#"):
            step.shown.append(line)
    assert step, f"{transcript.name} has no command"
    yield step


def environment(appliance: Appliance, user: str, folder: Path) -> dict[str, str]:
    """Where commands find the appliance and who they are; nothing of the developer's own."""
    everybody = base_environment() | {"HOME": str(folder), "DATA": str(appliance.data), "URL": appliance.url}
    if not user:
        return everybody
    return everybody | {
        "PRIVYSEAL_URL": appliance.url,
        "PRIVYSEAL_CA_FILE": str(appliance.ca_file),
        "PRIVYSEAL_USER": user,
        "PRIVYSEAL_PASSWORD_FILE": f"{user}.password",
    }


def run(step: Step, appliance: Appliance, folder: Path) -> str:
    """What a command shows, and its exit status in brackets."""
    done = subprocess.run(
        ["bash", "-c", step.command],
        cwd=folder,
        env=environment(appliance, step.user, folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    shown = "".join(f"{line}\n" for line in done.stdout.splitlines() if line)
    return f"{shown}[{done.returncode}]"


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=[each.stem for each in TRANSCRIPTS])
def test_transcript(transcript: Path, suited: Appliance, tmp_path: Path) -> None:
    """Every command shows what the transcript says and ends as it says."""
    tmp_path.joinpath("admin.password").write_text(suited.admin_password)
    for step in steps(transcript):
        shown = run(step, suited, tmp_path)
        assert re.fullmatch(step.pattern, shown), f"{transcript.name}:{step.line}: {step.command}\n{shown}"


def test_a_wrong_transcript_fails(appliance: Appliance, tmp_path: Path) -> None:
    """The runner itself can say no: to other words, to missing words and to another status."""
    for shown in (["[0]"], ["b"], ["a", "b"], ["a", "[1]"]):
        step = Step(1, "", "echo a", shown)
        assert not re.fullmatch(step.pattern, run(step, appliance, tmp_path))
    step = Step(1, "", "echo abc; false", ["a…c", "[1]"])
    assert re.fullmatch(step.pattern, run(step, appliance, tmp_path))
