"""The built module as the loader sees it: what it needs from a host and what it gives to a program.

Always true of the file: it needs nothing but the C library, one of glibc 2.17 or newer, and shows nothing but functions
of PKCS #11, so that it can neither clash with a library of its host program nor fail to load on an old host.
"""

import re
import subprocess
from pathlib import Path

import pytest

_MODULE = Path(__file__).parents[3] / "build" / "privyseal-pkcs11.so"
_NEWEST_GLIBC = (2, 17)  # RHEL 7, 2013; Debian 11 has 2.31
# Until glibc 2.34 these were files of their own; the module is linked for older ones and names them.
_C_LIBRARY = {
    "libc.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "libm.so.6",
    "librt.so.1",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
}


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def module() -> str:
    """The module's path. A missing file is a failure: `scripts/build-module` comes before the tests."""
    assert _MODULE.is_file(), "run scripts/build-module first"
    return str(_MODULE)


def test_it_needs_the_c_library_and_nothing_else(module: str) -> None:
    libraries = {Path(line.split()[0]).name for line in _output("ldd", module).splitlines()}
    assert "libc.so.6" in libraries
    assert libraries - _C_LIBRARY - {"linux-vdso.so.1"} == set()


def test_it_exports_pkcs11_and_nothing_else(module: str) -> None:
    names = {line.split()[-1] for line in _output("nm", "-D", "--defined-only", module).splitlines()}
    assert {"C_GetFunctionList", "C_GetInterface", "C_Initialize", "C_Sign"} <= names
    assert {name for name in names if not re.fullmatch(r"C_[A-Za-z]+", name)} == set()


def test_it_loads_on_hosts_with_glibc_2_17(module: str) -> None:
    versions = {
        tuple(int(number) for number in version.split("."))
        for version in re.findall(r"@GLIBC_([0-9.]+)", _output("nm", "-D", "--undefined-only", module))
    }
    assert versions
    assert max(versions) <= _NEWEST_GLIBC


def test_it_needs_no_symbol_of_another_library(module: str) -> None:
    undefined = _output("nm", "-D", "--undefined-only", module).splitlines()
    versionless = [line.split()[-1] for line in undefined if "@" not in line and " w " not in line]
    assert versionless == []


def test_it_can_be_unloaded(module: str) -> None:
    """After dlclose there is no exit handler and no thread left that would run code which is gone."""
    script = "import _ctypes, sys; _ctypes.dlclose(_ctypes.dlopen(sys.argv[1], 2))"
    subprocess.run(["python3", "-c", script, module], check=True, timeout=60)


def test_it_tells_no_path_of_the_machine_that_built_it(module: str) -> None:
    """Panic messages hold file names; a builder's home directory is nobody's business and makes builds differ."""
    homes = {f"{parent}/".encode() for parent in (Path.home(), Path("/home"), _MODULE.parents[1])}
    content = Path(module).read_bytes()
    assert [home for home in homes if home in content] == []
