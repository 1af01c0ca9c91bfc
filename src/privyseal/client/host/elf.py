"""For which processor a shared object was made, by its ELF header (System V ABI, chapter 4)."""

import platform
import struct
from pathlib import Path

_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64", 21: "ppc64le", 22: "s390x"}
_SAME = {"amd64": "x86_64", "arm64": "aarch64", "i686": "i386", "armv7l": "arm", "armv8l": "arm"}
_HEADER = 20


def machine_of(path: Path) -> str | None:
    """The processor, for example `x86_64`; None where the file is no ELF file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or header[:4] != b"\x7fELF":
        return None
    little_endian = 1
    order = "<" if header[5] == little_endian else ">"
    (number,) = struct.unpack_from(f"{order}H", header, 18)
    return _MACHINES.get(number, f"processor {number}")


def this_machine() -> str:
    """The processor of this host, in the same words."""
    return _SAME.get(platform.machine(), platform.machine())
