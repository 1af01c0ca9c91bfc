"""`privyseal serve`: provisions an empty data directory, starts keeper and API workers, and restarts what dies.

The supervisor is the only process that reads the key file, and it keeps nothing of it. The keeper and the workers end
by themselves when the supervisor is gone, because they watch a pipe that it holds open.
"""

import asyncio
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
from functools import partial
from pathlib import Path
from typing import BinaryIO

from privyseal.errors import ConfigurationError, UnavailableError
from privyseal.keeper.client import open_keeper
from privyseal.operations.provision import (
    ADMINISTRATOR,
    Place,
    is_provisioned,
    key_file,
    new_key_file_secret,
    provision_with_key_file,
    require_whole,
    settle,
    try_key_file,
    unlock_with_key_file,
)
from privyseal.operations.publish_checkpoints import Publisher
from privyseal.operations.restore import Progress, check, marked, restore
from privyseal.operations.take_checkpoint import audit_key
from privyseal.operations.watch_clock import latest_event, record_set_back
from privyseal.orders import Reload, order
from privyseal.settings import Options, Reread, renewed
from privyseal.state import State
from privyseal.store.store import Store
from privyseal.telemetry import logs
from privyseal.telemetry.bell import make_bell
from privyseal.telemetry.cells import make_file
from privyseal.telemetry.clock import Clock, synchronised
from privyseal.telemetry.logs import format_of
from privyseal.telemetry.metrics import RELOADS, SET_BACK, SYNCHRONISED, Metrics
from privyseal.telemetry.notify import Notifier
from privyseal.tls import TLSFiles, write_private
from privyseal.wire.backups import Header

_log = logging.getLogger("privyseal.serve")
_SOCKET_PATH_MAX = 100  # unix(7): sun_path has 108 bytes
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_CLOCK_SECONDS = 10.0
_RELOAD_SECONDS = 5.0
_OURS = ("PRIVYSEAL_", "NOTIFY_", "WATCHDOG_", "CREDENTIALS_")  # what children need not know
_UP = frozenset(state.value for state in State)


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
    reread: Reread
    place: Place
    store: Store
    tls: TLSFiles
    listener: socket.socket
    keeper_listener: socket.socket
    shared: int
    bell: int
    metrics: Metrics
    notifier: Notifier = field(default_factory=Notifier)
    clock: Clock = field(default_factory=Clock)
    clock_at: float = 0.0
    tls_trouble: str = ""
    children: list[Child] = field(default_factory=list)
    publisher: Publisher | None = None
    stopping: bool = False
    reloading: bool = False

    def start_keeper(self) -> None:
        """Start the keeper and open the domain key with the key file, or make both at the first start."""
        self.children.append(Child(self._spawn_keeper, self._spawn_keeper()))
        for name in ("keeper", "worker"):
            self.metrics.count(f'privyseal_restarts_total{{process="{name}"}}', 0)
        if self._open_or_provision():
            self.make_audit_key()

    def _open_or_provision(self) -> bool:
        """Say whether the appliance is operational; if not, somebody has to come."""
        if not is_provisioned(self.store):
            if not self.options.provision:
                _say("unprovisioned: type `privyseal provision`")
                return False
            password = _administrator_password(self.options.data)
            provision_with_key_file(self.store, self.place, socket.gethostname()[:64], password)
        elif not unlock_with_key_file(self.store, self.place):
            _say("locked: no unlock slot is for a key file; type `privyseal unlock`")
            return False
        return True

    def make_audit_key(self) -> None:
        """Have the key made that signs checkpoints, if there is none yet."""

        async def work() -> None:
            async with open_keeper(self.place.keeper) as keeper:
                await audit_key(self.store, keeper)

        asyncio.run(work())

    def start_workers(self) -> None:
        """Start the API workers."""
        for place in range(1, self.options.workers + 1):
            start = partial(self._spawn_worker, place)
            self.children.append(Child(start, start()))

    def watch(self) -> None:
        """Restart what dies, until a signal says stop."""
        while not self.stopping:
            for child in self.children:
                if child.process.poll() is not None and not self.stopping:
                    self._restart(child)
            if self.reloading:
                self._reload()
            self._look_at_clock_and_certificate()
            self.notifier.alive()
            time.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        """Send checkpoints outside for a while, if that is wanted."""
        self._start_publishing()
        try:
            yield
        finally:
            self._stop_publishing()

    def _start_publishing(self) -> None:
        if self.options.checkpoints:
            self.publisher = Publisher(self.store, self.place.keeper, self.options.checkpoints)
            self.publisher.start()

    def _stop_publishing(self) -> None:
        if self.publisher is not None:
            self.publisher.stop()
            self.publisher = None

    def _reload(self) -> None:
        """Read configuration and certificate anew, and tell the workers. What is wrong with them changes nothing."""
        self.reloading = False
        self.notifier.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            wanted = self.reread()
            self.tls.prepare(_extra_names(self.options))
            self._renew_options(wanted)  # last, because nothing may be in force when one of the others fails
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what somebody wrote, the appliance goes on
            _log.warning("the reload changed nothing: %s", error)
        self._tell_workers()
        self.notifier.say("READY=1", f"STATUS=answering with {self.options.workers} workers")

    def _renew_options(self, wanted: Options) -> None:
        before = self.options
        self.options, fixed = renewed(before, wanted)
        if fixed:
            _log.warning("changed, but in force only after a new start: %s", ", ".join(fixed))
        if self.options.checkpoints != before.checkpoints:
            self._stop_publishing()
            self._start_publishing()

    def _tell_workers(self) -> None:
        """Let every worker look at its certificate and settings; wait until they have, but not for ever."""
        heard = self.metrics.total().get(RELOADS, 0)
        workers = self.children[1:]
        for child in workers:
            order(child.process, Reload(self.options.access_log))
        deadline = time.monotonic() + _RELOAD_SECONDS
        while self.metrics.total().get(RELOADS, 0) < heard + len(workers) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        _log.info("reloaded")

    def compare_clock_with_record(self) -> None:
        """Find out whether the clock was set back while nothing ran."""
        self._was_set_back(self.clock.behind(latest_event(self.store)))

    def _look_at_clock_and_certificate(self) -> None:
        if time.monotonic() < self.clock_at:
            return
        self.renew_certificate()
        self.clock_at = time.monotonic() + _CLOCK_SECONDS
        known = synchronised()
        if known is not None:
            self.metrics.set(SYNCHRONISED, int(known))
        self._was_set_back(self.clock.set_back())

    def renew_certificate(self) -> None:
        """Renew the TLS certificate if that is due. What keeps it from that is told once, and again when it changes."""
        trouble = ""
        try:
            if self.tls.renew_if_due():
                _log.info("the TLS certificate is renewed: it would have ended soon")
        except (ConfigurationError, OSError) as error:
            trouble = str(error)
            if trouble != self.tls_trouble:
                _log.warning("the TLS certificate ends soon and cannot be renewed: %s", error)
        self.tls_trouble = trouble

    def _was_set_back(self, seconds: float) -> None:
        """Warn of it, count it and record it. That the record fails for now stops nothing: it is counted."""
        self.metrics.count(SET_BACK, int(seconds > 0))
        if seconds > 0:
            _log.warning("the clock was set back by %.1f s", seconds)
            with contextlib.suppress(UnavailableError):
                record_set_back(self.store, seconds)

    def stop(self) -> None:
        """End the workers, then the keeper, in a bounded time."""
        self.notifier.say("STOPPING=1", "STATUS=stopping")
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
        name = "keeper" if child is self.children[0] else "worker"
        self.metrics.count(f'privyseal_restarts_total{{process="{name}"}}')
        _log.warning("process %d ended with %s; starting it again", child.process.pid, child.process.returncode)
        if name == "worker":  # what it was trying counts as wrong, and nobody waits for its outcome
            with contextlib.suppress(UnavailableError):
                settle(self.store)
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
        return _spawn_keeper(self.keeper_listener, self.options.log_format)

    def _spawn_worker(self, place: int) -> subprocess.Popen[bytes]:
        descriptor = self.listener.fileno()
        words = ["privyseal.app", "--listener", str(descriptor), "--keeper", str(self.place.keeper)]
        words += ["--tls", str(self.tls.ca.parent)]
        words += ["--metrics", str(self.shared), "--place", str(place), "--bell", str(self.bell)]
        words += ["--log-format", format_of(self.options.log_format)]
        words += ["--hide", str(self.options.key_file)] if self.options.key_file else []
        words += ["--access-log"] if self.options.access_log else []
        return _spawn(words, (descriptor, self.shared, self.bell), {"PRIVYSEAL_DATABASE": database_url(self.options)})


def serve(options: Options, reread: Reread | None = None) -> int:
    """Run an appliance until SIGTERM or SIGINT; gives the exit status. Raises ConfigurationError.

    SIGHUP is a reload with what `reread` gives; None means that there is nothing to read anew. On a terminal it means
    that the terminal is gone, and ends the appliance.
    """
    logs.set_up(options.log_format, "supervisor")
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(options.data), contextlib.ExitStack() as stack:
        supervisor = _prepare(options, reread or (lambda: options), stack)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            word = "reloading" if number == signal.SIGHUP and not sys.stdin.isatty() else "stopping"
            signal.signal(number, lambda *_, word=word: setattr(supervisor, word, True))
        stack.callback(supervisor.stop)
        supervisor.start_keeper()
        supervisor.compare_clock_with_record()
        supervisor.start_workers()
        if _wait_until_ready(supervisor):
            _announce(supervisor)
            supervisor.notifier.say("READY=1", f"STATUS=answering with {options.workers} workers")
            with supervisor.publishing():
                supervisor.watch()
    return 0


def restore_into(data: Path, database: str | None, file: BinaryIO, secret: str, progress: Progress) -> Header:
    """Make an appliance out of a backup. Nothing is written before all of the file was read and found whole.

    Raises ConfigurationError, ConflictError, InvalidBackupError.
    """
    with contextlib.ExitStack() as stack:
        os.umask(0o077)
        keeper = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="privyseal-"))) / "keeper.sock"
        process = _spawn_keeper(stack.enter_context(_listen_unix(keeper)), None)
        stack.callback(process.communicate)
        stack.callback(process.kill)
        return restore_with(Place(data, keeper), database, file, secret, progress)


def restore_with(place: Place, database: str | None, file: BinaryIO, secret: str, progress: Progress) -> Header:
    """Restore with a keeper that holds no domain key. Raises as `restore_into`."""
    slot_secret = key_file(place) if place.key_file.exists() else new_key_file_secret()
    checked = check(place.keeper, file, secret, slot_secret, progress)
    place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one(place.data))
        store = Store(database_url(Options(place.data, "127.0.0.1", 0, database, 0)))
        stack.callback(store.close)
        stack.enter_context(marked(place))
        store.migrate()
        restore(store, place, file, checked, progress)
    return checked.header


def database_url(options: Options) -> str:
    """Give the database's URL: what was asked for, or SQLite in the data directory."""
    return options.database or f"sqlite:///{options.data.absolute() / 'privyseal.db'}"


def _prepare(options: Options, reread: Reread, stack: contextlib.ExitStack) -> Supervisor:
    os.umask(0o077)
    store = Store(database_url(options))
    stack.callback(store.close)
    store.migrate()
    keeper_path = _keeper_path(options.data, stack)
    place = Place(options.data, keeper_path, options.key_file)
    require_whole(store, place)  # before anything is made here, or read that a restore has left half written
    settle(store)
    tls = TLSFiles(options.data / "tls")
    tls.prepare(_extra_names(options))
    listener = stack.enter_context(_listen(options.host, options.port))
    keeper_listener = stack.enter_context(_listen_unix(keeper_path))
    shared = make_file(options.workers + 1)  # the first region is the supervisor's own
    bell = make_bell()
    for descriptor in (shared, bell):
        stack.callback(os.close, descriptor)
    return Supervisor(options, reread, place, store, tls, listener, keeper_listener, shared, bell, Metrics(shared))


def _extra_names(options: Options) -> list[str]:
    return [] if options.host in ("0.0.0.0", "::") else [options.host]  # noqa: S104 - compared, not bound


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


def _spawn_keeper(listener: socket.socket, log_format: str | None) -> subprocess.Popen[bytes]:
    descriptor = listener.fileno()
    return _spawn(["privyseal.keeper.process", str(descriptor), format_of(log_format)], (descriptor,), {})


def _spawn(words: list[str], descriptors: tuple[int, ...], more: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return subprocess.Popen(  # noqa: S603 - our own modules, with our own arguments
        [sys.executable, "-P", "-m", *words],  # -P: nothing is imported from the current folder
        stdin=subprocess.PIPE,
        pass_fds=descriptors,
        env={**environment, **more},
        start_new_session=True,  # Ctrl-C goes to the supervisor, which ends the others in order
    )


def _administrator_password(data: Path) -> str:
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
    if "JOURNAL_STREAM" in os.environ:  # what is printed would stay in systemd's journal
        write_private(data / "admin.password", password.encode())
        _log.warning(
            "user %s has a generated password, in %s; read it, change it, remove the file", ADMINISTRATOR, data
        )
        return password
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
    """Ask over TLS. The answer counts if the certificate is the one in our file, whatever authority it is from."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(*_own_address(supervisor), context=context, timeout=2)
    try:
        connection.connect()
        if connection.sock.getpeercert(binary_form=True) != supervisor.tls.leaf():
            return False
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
