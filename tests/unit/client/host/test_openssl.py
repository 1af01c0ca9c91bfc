"""What OpenSSL is found, and which way is taken on each."""

import shutil
from pathlib import Path

import pytest

from privyseal.client.host import openssl
from privyseal.client.host.openssl import ENGINE, PROVIDER

TOLD = """\
{version} 1 Jan 2026 (Library: {version} 1 Jan 2026)
OPENSSLDIR: "/etc/some/ssl"
ENGINESDIR: "{engines}"
MODULESDIR: "{modules}"
"""


def program(folder: Path, version: str, *, engine: bool, provider: bool) -> dict[str, str]:
    """The environment of a host whose `openssl` says this of itself."""
    for name, there in (("engines", engine), ("modules", provider)):
        (folder / name).mkdir()
        if there:
            (folder / name / "pkcs11.so").touch()
    told = TOLD.format(version=version, engines=folder / "engines", modules=folder / "modules")
    (folder / "openssl").write_text(f"#!/bin/sh\ncat <<'END'\n{told}END\n")
    (folder / "openssl").chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("version", "there", "way", "package"),
    [
        ("1.1.1", "engine", ENGINE, "libengine-pkcs11-openssl"),
        ("1.1.1", "provider", None, "libengine-pkcs11-openssl"),  # a folder of a newer OpenSSL
        ("3.0.19", "engine", ENGINE, "libengine-pkcs11-openssl"),
        ("3.0.19", "provider", PROVIDER, "libengine-pkcs11-openssl"),
        ("3.0.19", "engine and provider", ENGINE, "libengine-pkcs11-openssl"),
        ("3.5.7", "engine and provider", PROVIDER, "pkcs11-provider"),
        ("3.5.7", "engine", ENGINE, "pkcs11-provider"),
        ("3.5.7", "", None, "pkcs11-provider"),
        ("4.0.3", "engine and provider", PROVIDER, "pkcs11-provider"),
        ("4.0.3", "engine", None, "pkcs11-provider"),  # it has no engines any more
    ],
)
def test_the_way(version: str, there: str, way: str | None, package: str, tmp_path: Path) -> None:
    found = openssl.find(
        program(tmp_path, f"OpenSSL {version}", engine="engine" in there, provider="provider" in there)
    )
    assert found is not None
    assert (found.version, found.way, found.package) == (version, way, package)
    assert found.configuration == Path("/etc/some/ssl/openssl.cnf")


def test_another_openssl_or_none(tmp_path: Path) -> None:
    assert openssl.find({"PATH": str(tmp_path)}) is None
    assert openssl.find(program(tmp_path, "LibreSSL 3.9.0", engine=True, provider=False)) is None


def test_the_environment_moves_the_folders(tmp_path: Path) -> None:
    """As it does for OpenSSL itself."""
    environment = program(tmp_path, "OpenSSL 3.0.19", engine=True, provider=False)
    (tmp_path / "none").mkdir()
    moved = openssl.find(environment | {"OPENSSL_ENGINES": str(tmp_path / "none")})
    assert moved is not None
    assert moved.way is None


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_the_one_that_is_here() -> None:
    found = openssl.find()
    assert found is not None
    assert found.configuration.is_file()


def test_programs_that_do_not_end_or_start() -> None:
    assert openssl.run(["sleep", "9"], {"PATH": "/usr/bin:/bin"}, timeout=0.1).returncode == 124
    assert openssl.run(["/nonexistent"], {}).returncode == 127
