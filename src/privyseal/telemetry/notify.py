"""Words to systemd over its notification socket (sd_notify(3)). Without such a socket nothing is said."""

import contextlib
import os
import socket
import time


class Notifier:
    """The way to the service manager; `environment` has NOTIFY_SOCKET and WATCHDOG_USEC if there is one."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        address = found.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._alive_every = int(found.get("WATCHDOG_USEC", "0")) / 2e6  # half of what is allowed, in seconds
        self._next = 0.0

    def say(self, *words: str) -> None:
        """Send assignments such as `READY=1`. That nobody listens is no error."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto("\n".join(words).encode(), self._address)

    def alive(self) -> None:
        """Say that the loop turns, as often as the watchdog wants to hear it."""
        if self._alive_every and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._alive_every
            self.say("WATCHDOG=1")
