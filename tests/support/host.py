"""A host: a directory that holds what the walk-through writes on a machine that signs, and nothing of the appliance.

Always true: programs that run here find no configuration but the one in this directory.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.appliance import PIN, Appliance
from support.processes import base_environment

OPENSSL_CNF = """\
openssl_conf = openssl_init

[openssl_init]
engines = engine_section

[engine_section]
pkcs11 = pkcs11_section

[pkcs11_section]
engine_id = pkcs11
dynamic_path = {engines}/pkcs11.so
MODULE_PATH = {module}
init = 0
"""


def engines_directory() -> str:
    """Where this machine's OpenSSL looks for engines."""
    answer = subprocess.run(["openssl", "version", "-e"], capture_output=True, text=True, check=True).stdout
    return answer.split('"')[1]


class Host:
    """Configuration files for one user of one appliance, and the environment that points programs at them."""

    def __init__(self, directory: Path, appliance: Appliance, module: Path, *, user: str, **settings: Any) -> None:
        self.directory = directory
        self.module = module
        self.user = user
        self.config = directory / ".config" / "privyseal" / "client.json"
        self.openssl_cnf = directory / "openssl.cnf"
        self.log = directory / "pkcs11.log"
        self.pin_file = directory / "pin"
        self._write_configuration(appliance, user, settings)
        self._write_openssl_cnf()
        self._write_p11_kit_module()
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(PIN)

    def _write_configuration(self, appliance: Appliance, user: str, settings: Mapping[str, Any]) -> None:
        self.config.parent.mkdir(parents=True)
        self.config.touch(mode=0o600)
        shape = {
            "url": appliance.url,
            "user": user,
            "pass": appliance.passwords[user],
            "core": 1,
            "keygen_pin": PIN,
            "log_level": 10,
            "log_output": str(self.log),
            "ca_file": str(appliance.ca_file),
        }
        self.config.write_text(json.dumps(shape | settings, indent=2))

    def _write_openssl_cnf(self) -> None:
        self.openssl_cnf.write_text(OPENSSL_CNF.format(engines=engines_directory(), module=self.module))

    def _write_p11_kit_module(self) -> None:
        """Tell p11-kit of the module: in the user's folder, but for root, whose folder p11-kit does not read."""
        as_root = os.geteuid() == 0
        modules = Path("/etc/pkcs11/modules") if as_root else self.directory / ".config" / "pkcs11" / "modules"
        modules.mkdir(parents=True, exist_ok=True)
        self.p11_kit_module = modules / f"privyseal-test-{os.getpid()}.module"
        self.p11_kit_module.write_text(f"module: {self.module}\n")

    def remove(self) -> None:
        """Take back what stands outside the directory."""
        self.p11_kit_module.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell on this host has; OpenSSL reads our file and not the system's."""
        own = {
            "HOME": self.directory,
            "XDG_CONFIG_HOME": self.directory / ".config",
            "PRIVYSEAL_CONFIG": self.config,
            "OPENSSL_CONF": self.openssl_cnf,
        }
        return {**base_environment(), **{name: str(value) for name, value in own.items()}}

    def run(
        self, *arguments: str | Path, input: str | bytes | None = None, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program here without a terminal; with `check`, fail the test with its output unless it exits with 0."""
        given = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            arguments,
            input=given if given is not None else b"",
            capture_output=True,
            timeout=120,
            check=False,
            cwd=self.directory,
            env={**self.environment, **environment},
            start_new_session=True,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert not check or done.returncode == 0, f"{arguments}: {done.returncode}\n{out}{err}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def plain_openssl(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run openssl as anybody else has it: the system's configuration, no engine, nothing of ours."""
        return self.run("openssl", *arguments, check=check, OPENSSL_CONF="/etc/ssl/openssl.cnf")
