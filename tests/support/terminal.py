"""A user at a terminal: runs a program on a pseudo-terminal and types an answer at each prompt.

Always true: the program's controlling terminal is ours, so a PIN is asked for where a person would see it.
"""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dialogue:
    """What was on the screen, how often the prompt came, and how the program ended."""

    screen: str
    prompts: int
    status: int


def converse(
    arguments: Sequence[str | Path],
    *,
    prompt: str,
    answer: str,
    environment: Mapping[str, str],
    directory: Path,
    seconds: float = 60,
) -> Dialogue:
    """Run a program and type `answer` each time that the regular expression `prompt` appears on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=dict(environment),
        cwd=directory,
    )
    os.close(theirs)
    try:
        screen, prompts = _type_at_prompts(ours, re.compile(prompt), answer, time.monotonic() + seconds)
        return Dialogue(screen, prompts, process.wait(10))
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _type_at_prompts(ours: int, prompt: re.Pattern[str], answer: str, deadline: float) -> tuple[str, int]:
    screen, answered = "", 0
    while text := _read(ours, deadline):
        screen += text
        while answered < len(prompt.findall(screen)):
            os.write(ours, f"{answer}\n".encode())
            answered += 1
    return screen, answered


def _read(ours: int, deadline: float) -> str:
    readable, _, _ = select.select([ours], [], [], max(0, deadline - time.monotonic()))
    if not readable:
        raise TimeoutError("the program at the terminal neither spoke nor ended")
    try:
        return os.read(ours, 65536).decode(errors="replace")
    except OSError:  # Linux reports the closed other end of a terminal as an input/output error
        return ""
