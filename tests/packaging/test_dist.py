"""What `scripts/dist` makes, installed as a user would: wheels in a fresh environment, the Debian package in a chroot.

Always true: nothing is fetched from an index; the module that comes out of each package is the one that went in.
"""

import filecmp
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import hosts
from support.processes import ROOT

MACHINE = platform.machine()
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
VERSION = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]  # type: ignore[index]


@pytest.fixture(scope="session")
def dist() -> Path:
    """The folder, made anew."""
    subprocess.run([ROOT / "scripts" / "dist"], check=True, capture_output=True)
    return ROOT / "dist"


def other_module(processor: str) -> Path:
    """Where scripts/build-module puts the module for another processor than this machine's."""
    return ROOT / "build" / processor / "privyseal-pkcs11.so"


@pytest.fixture(params=PROCESSORS)
def built(request: pytest.FixtureRequest, module: Path) -> tuple[str, Path]:
    """A processor and its module; skipped for one that has not been built here."""
    path = module if request.param == MACHINE else other_module(request.param)
    if not path.exists():
        pytest.skip(f"no module for {request.param} has been built here: scripts/build-module {request.param}")
    return request.param, path


def readelf(module: Path, *options: str) -> str:
    """What readelf says, which reads every processor's files."""
    return subprocess.run(["readelf", "--wide", *options, module], capture_output=True, text=True, check=True).stdout


def test_the_module_needs_no_newer_glibc_than_2_17(built: tuple[str, Path]) -> None:
    """And is for the processor that its name says."""
    processor, module = built
    asked = {tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_([0-9.]+)", readelf(module, "-V"))}
    assert asked
    assert max(asked) <= (2, 17)
    assert {"x86_64": "X86-64", "aarch64": "AArch64"}[processor] in readelf(module, "-h")


def test_the_module_exports_pkcs11_and_nothing_else(built: tuple[str, Path]) -> None:
    """On both processors."""
    lines = [line.split() for line in readelf(built[1], "--dyn-syms").splitlines()]
    names = {words[7] for words in lines if len(words) == 8 and words[4] in {"GLOBAL", "WEAK"} and words[6] != "UND"}
    assert "C_GetFunctionList" in names
    assert {name for name in names if not name.startswith("C_")} == set()


def test_the_archive_holds_the_module(dist: Path, built: tuple[str, Path], tmp_path: Path) -> None:
    """With licence and a word on how to use it, and nobody's name."""
    name = f"privyseal-pkcs11-{VERSION}-linux-{built[0]}"
    subprocess.run(["tar", "-xzf", dist / f"{name}.tar.gz", "-C", tmp_path], check=True)
    with tarfile.open(dist / f"{name}.tar.gz") as archive:
        assert {member.uid for member in archive} == {0}
    assert {path.name for path in (tmp_path / name).iterdir()} == {"privyseal-pkcs11.so", "LICENSE", "README"}
    assert filecmp.cmp(tmp_path / name / "privyseal-pkcs11.so", built[1], shallow=False)


def test_the_debian_package_holds_the_module_and_its_papers(
    dist: Path, built: tuple[str, Path], tmp_path: Path
) -> None:
    """Nothing of it is read by OpenSSL or p11-kit, and no script runs."""
    package = dist / f"privyseal-pkcs11_{VERSION}_{PROCESSORS[built[0]]}.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tmp_path / "deb"], check=True)
    files = {str(path.relative_to(tmp_path / "deb")) for path in (tmp_path / "deb").rglob("*") if path.is_file()}
    module = f"usr/lib/{built[0]}-linux-gnu/pkcs11/privyseal-pkcs11.so"
    papers = {f"usr/share/doc/privyseal-pkcs11/{name}" for name in ("README", "copyright")}
    assert files == {"DEBIAN/control", module, *papers}
    assert filecmp.cmp(tmp_path / "deb" / module, built[1], shallow=False)


def test_the_wheel_is_for_every_python_on_that_processor(dist: Path, built: tuple[str, Path]) -> None:
    """One file for manylinux_2_17."""
    (wheel,) = dist.glob(f"privyseal_pkcs11-{VERSION}-*{built[0]}.whl")
    tag = f"py3-none-manylinux_2_17_{built[0]}.manylinux2014_{built[0]}"
    assert wheel.name == f"privyseal_pkcs11-{VERSION}-{tag}.whl"


def test_both_wheels_in_a_fresh_environment(dist: Path, module: Path, tmp_path: Path) -> None:
    """`privyseal pkcs11 path` finds the module of the installed wheel, and so does `python -m privyseal_pkcs11`."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    wheels = [*dist.glob(f"privyseal-{VERSION}-*.whl"), *dist.glob(f"privyseal_pkcs11-{VERSION}-*{MACHINE}.whl")]
    install = [environment / "bin" / "pip", "install", "--quiet", "--no-deps", "--no-index", *wheels]
    subprocess.run(install, check=True)
    own = {"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": _dependencies()}
    python = environment / "bin" / "python"
    for command in ([environment / "bin" / "privyseal", "pkcs11", "path"], [python, "-m", "privyseal_pkcs11"]):
        shown = subprocess.run(command, capture_output=True, text=True, check=True, env=own, cwd=tmp_path).stdout
        assert Path(shown.strip()).is_relative_to(environment)
        assert filecmp.cmp(shown.strip(), module, shallow=False)


def test_what_readelf_cannot_read_is_not_packed(tmp_path: Path) -> None:
    """A module that is cut off asks for no glibc at all, which is not the same as for one that is old enough."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "build").mkdir()
    shutil.copy(ROOT / "scripts" / "dist", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "build" / "privyseal-pkcs11.so").write_bytes(b"\x7fELF")
    done = subprocess.run([tmp_path / "scripts" / "dist"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "readelf finds no glibc version" in done.stderr
    assert list((tmp_path / "dist").iterdir()) == []


def test_an_old_module_is_not_packed_when_it_cannot_be_built_anew(tmp_path: Path) -> None:
    """`make dist` goes on without a processor, says so below the reason, and tries each, whatever this machine is."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    stubs = {"build-module": '[ "${1:-}" != aarch64 ] || { echo no linker >&2; exit 1; }', "dist": "ls build/*"}
    (tmp_path / "scripts").mkdir()
    for name in ("install-packages", "setup", *stubs):
        script = tmp_path / "scripts" / name
        script.write_text(f"#!/bin/sh\necho ran {name} $*\n{stubs.get(name, '')}\n")
        script.chmod(0o755)
    for processor in PROCESSORS:
        (tmp_path / "build" / processor).mkdir(parents=True)
        (tmp_path / "build" / processor / "privyseal-pkcs11.so").touch()
    done = subprocess.run(["make", "dist"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "ran build-module\nran build-module x86_64\nran build-module aarch64\nran dist" in done.stdout
    assert done.stderr == "no linker\nleft out aarch64: see above\n"
    assert not (tmp_path / "build" / "aarch64" / "privyseal-pkcs11.so").exists()
    assert (tmp_path / "build" / "x86_64" / "privyseal-pkcs11.so").exists()


def _dependencies() -> str:
    """Where the locked dependencies are: the fresh environment has no index to fetch them from."""
    return str(next((ROOT / ".venv" / "lib").glob("python*/site-packages")))


@pytest.fixture
def clean_root() -> Iterator[Path]:
    """A Debian 13 chroot, without the package before and after."""
    root = hosts.make("trixie")
    yield root
    subprocess.run(["chroot", root, "dpkg", "--purge", "privyseal-pkcs11"], check=True, capture_output=True)
    (root / "tmp" / "privyseal.deb").unlink(missing_ok=True)


@pytest.mark.skipif("PRIVYSEAL_INTEROP" not in os.environ, reason="needs a chroot: make interop")
def test_the_debian_package_installs(dist: Path, clean_root: Path, module: Path) -> None:
    """By dpkg in a chroot; pkcs11-tool loads the module, and openssl's configuration is as it was."""
    configuration = (clean_root / "etc/ssl/openssl.cnf").read_bytes()
    shutil.copy(dist / f"privyseal-pkcs11_{VERSION}_{PROCESSORS[MACHINE]}.deb", clean_root / "tmp" / "privyseal.deb")
    subprocess.run(["chroot", clean_root, "dpkg", "--install", "/tmp/privyseal.deb"], check=True, capture_output=True)
    installed = clean_root / f"usr/lib/{MACHINE}-linux-gnu/pkcs11/privyseal-pkcs11.so"
    assert filecmp.cmp(installed, module, shallow=False)
    command = ["chroot", clean_root, "pkcs11-tool", "--module", f"/{installed.relative_to(clean_root)}", "-I"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # 1: there are no slots yet
    assert "Manufacturer     Privyseal" in shown
    assert (clean_root / "etc/ssl/openssl.cnf").read_bytes() == configuration
