"""A PostgreSQL server of the test session's own: Debian's programs, a temporary directory, a free port.

Always true: it listens on the loopback interface alone, runs as `nobody` when the tests run as root (PostgreSQL refuses
root), and leaves nothing behind.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from support.processes import Process, base_environment, descendants, free_port


class PostgreSQL:
    """The running server; every test takes a database of its own from it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.directory = Path(tempfile.mkdtemp(prefix="privyseal-postgresql-"))  # nobody cannot enter pytest's own
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
            self._as_user = ["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self._databases = 0
        self._process: Process | None = None

    def start(self) -> None:
        """Make the cluster and wait until it takes connections."""
        self._run("initdb", "-D", self.directory / "data", "-A", "trust", "-U", "privyseal", "-E", "UTF8", "--no-sync")
        self._serve()

    def kill(self) -> None:
        """Kill all its processes at once, as `kill -9` does."""
        assert self._process is not None
        for process in descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.kill()

    def start_again(self) -> None:
        """Start it on what it has on its disk."""
        (self.directory / "server.log").unlink()
        self._serve()

    def _serve(self) -> None:
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}"]
        self._process = Process(
            # Its own PDEATHSIG: the kernel forgets one when the user changes.
            [*self._as_user, *(["--pdeathsig", "INT"] if self._as_user else []), self.programs / "postgres"]
            + ["-D", self.directory / "data"]
            + [word for setting in settings for word in ("-c", setting)],
            environment=base_environment(),
            log=self.directory / "server.log",
        )
        self._process.wait_for(lambda output: "ready to accept connections" in output)

    def stop(self) -> None:
        """End it, whoever is connected, and remove its directory."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)
        shutil.rmtree(self.directory)

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        self._databases += 1
        name = f"test{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "privyseal", name)
        return f"postgresql+psycopg://privyseal@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [*self._as_user, self.programs / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
        )
        assert done.returncode == 0, done.stderr
