"""Words to systemd: sent where it listens, and no trouble where it does not."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from privyseal.telemetry.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


def test_words_arrive(manager: socket.socket) -> None:
    """One datagram with a line each."""
    Notifier({"NOTIFY_SOCKET": str(manager.getsockname())}).say("READY=1", "STATUS=here")
    assert manager.recv(1000) == b"READY=1\nSTATUS=here"


def test_abstract_names() -> None:
    """`@` stands for a NUL (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0privyseal-test-notify")
        sock.settimeout(10)
        Notifier({"NOTIFY_SOCKET": "@privyseal-test-notify"}).say("READY=1")
        assert sock.recv(1000) == b"READY=1"


def test_the_watchdog_hears_of_us_twice_in_its_time(manager: socket.socket) -> None:
    """Not at every turn of the loop."""
    notifier = Notifier({"NOTIFY_SOCKET": str(manager.getsockname()), "WATCHDOG_USEC": "200000"})
    end = time.monotonic() + 0.25
    while time.monotonic() < end:
        notifier.alive()
        time.sleep(0.01)
    manager.settimeout(0.01)
    heard = 0
    try:
        while manager.recv(100) == b"WATCHDOG=1":
            heard += 1
    except TimeoutError:
        pass
    assert 1 <= heard <= 4


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere"}])
def test_nobody_listens(environment: dict[str, str]) -> None:
    """That is no error."""
    notifier = Notifier(environment)
    notifier.say("READY=1")
    notifier.alive()
