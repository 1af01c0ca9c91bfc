"""The Debian releases that the module has to run on, as chroots that `scripts/make-host` makes.

Always true: what runs here is the release's own openssl with the file that this machine uses too, byte for byte; the
only things put into a chroot are that file and what a user would write.
"""

import base64
import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.appliance import PIN
from support.processes import ROOT, Process
from support.tokens import OPENSSL_CNF, Token

NAMES = {
    "bullseye": "Debian 11",
    "debian12": "Debian 12",
    "trixie": "Debian 13",
    "forky": "Debian testing",
    "openssl4": "Debian testing, OpenSSL of experimental",
    "aarch64": "Debian 12, aarch64",
}
PROVIDER_CNF = """\
.include /etc/ssl/openssl.cnf

[default]
openssl_conf = with_pkcs11

[with_pkcs11]
providers = with_pkcs11_providers

[with_pkcs11_providers]
default = with_default
pkcs11 = with_module

[with_default]
activate = 1

[with_module]
module = {provider}
pkcs11-module-path = {module}
activate = 1
"""


def root_of(name: str) -> Path:
    """Where a host's chroot is."""
    return ROOT / "build" / "hosts" / name


def make(name: str) -> Path:
    """Make a host unless it is there; skip the test where this machine or its mirror has no such release."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "hosts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest-xdist, one download
        made = subprocess.run([ROOT / "scripts" / "make-host", name], capture_output=True, text=True, check=False)
    if made.returncode == 3:
        pytest.skip(made.stderr.strip())
    assert made.returncode == 0, made.stderr
    return root_of(name)


@dataclass
class Guest:
    """A directory in a chroot with the module, its configuration and an openssl.cnf, as a user would have them."""

    root: Path
    road: str
    token_label: str
    directory: Path

    def path(self, name: str) -> Path:
        """A file of the directory, seen from this machine."""
        return self.directory / name

    def inside(self, name: str) -> str:
        """The same file, seen from the chroot."""
        return f"/{self.directory.relative_to(self.root)}/{name}"

    def uri(self, key: str, kind: str = "private", *, pin: str = "pin") -> str:
        """The URI of a key, with the PIN from a file."""
        return f"pkcs11:token={self.token_label};object={key};type={kind}?pin-source=file:{self.inside(pin)}"

    def command(self, arguments: Sequence[str]) -> list[str]:
        """How a program is started in the chroot, with an environment as bare as a new user's."""
        own = {
            "HOME": self.inside(""),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "GNUTLS_PIN": PIN,
            "PRIVYSEAL_CONFIG": self.inside("client.json"),
            "PKCS11_MODULE_PATH": self.inside("privyseal-pkcs11.so"),
        }
        if self.road == "provider":
            own["OPENSSL_CONF"] = self.inside("provider.cnf")
        words = [f"{name}={value}" for name, value in own.items()]
        enter = ["chroot", str(self.root), "env", "-i", "-C", self.inside("")]
        return [*enter, *words, *arguments]

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run a program of the chroot; fail the test with its output unless it ends with that status."""
        done = subprocess.run(
            self.command(arguments), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
        )
        output = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{output}"
        return output

    def with_key(self, option: str, key: str, form: str = "-keyform", *, pin: str = "pin") -> list[str]:
        """The words that give an openssl command a key: through the engine, or by its URI alone."""
        engine = ["-engine", "pkcs11", form, "engine"] if self.road == "engine" else []
        return [*engine, option, self.uri(key, pin=pin)]

    def openssl(self, *arguments: str, status: int = 0) -> str:
        """Run the host's openssl."""
        return self.run("openssl", *arguments, status=status)

    def uri_file(self, key: str) -> str:
        """A PEM file that holds nothing but the URI, which pkcs11-provider reads where openssl wants a file."""
        kind, uri = b"PKCS#11 Provider URI v1.0", self.uri(key).encode()
        der = b"\x1a" + bytes([len(kind)]) + kind + b"\x0c\x81" + bytes([len(uri)]) + uri
        text = base64.encodebytes(b"\x30\x81" + bytes([len(der)]) + der).decode()
        name = "PKCS#11 PROVIDER URI"
        self.path(f"{key}.uri.pem").write_text(f"-----BEGIN {name}-----\n{text}-----END {name}-----\n")
        return f"{key}.uri.pem"

    def serve(self, *arguments: str) -> Process:
        """Start the host's openssl as a server."""
        command, log = self.command(["openssl", *arguments]), self.path("server.log")
        log.unlink(missing_ok=True)
        return Process(command, environment={"PATH": "/usr/sbin:/usr/bin"}, log=log)

    def remove(self) -> None:
        """Leave the chroot as it was made."""
        shutil.rmtree(self.directory)


def write_guest(root: Path, road: str, token: Token) -> Guest:
    """Make a guest's directory in a chroot, for the token that this machine uses."""
    directory = Path(tempfile.mkdtemp(prefix=f"{road}-", dir=root / "srv"))
    guest = Guest(root, road, token.label, directory)
    settings = json.loads((token.directory / "client.json").read_text())
    shutil.copy(token.module, guest.path("privyseal-pkcs11.so"))
    shutil.copy(settings["ca_file"], guest.path("ca.pem"))
    texts = {
        "client.json": json.dumps(settings | {"ca_file": "ca.pem"}),
        "pin": PIN,
        "wrong-pin": "87654321",
        "mydata": "The file to be signed.\n",
        "commands.cnf": OPENSSL_CNF,
    }
    for provider in root.glob("usr/lib/*/ossl-modules/pkcs11.so"):
        inside = f"/{provider.relative_to(root)}"
        texts["provider.cnf"] = PROVIDER_CNF.format(provider=inside, module=guest.inside("privyseal-pkcs11.so"))
    for name, text in texts.items():
        guest.path(name).touch(mode=0o600)
        guest.path(name).write_text(text)
    return guest
