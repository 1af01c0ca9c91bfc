"""Programs that tests start are ended with all that they started, and nobody else's are."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.processes import Process, base_environment
from support.waiting import wait_until

LEAVES_ONE = "sleep 600 & echo $!; exit 3"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], Process]]:
    """Runs a line of shell."""
    started: list[Process] = []

    def start(line: str) -> Process:
        started.append(Process(["sh", "-c", line], environment=base_environment(), log=tmp_path / "log"))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def lives(pid: int) -> bool:
    """Whether there is such a process and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("ending", [Process.kill, Process.stop])
def test_what_a_program_left_behind_is_ended(run: Callable[[str], Process], ending: Callable[[Process], int]) -> None:
    """Although the program itself ended long ago and its status was asked for; that stays what it was."""
    process = run(LEAVES_ONE)
    assert process.wait() == process.status == 3
    left = int(process.log.read_text())
    assert lives(left)
    assert ending(process) == 3
    wait_until(lambda: not lives(left))


def test_the_number_is_its_own_until_it_is_ended(
    run: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives it to nobody else before; from then on no signal is sent to it."""
    process = run("exit 0")
    assert process.wait() == 0
    assert Path(f"/proc/{process.pid}").exists()
    process.kill()
    assert not Path(f"/proc/{process.pid}").exists()
    for sends in ("os.kill", "os.killpg"):
        monkeypatch.setattr(sends, lambda *_: pytest.fail("a signal to whoever has the number now"))
    assert process.kill() == process.stop() == process.status == 0


@pytest.mark.parametrize("line", [LEAVES_ONE, "echo $$; exec sleep 600"], ids=["ended", "late"])
def test_what_never_says_it_is_killed(run: Callable[[str], Process], line: str) -> None:
    """Whether it ended, and left something behind, or took too long."""
    process = run(line)
    child = int(process.wait_for(lambda output: output.endswith("\n")))
    with pytest.raises(RuntimeError, match=rf"status (3|None) and not what we wait for in:\n{child}\n"):
        process.wait_for(lambda _: False, seconds=0.5)
    wait_until(lambda: not lives(child))


def test_its_last_words_are_heard(run: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what it says just before it is found to have ended."""
    process = run("exit 0")
    monkeypatch.setattr(Process, "status", property(lambda self: self.log.write_text("last words") and 0))
    assert process.wait_for(lambda output: "last" in output) == "last words"


def test_a_signal_is_its_status(run: Callable[[str], Process]) -> None:
    """As a negative number; and what takes too long says so."""
    process = run("exec sleep 600")
    assert process.status is None
    with pytest.raises(TimeoutError, match="has not ended"):
        process.wait(seconds=0.1)
    assert process.stop() == process.status == -signal.SIGTERM
