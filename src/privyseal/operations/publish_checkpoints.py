"""Send checkpoints outside, again and again, to where whoever holds the appliance cannot change them.

A checkpoint that cannot be sent is told in the log and recorded as an event, once for each run of failures; the
appliance goes on. No redirect is followed and no proxy of the environment is used.
"""

import asyncio
import http.client
import logging
import os
import ssl
import syslog
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from privyseal.errors import ConfigurationError, PrivysealError
from privyseal.keeper.client import open_keeper
from privyseal.model.event import Outcome
from privyseal.operations.take_checkpoint import own_event, take_checkpoint
from privyseal.store import appliance as appliance_rows
from privyseal.store import events
from privyseal.store.store import Store

_log = logging.getLogger("privyseal.checkpoints")
_POST_SECONDS = 10.0
_SUCCESS = range(200, 300)
_REASON_MAX = 200


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where checkpoints go, and how often.

    Attributes:
        file: one to append to.
        syslog: whether the system's log gets them.
        url: an https URL to POST them to.
        every: seconds from one to the next.
    """

    file: Path | None = None
    syslog: bool = False
    url: str | None = None
    every: float = 300.0

    def __post_init__(self) -> None:
        """Refuse a URL that would not be protected; raises ConfigurationError."""
        if self.url is not None and not _is_protected(self.url):
            raise ConfigurationError("--checkpoint-url wants https://HOST/…")

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return self.file is not None or self.syslog or self.url is not None

    def ways(self) -> list[tuple[str, Callable[[str], None]]]:
        """Give each way with its name."""
        file, url = self.file, self.url
        found: list[tuple[str, Callable[[str], None]]] = []
        if file is not None:
            found.append(("file", lambda note: append(file, note)))
        if self.syslog:
            found.append(("syslog", log))
        if url is not None:
            found.append(("url", lambda note: post(url, note)))
        return found


class Publisher:
    """A thread that takes and sends checkpoints until it is stopped."""

    def __init__(self, store: Store, keeper: Path, destinations: Destinations) -> None:
        self._store = store
        self._keeper = keeper
        self._destinations = destinations
        self._failing: frozenset[str] = frozenset()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Send the first one at once, and one each interval after that."""
        self._thread.start()

    def stop(self) -> None:
        """Send a last one, then end; whatever hangs is left behind."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(_POST_SECONDS / 2)

    def publish(self) -> None:
        """Take a checkpoint and send it everywhere; never raises."""
        failures: dict[str, str] = {}
        try:
            note = asyncio.run(self._take())
        except Exception as error:  # noqa: BLE001 - the appliance goes on, whatever it is
            failures["checkpoint"] = _words(error)
        else:
            failures = _send(self._destinations.ways(), note)
        self._tell(failures)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.publish()
            self._stopped.wait(self._destinations.every)
        self.publish()

    async def _take(self) -> str:
        async with open_keeper(self._keeper) as keeper:
            return (await take_checkpoint(self._store, keeper)).note

    def _tell(self, failures: dict[str, str]) -> None:
        """Log every failure, and record those that are new."""
        for way, words in failures.items():
            _log.warning("a checkpoint could not be sent (%s): %s", way, words)
        new = [words for way, words in failures.items() if way not in self._failing]
        self._failing = frozenset(failures)
        if not new:
            return
        try:
            with self._store.write() as connection:
                node = appliance_rows.node(connection) or ""
                event = own_event(node, "audit:checkpoint", Outcome.FAILED, reason="; ".join(new)[:_REASON_MAX])
                events.append(connection, [event])
        except Exception as error:  # noqa: BLE001 - as above
            _log.warning("that could not be recorded either: %s", _words(error))


def _is_protected(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are none of an IPv6 address, a port that is no number
        return False


def append(file: Path, note: str) -> None:
    """Append a note to a file and wait until it is on the disk. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(f"{note}\n".encode())
        stream.flush()
        os.fsync(descriptor)


def log(note: str) -> None:
    """Write a note to the system's log, in one line: line ends are written as `|`."""
    syslog.openlog("privyseal-checkpoint", 0, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_NOTICE, note.replace("\n", "|"))


def post(url: str, note: str) -> None:
    """POST a note over HTTPS, to a server that the system's certificates vouch for. Raises OSError."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, context=ssl.create_default_context(), timeout=_POST_SECONDS
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, note.encode(), {"Content-Type": "text/plain; charset=utf-8"})
        status = connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__}") from error
    finally:
        connection.close()
    if status not in _SUCCESS:
        raise OSError(f"the server answered {status}")


def _send(ways: Sequence[tuple[str, Callable[[str], None]]], note: str) -> dict[str, str]:
    failures: dict[str, str] = {}
    for name, way in ways:
        try:
            way(note)
        except Exception as error:  # noqa: BLE001 - one way that fails keeps no other from its checkpoint
            failures[name] = _words(error)
    return failures


def _words(error: Exception) -> str:
    """Say what went wrong, without what the system adds of paths and addresses to an OSError."""
    if isinstance(error, PrivysealError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return type(error).__name__
