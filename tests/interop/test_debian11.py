"""The same module on Debian 11: OpenSSL 1.1.1 with its own engine, unpacked beside this machine's packages.

Always true: the file that signs here is the one that signs under OpenSSL 3, and plain openssl 3 judges the signature.
"""

import re
import subprocess
from pathlib import Path

import pytest

from support import debian
from support.appliance import PIN, Appliance
from support.host import OPENSSL_CNF, Host


@pytest.fixture(scope="session")
def debian11() -> Path:
    """Where Debian 11's openssl is unpacked."""
    return debian.debian11()


@pytest.fixture
def environment(debian11: Path, host: Host) -> dict[str, str]:
    """What makes a program of Debian 11 find its own libraries and the walk-through's openssl.cnf for its engine."""
    (engine,) = debian11.glob("usr/lib/*/engines-1.1/pkcs11.so")
    configuration = host.directory / "openssl-1.1.1.cnf"
    configuration.write_text(OPENSSL_CNF.format(engines=engine.parent, module=host.module))
    return {"LD_LIBRARY_PATH": str(engine.parents[1]), "OPENSSL_CONF": str(configuration)}


def test_openssl_1_1_1_signs(debian11: Path, environment: dict[str, str], host: Host, appliance: Appliance) -> None:
    """The walk-through's command on the older OpenSSL makes a signature that the newer one verifies."""
    openssl = debian11 / "usr" / "bin" / "openssl"
    assert host.run(openssl, "version", **environment).stdout.startswith("OpenSSL 1.1.1")
    (host.directory / "release.pem").write_text(
        appliance.api("GET", "/cores/1/keys/release/public.pem", user=host.user).text
    )
    serial = appliance.api("GET", "/cores/1").json()["token"]["serial"]
    host.run(
        *[openssl, "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine"],
        *["-sign", f"pkcs11:serial={serial};object=release?pin-value={PIN}", "-out", "debian11.sig", "mydata"],
        **environment,
    )
    judged = host.plain_openssl("dgst", "-sha256", "-verify", "release.pem", "-signature", "debian11.sig", "mydata")
    assert judged.stdout == "Verified OK\n"


def test_openssl_1_1_1_refuses_a_wrong_pin_and_lives(
    debian11: Path, environment: dict[str, str], host: Host, appliance: Appliance
) -> None:
    """Its engine closes sessions from an exit handler after a refusal; the exit status is 1, not that of a crash."""
    serial = appliance.api("GET", "/cores/1").json()["token"]["serial"]
    refused = host.run(
        *[debian11 / "usr" / "bin" / "openssl", "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine"],
        *["-sign", f"pkcs11:serial={serial};object=release?pin-value=87654321", "-out", "refused.sig", "mydata"],
        check=False,
        **environment,
    )
    assert refused.returncode == 1, refused.stderr


def test_the_module_runs_on_every_glibc_since_2_17(module: Path) -> None:
    """Debian 11 has 2.31; the newest symbol version that the module asks for decides, and no other library does."""
    dynamic = subprocess.run(["objdump", "-T", "-p", module], capture_output=True, text=True, check=True).stdout
    asked = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([0-9.]+)", dynamic)}
    assert asked
    assert max(asked) <= (2, 17)
    needed = set(re.findall(r"NEEDED +(\S+)", dynamic))
    assert needed <= {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "ld-linux-x86-64.so.2", "librt.so.1"}


def test_the_module_exports_pkcs11_and_nothing_else(module: Path) -> None:
    """A symbol more could shadow one of the program that loads it."""
    shown = subprocess.run(["nm", "-D", "--defined-only", module], capture_output=True, text=True, check=True).stdout
    names = [line.split()[-1] for line in shown.splitlines()]
    assert "C_GetFunctionList" in names
    assert [name for name in names if not name.startswith("C_")] == []
