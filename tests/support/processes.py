"""Starting and ending programs.

Always true: a program started here is a session of its own and ends with the test session, also when that is killed
(`setpriv --pdeathsig`); nothing is ever ended by name.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv" / "bin"


def free_port() -> int:
    """A TCP port of the loopback interface on which nothing listens at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def base_environment() -> dict[str, str]:
    """The environment without anything that a developer's own set-up could bring into a test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRIVYSEAL_", "OPENSSL_"))}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def descendants(pid: int) -> list[int]:
    """A process and everything that it and its children have started, parents first."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in descendants(int(child)))]


class Process:
    """A running program whose output goes to a log file; whoever starts one has to `stop` or `kill` it."""

    def __init__(self, arguments: Sequence[str | Path], *, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, arguments)],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id; also that of its process group."""
        return self._popen.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        if self._popen.returncode is not None:
            return self._popen.returncode
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def wait_for(self, found: Callable[[str], bool], *, seconds: float = 60) -> str:
        """Wait until its output satisfies `found`, and return that; RuntimeError when it takes too long or has ended.

        In that case it is killed, with what it has left behind.
        """
        deadline = time.monotonic() + seconds
        while True:
            status = self.status  # asked first: if it has ended, the output is whole
            output = self.log.read_text(errors="replace")
            if found(output):
                return output
            if status is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"status {status} and not what we wait for in:\n{output}")
            time.sleep(0.02)

    def wait(self, *, seconds: float = 60) -> int:
        """Wait until it ends by itself; return its exit status, or raise TimeoutError."""
        deadline = time.monotonic() + seconds
        while (status := self.status) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._popen.args!r} has not ended after {seconds} s")
            time.sleep(0.02)
        return status

    def stop(self, ending: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> int:
        """End it with a signal, and what is then left of its process group with SIGKILL; return the exit status."""
        if self.status is None:
            os.kill(self.pid, ending)
        with contextlib.suppress(TimeoutError):
            self.wait(seconds=seconds)
        return self.kill()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It and all its descendants stand still for a while: connections stay open and nothing answers."""
        family = descendants(self.pid)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(family):
                os.kill(pid, signal.SIGCONT)

    def kill(self) -> int:
        """End the whole process group at once; return the exit status.

        Only here is the process reaped. Until then its number, which is also its group's, cannot become another's.
        """
        if self._popen.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()
