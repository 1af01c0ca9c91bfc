"""Hiding a file from a process for good (landlock(7)): how API workers lose the key file that their user may read.

And the way out: they open no TCP connection.

Landlock knows only what is allowed, so everything is allowed that lies beside the path from the root to the file. What
is made later directly in one of those directories stays out of reach too. Links and renames from one directory to
another are refused, and so is reaching into processes outside (`/proc/PID/root`), which would be ways around it.
"""

import contextlib
import ctypes
import os
import struct
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on all architectures
_PATH_BENEATH = 1
_WRITE_FILE, _READ_FILE = 1 << 1, 1 << 2
_HANDLED = _READ_FILE | _WRITE_FILE
_CONNECT_TCP = 1 << 1  # of the network's rights, which stand behind those of files
_libc = ctypes.CDLL(None, use_errno=True)


def hide(file: Path) -> bool:
    """Take a file from this process and all that it starts; False where the kernel has no Landlock.

    Call it before the first thread, and after `no_new_privs` is set.
    """
    attributes = struct.pack("=Q", _HANDLED)
    ruleset = _libc.syscall(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        for folder, hidden in _way(Path(os.path.realpath(file))):
            for entry in os.scandir(folder):
                if entry.name != hidden:
                    _allow(ruleset, entry.path)
        return bool(_libc.syscall(_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def forbid_connecting() -> bool:
    """Refuse every TCP connection to elsewhere from here on; False where the kernel cannot (Linux 6.7 can).

    A seccomp filter sees that `connect` is called, not where to. This closes the way of a socket that was accepted, is
    disconnected, and connected to another address.
    """
    attributes = struct.pack("=QQ", 0, _CONNECT_TCP)
    ruleset = _libc.syscall(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        return bool(_libc.syscall(_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _way(file: Path) -> list[tuple[Path, str]]:
    """Give each directory above the file with the name in it that leads there."""
    return [(folder, child.name) for child, folder in zip([file, *file.parents], file.parents, strict=False)]


def _allow(ruleset: int, path: str) -> None:
    with contextlib.suppress(OSError):  # it has gone, or is none of ours
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            _libc.syscall(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", _HANDLED, descriptor), 0)
        finally:
            os.close(descriptor)
