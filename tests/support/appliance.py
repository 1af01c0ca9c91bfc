"""A real appliance: `privyseal serve` on a free port with a data directory of its own.

Always true: passwords and PINs reach programs in files of mode 0600, never in an argument.
"""

import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from support.processes import BIN, Process, base_environment, free_port

PASSWORDS = {"admin": "admin-of-a-throw-away-appliance"}
PIN = "12345678"


class Appliance:
    """One running appliance with its administrator `admin` and the users that tests add."""

    def __init__(
        self, directory: Path, *arguments: str, program: Path = BIN / "privyseal", address: str = "127.0.0.1"
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.data = directory / "data"
        self.arguments = arguments
        self.program = program
        self.address = address
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.passwords = dict(PASSWORDS)
        self.variables: dict[str, str] = {}
        self.process: Process | None = None
        self._former: list[Process] = []
        self.ready_line = ""
        self._clients: dict[str, httpx2.Client] = {}

    @property
    def ca_file(self) -> Path:
        """The certificate that clients trust."""
        return self.data / "tls" / "ca.pem"

    @property
    def admin_password(self) -> str:
        """The administrator's password."""
        return self.passwords["admin"]

    def start(self) -> None:
        """Start it and wait for the line that says it is ready, which is then `ready_line`."""
        log = self.directory / "serve.log"
        log.unlink(missing_ok=True)
        self._former += [self.process] if self.process else []
        self.process = Process(
            [self.program, "serve", "--data", self.data, "--listen", f"{self.address}:{self.port}", *self.arguments],
            environment={
                **base_environment(),
                **self.variables,
                "PRIVYSEAL_ADMIN_PASSWORD_FILE": str(self.secret_file("admin.password", self.admin_password)),
            },
            log=log,
        )
        ready = re.compile(r"^ready https://.*$", re.MULTILINE)
        found = ready.search(self.process.wait_for(lambda output: ready.search(output) is not None, seconds=180))
        assert found is not None
        self.ready_line = found[0]

    def stop(self) -> int:
        """End it as an administrator would; return its exit status."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        for former in self._former:  # killed, and perhaps survived by what it had started
            former.kill()
        return self.process.stop() if self.process else 0

    def stop_hard(self) -> None:
        """Kill every process of it at once, as a power cut would."""
        for process in [self._serve_process(), *self._children()]:
            with contextlib.suppress(ProcessLookupError):  # a child may end by itself when its parent is gone
                os.kill(process, signal.SIGKILL)
        if self.process is not None:
            self.process.stop()

    def kill_supervisor(self) -> None:
        """Kill `privyseal serve` and nothing else."""
        os.kill(self._serve_process(), signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def keeper_process(self) -> int:
        """The keeper's process number."""
        return next(child for child in self._children() if b"privyseal.keeper.process" in _command_line(child))

    def worker_processes(self) -> list[int]:
        """The API workers' process numbers."""
        return [child for child in self._children() if b"privyseal.app" in _command_line(child)]

    def _serve_process(self) -> int:
        """The process number of `privyseal serve` itself, below whatever the test's process starts it through."""
        data = os.fsencode(self.data)
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        lines = {number: _command_line(number) for number in numbers}
        return max(number for number, line in lines.items() if b"serve" in line and data in line)

    def _children(self) -> list[int]:
        serve = self._serve_process()
        return [int(word) for word in Path(f"/proc/{serve}/task/{serve}/children").read_text().split()]

    def secret_file(self, name: str, secret: str) -> Path:
        """A file of mode 0600 that holds a secret, without a line end."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(secret)
        return path

    def cli(
        self, *arguments: str | Path, input: str | None = None, check: bool = True, user: str = "admin"
    ) -> subprocess.CompletedProcess[str]:
        """Run `privyseal` as a user; with `check`, fail the test with its output unless it exits with 0."""
        done = subprocess.run(
            [BIN / "privyseal", *arguments],
            input=input,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=self.environment(user),
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def cli_json(self, *arguments: str | Path, user: str = "admin") -> Any:
        """What `privyseal … --json` answers."""
        return json.loads(self.cli(*arguments, "--json", user=user).stdout)

    def environment(self, user: str = "admin") -> dict[str, str]:
        """The environment in which `privyseal` calls this appliance as a user."""
        return {
            **base_environment(),
            "PRIVYSEAL_URL": self.url,
            "PRIVYSEAL_CA_FILE": str(self.ca_file),
            "PRIVYSEAL_USER": user,
            "PRIVYSEAL_PASSWORD_FILE": str(self.secret_file(f"{user}.password", self.passwords[user])),
        }

    def api(
        self, method: str, path: str, json: Any = None, *, user: str = "admin", check: bool = True, **options: Any
    ) -> httpx2.Response:
        """One REST request below /api/v1; with `check`, fail the test with the answer unless it is a success."""
        answer = self._client(user).request(method, f"/api/v1{path}", json=json, **options)
        assert not check or answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def _client(self, user: str) -> httpx2.Client:
        if user not in self._clients:
            self._clients[user] = self.client(user)
        return self._clients[user]

    def client(self, user: str) -> httpx2.Client:
        """Connections of one's own as a user; the caller closes them."""
        context = ssl.create_default_context(cafile=self.ca_file)
        auth = (user, self.passwords[user])
        return httpx2.Client(base_url=self.url, auth=auth, verify=context, trust_env=False, timeout=120)

    def add_user(self, name: str, *, role: str = "operator") -> str:
        """Make a user with a password of its own and return the name."""
        self.passwords[name] = f"password of {name}"
        self.api("POST", "/users", {"name": name, "role": role, "password": self.passwords[name]})
        return name

    def add_rule(
        self, user: str, keys: str = "*", *, operations: Sequence[str] = ("key:read", "key:sign"), core: int = 1
    ) -> None:
        """Let a user do something with the keys whose labels fit a pattern."""
        self.api("POST", "/rules", {"user": user, "core": core, "operations": list(operations), "keys": keys})

    def add_key(
        self, label: str, key_type: str = "ec:P-256", *, pin: str | None = PIN, core: int = 1
    ) -> dict[str, Any]:
        """Make a key and return its public record."""
        body = {"label": label, "type": key_type} | ({"pin": pin} if pin else {})
        key: dict[str, Any] = self.api("POST", f"/cores/{core}/keys", body).json()
        return key


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""
