"""What the supervisor tells an API worker: lines on its standard input, whose end means that the supervisor is gone."""

import contextlib
import subprocess

import msgspec


class Reload(msgspec.Struct, frozen=True):
    """Serve the TLS certificate that is on the disk now, and log every request or not."""

    access_log: bool


def order(worker: subprocess.Popen[bytes], what: Reload) -> None:
    """Tell a worker. One that has ended is started with the present settings anyway."""
    if worker.stdin is not None:
        with contextlib.suppress(OSError):
            worker.stdin.write(msgspec.json.encode(what) + b"\n")
            worker.stdin.flush()


def heard(data: bytes) -> list[Reload]:
    """Read what was told."""
    return [msgspec.json.decode(line, type=Reload) for line in data.splitlines()]
