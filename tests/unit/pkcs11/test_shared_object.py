"""The built module as a file: what it needs from a host and what it shows to one.

Always true: the file under test is the one that `privyseal pkcs11 path` names.
"""

import re
import subprocess
from pathlib import Path

OF_GLIBC = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1"}
NEWEST_GLIBC = (2, 17)


def output_of(*command: str | Path) -> str:
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_needs_glibc_and_nothing_else(module: Path) -> None:
    """No libcrypto above all: the OpenSSL that loads the module has its own, of whatever version."""
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output_of("readelf", "--dynamic", "--wide", module)))
    linker = {name for name in needed if name.startswith("ld-linux")}
    assert needed - linker <= OF_GLIBC


def test_it_shows_the_functions_of_pkcs11_and_nothing_else(module: Path) -> None:
    """A symbol of ours under a common name could take the place of the host program's own."""
    shown = [line.split()[-1] for line in output_of("nm", "-D", "--defined-only", module).splitlines()]
    assert "C_GetFunctionList" in shown
    assert not [name for name in shown if not re.fullmatch(r"C_[A-Z]\w+", name)]


def test_it_loads_on_every_host_since_glibc_2_17(module: Path) -> None:
    """Debian 11 has 2.31, and the oldest hosts that still sign somewhere have CentOS 7's 2.17."""
    wanted = output_of("readelf", "--version-info", "--wide", module)
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([\d.]+)", wanted)}
    assert versions
    assert max(versions) <= NEWEST_GLIBC


def test_it_is_stripped(module: Path) -> None:
    """Without debug information, which would be ten times the module and hold the builder's paths."""
    sections = output_of("readelf", "--sections", "--wide", module)
    assert ".dynsym" in sections
    assert ".debug_info" not in sections
    assert ".symtab" not in sections


def test_it_can_be_unloaded_without_a_trace(module: Path) -> None:
    """After dlclose there is no exit handler and no thread left that would run code which is gone."""
    script = "import _ctypes, sys; _ctypes.dlclose(_ctypes.dlopen(sys.argv[1], 2))"
    subprocess.run(["python3", "-c", script, module], check=True)


def test_it_tells_no_paths_of_the_machine_that_built_it(module: Path) -> None:
    """Panic messages have file names in them; those of a home directory are nobody's business."""
    assert not re.findall(rb"/(?:home|root)/[\w./-]+", module.read_bytes())
