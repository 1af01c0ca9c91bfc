"""The systemd unit: systemd finds nothing wrong with it, and what it forbids is not needed."""

import ctypes
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.appliance import PIN, Appliance
from support.processes import BIN, ROOT, base_environment

UNIT = ROOT / "packaging" / "privyseal.service"
MOST_EXPOSED = 1.5
"""Of 10; systemd calls up to 2 safe. What is left: network, and system calls that the keeper needs to harden itself."""

_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # prctl(2); what MemoryDenyWriteExecute= stands for on kernels since 6.3


def test_systemd_reads_it_without_a_complaint(tmp_path: Path) -> None:
    """With the program where it is here; an unknown or misspelt setting is a complaint."""
    unit = tmp_path / "privyseal.service"
    text = UNIT.read_text().replace("/opt/privyseal/bin", str(BIN))
    unit.write_text(text.replace("/bin/kill", "/bin/true"))  # which the smallest Debian has not
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_little_exposed() -> None:
    """By systemd's own measure; every line with a cross is one that we know."""
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED, done.stdout


def test_options_of_the_unit_are_options(tmp_path: Path) -> None:
    """Its command line, and the settings file that comes with it, are what `serve` takes."""
    (line,) = re.findall(r"^ExecStart=\S+ serve (.*)$", UNIT.read_text(), re.MULTILINE)
    help_ = subprocess.run([BIN / "privyseal", "serve", "--help"], capture_output=True, text=True, check=True).stdout
    for option in re.findall(r"--[a-z-]+", line):
        assert option in help_
    config = ROOT / "packaging" / "serve.toml"
    named = re.findall(r"^#? ?([a-z-]+) = ", config.read_text(), re.MULTILINE)
    assert {"listen", "workers", "database-file"} <= set(named)
    assert all(f"--{name}" in help_ for name in named)
    command = [BIN / "privyseal", "serve", "--config", config, "--data", tmp_path, "--key-file", tmp_path / "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "--key-file takes" in done.stderr  # everything before that was read


def test_no_memory_is_writable_and_executable(new_appliance: Callable[..., Appliance], tmp_path: Path) -> None:
    """As MemoryDenyWriteExecute= has it: supervisor, keeper and workers start, make keys and sign."""
    libc = ctypes.CDLL(None)
    child = os.fork()  # tried in a child, because it cannot be taken back
    if child == 0:
        os._exit(0 if libc.prctl(_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0) == 0 else 1)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        pytest.skip("this kernel has no PR_SET_MDWE")
    program = tmp_path / "confined"
    program.write_text(
        f"#!{BIN / 'python'}\nimport ctypes, os, sys\n"
        f"assert ctypes.CDLL(None).prctl({_SET_MDWE}, {_REFUSE_EXEC_GAIN}, 0, 0, 0) == 0\n"
        f"os.execv({str(BIN / 'privyseal')!r}, ['privyseal', *sys.argv[1:]])\n"
    )
    program.chmod(0o755)
    appliance = new_appliance("--workers", "1", program=program)
    for key_type in ("ec:P-256", "rsa:2048", "ed25519"):
        appliance.add_key(key_type, key_type)
    appliance.add_rule(appliance.add_user("alice"))
    for key_type in ("ec:P-256", "rsa:2048", "ed25519"):
        appliance.api("POST", f"/cores/1/keys/{key_type}/sign", {"data": "eA==", "pin": PIN}, user="alice")
    assert appliance.api("GET", "/info").json()["state"] == "operational"


def test_the_key_is_a_credential_of_this_machine(new_appliance: Callable[..., Appliance], tmp_path: Path) -> None:
    """Encrypted as the guide says and decrypted by systemd's own program, read-only where the unit finds it.

    The appliance provisions itself with it and starts again. Under another name or on another machine it does not open.
    """
    environment = base_environment() | {"SYSTEMD_CREDENTIAL_SECRET": str(tmp_path / "machine")}
    (name,) = re.findall(r"^LoadCredentialEncrypted=([^:]+):", UNIT.read_text(), re.MULTILINE)
    (option,) = re.findall(r"--key-file %d/(\S+)", UNIT.read_text())
    assert name == option
    secret, sealed = tmp_path / "plain", tmp_path / "unlock.key.cred"
    secret.write_bytes(os.urandom(32))

    def creds(*words: str | Path, **other: str) -> subprocess.CompletedProcess[bytes]:
        command = ["systemd-creds", *words]
        return subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment | other)

    encrypted = creds("encrypt", "--with-key=host", f"--name={name}", secret, sealed)
    assert encrypted.returncode == 0, encrypted.stderr
    assert secret.read_bytes() not in sealed.read_bytes()
    assert creds("decrypt", "--name=other.key", sealed, "-").returncode != 0
    elsewhere = str(tmp_path / "another-machine")
    assert creds("decrypt", f"--name={name}", sealed, "-", SYSTEMD_CREDENTIAL_SECRET=elsewhere).returncode != 0
    folder = tmp_path / "credentials"
    folder.mkdir()
    key_file = folder / name
    key_file.write_bytes(creds("decrypt", f"--name={name}", sealed, "-").stdout)
    assert key_file.read_bytes() == secret.read_bytes()
    key_file.chmod(0o400)
    folder.chmod(0o500)
    appliance = new_appliance("--workers", "1", "--key-file", str(key_file))
    appliance.add_key("sealed")
    appliance.stop()
    appliance.start()
    assert appliance.api("GET", "/info").json()["state"] == "operational"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o400
    assert not (appliance.data / "unlock.key").exists()
