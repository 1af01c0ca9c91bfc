"""`privyseal serve`: provisions an empty data directory, starts keeper and API workers, and restarts what dies.

The supervisor is the only process that reads the key file, and it keeps nothing of it. The keeper and the workers end
by themselves when the supervisor is gone, because they watch a pipe that it holds open.
"""

import contextlib
import fcntl
import http.client
import json
import logging
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from privyseal.errors import ConfigurationError, UnavailableError
from privyseal.operations.provision import (
    ADMINISTRATOR,
    Place,
    is_provisioned,
    provision_with_key_file,
    settle,
    try_key_file,
    unlock_with_key_file,
)
from privyseal.state import State
from privyseal.store.store import Store
from privyseal.tls import TLSFiles, write_private

_log = logging.getLogger("privyseal.serve")
_SOCKET_PATH_MAX = 100  # unix(7): sun_path has 108 bytes
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_UP = frozenset(state.value for state in State)


@dataclass(frozen=True, slots=True)
class Options:
    """What `privyseal serve` was asked for.

    Attributes:
        database: a URL, or None for SQLite in the data directory.
        workers: API processes; None for one a core.
        provision: whether an empty database becomes an appliance by itself.
    """

    data: Path
    host: str
    port: int
    database: str | None
    workers: int
    provision: bool = True


@dataclass(slots=True)
class Child:
    """A process that is kept alive. `start` makes it anew."""

    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]
    restarts: int = 0


@dataclass(slots=True)
class Supervisor:
    """One appliance's processes."""

    options: Options
    place: Place
    store: Store
    tls: TLSFiles
    listener: socket.socket
    keeper_listener: socket.socket
    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def start_keeper(self) -> None:
        """Start the keeper and open the domain key with the key file, or make both at the first start."""
        self.children.append(Child(self._spawn_keeper, self._spawn_keeper()))
        if is_provisioned(self.store):
            if not unlock_with_key_file(self.store, self.place):
                _say("locked: no unlock slot is for a key file; type `privyseal unlock`")
        elif self.options.provision:
            provision_with_key_file(self.store, self.place, socket.gethostname()[:64], _administrator_password())
        else:
            _say("unprovisioned: type `privyseal provision`")

    def start_workers(self) -> None:
        """Start the API workers."""
        for _ in range(self.options.workers):
            self.children.append(Child(self._spawn_worker, self._spawn_worker()))

    def watch(self) -> None:
        """Restart what dies, until a signal says stop."""
        while not self.stopping:
            for child in self.children:
                if child.process.poll() is not None and not self.stopping:
                    self._restart(child)
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End the workers, then the keeper, in a bounded time."""
        for child in reversed(self.children):
            child.process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self.children:
            try:
                child.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _restart(self, child: Child) -> None:
        child.restarts += 1
        _log.warning("process %d ended with %s; starting it again", child.process.pid, child.process.returncode)
        time.sleep(min(0.1 * 2 ** min(child.restarts - 1, 6), 5.0) if child.restarts > 1 else 0)
        child.process = child.start()
        if child is self.children[0] and is_provisioned(self.store):
            self._unlock_again()

    def _unlock_again(self) -> None:
        """Unlock a keeper that was started again; one that waits for people stays locked and says so."""
        reason = try_key_file(self.store, self.place)
        if reason is not None:
            _log.warning("the appliance is locked since its keeper was started again: %s", reason)

    def _spawn_keeper(self) -> subprocess.Popen[bytes]:
        descriptor = self.keeper_listener.fileno()
        return _spawn(["privyseal.keeper.process", str(descriptor)], (descriptor,), {})

    def _spawn_worker(self) -> subprocess.Popen[bytes]:
        descriptor = self.listener.fileno()
        words = ["privyseal.app", "--listener", str(descriptor), "--keeper", str(self.place.keeper)]
        words += ["--tls", str(self.tls.ca.parent)]
        return _spawn(words, (descriptor,), {"PRIVYSEAL_DATABASE": database_url(self.options)})


def serve(options: Options) -> int:
    """Run an appliance until SIGTERM or SIGINT; gives the exit status. Raises ConfigurationError."""
    logging.basicConfig(format="%(name)s: %(message)s")
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(options.data), contextlib.ExitStack() as stack:
        supervisor = _prepare(options, stack)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(supervisor, "stopping", True))
        stack.callback(supervisor.stop)
        supervisor.start_keeper()
        supervisor.start_workers()
        if _wait_until_ready(supervisor):
            _announce(supervisor)
            supervisor.watch()
    return 0


def database_url(options: Options) -> str:
    """Give the database's URL: what was asked for, or SQLite in the data directory."""
    return options.database or f"sqlite:///{options.data.absolute() / 'privyseal.db'}"


def _prepare(options: Options, stack: contextlib.ExitStack) -> Supervisor:
    os.umask(0o077)
    store = Store(database_url(options))
    stack.callback(store.close)
    store.migrate()
    settle(store)
    tls = TLSFiles(options.data / "tls")
    tls.prepare([] if options.host in ("0.0.0.0", "::") else [options.host])  # noqa: S104 - compared, not bound
    listener = stack.enter_context(_listen(options.host, options.port))
    keeper_path = _keeper_path(options.data, stack)
    keeper_listener = stack.enter_context(_listen_unix(keeper_path))
    return Supervisor(options, Place(options.data, keeper_path), store, tls, listener, keeper_listener)


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Hold the data directory; raises ConfigurationError when another `serve` holds it."""
    with (data / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(f"another `privyseal serve` is using {data}") from error
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.listen(1024)
    return sock


def _keeper_path(data: Path, stack: contextlib.ExitStack) -> Path:
    folder = data.absolute() / "run"
    if len(str(folder)) > _SOCKET_PATH_MAX - len("/keeper.sock"):
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="privyseal-"))) / "keeper.sock"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "keeper.sock"


def _listen_unix(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o600)
    sock.listen(64)
    return sock


def _spawn(words: list[str], descriptors: tuple[int, ...], more: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PRIVYSEAL_")}
    return subprocess.Popen(  # noqa: S603 - our own modules, with our own arguments
        [sys.executable, "-m", *words],
        stdin=subprocess.PIPE,
        pass_fds=descriptors,
        env={**environment, **more},
        start_new_session=True,  # Ctrl-C goes to the supervisor, which ends the others in order
    )


def _administrator_password() -> str:
    given = os.environ.get("PRIVYSEAL_ADMIN_PASSWORD")
    file = os.environ.get("PRIVYSEAL_ADMIN_PASSWORD_FILE")
    if given is None and file is not None:
        try:
            given = Path(file).read_text().rstrip("\n")
        except OSError as error:
            raise ConfigurationError(f"PRIVYSEAL_ADMIN_PASSWORD_FILE cannot be read: {error.strerror}") from error
    if given is not None:
        return given
    password = secrets.token_urlsafe(18)
    _say(f"user {ADMINISTRATOR} password {password} (shown once)")
    return password


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - for whoever started it


def _wait_until_ready(supervisor: Supervisor) -> bool:
    """Ask the appliance itself until it answers over TLS; False when a signal came first.

    One that waits for people, locked or not provisioned, is up as well.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not supervisor.stopping:
        if _is_ready(supervisor):
            return True
        if time.monotonic() > deadline or any(child.process.poll() is not None for child in supervisor.children):
            raise UnavailableError("the appliance did not come up; its messages are above")
        time.sleep(0.02)
    return False


def _is_ready(supervisor: Supervisor) -> bool:
    context = ssl.create_default_context(cafile=supervisor.tls.ca)
    host, port = _own_address(supervisor)
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=2)
    try:
        connection.request("GET", "/api/v1/health/ready")
        return json.loads(connection.getresponse().read()).get("state") in _UP
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _own_address(supervisor: Supervisor) -> tuple[str, int]:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(supervisor.options.host, supervisor.options.host)  # noqa: S104
    return host, supervisor.listener.getsockname()[1]


def _announce(supervisor: Supervisor) -> None:
    host, port = supervisor.options.host, supervisor.listener.getsockname()[1]
    name = socket.getfqdn() if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    url = f"https://[{name}]:{port}" if ":" in name else f"https://{name}:{port}"
    own_host, _ = _own_address(supervisor)
    own = f"https://[{own_host}]:{port}" if ":" in own_host else f"https://{own_host}:{port}"
    endpoint = {"url": own, "ca_file": str(supervisor.tls.ca.absolute())}
    write_private(supervisor.options.data / "endpoint.json", json.dumps(endpoint).encode())
    _say(f"ready {url} fingerprint {supervisor.tls.fingerprint()}")
