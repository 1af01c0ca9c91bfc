"""Tokens for other people's programs: one on an appliance, and one of SoftHSM2 as the baseline, with the same keys.

Always true: a test that is given a token cannot tell which it is but by its name, so that both meet the same commands.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.appliance import PIN, Appliance
from support.processes import base_environment

SOFTHSM2 = Path("/usr/lib/softhsm/libsofthsm2.so")
KEYS = {"ec": "ec:P-256", "rsa": "rsa:2048"}
RIGHTS = ("key:read", "key:sign", "key:decrypt", "key:derive", "key:generate", "key:manage", "key:destroy")
"""What the programs' user may do, so that what fails is for want of something in the module."""
OPENSSL_CNF = """\
[req]
distinguished_name = subject
prompt = no
[subject]
CN = privyseal.test
[v3_ca]
basicConstraints = critical, CA:TRUE
keyUsage = keyCertSign, cRLSign, digitalSignature
subjectKeyIdentifier = hash
[v3_leaf]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
[v3_tsa]
basicConstraints = CA:FALSE
extendedKeyUsage = critical, timeStamping
[ca]
default_ca = authority
[authority]
dir = .
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
default_days = 30
default_crl_days = 30
policy = anything
unique_subject = no
x509_extensions = v3_leaf
[anything]
commonName = supplied
[tsa]
default_tsa = clock
[clock]
dir = .
serial = $dir/tsa-serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


@dataclass
class Token:
    """A token with the keys `ec` (P-256) and `rsa` (2048 bits), and the environment that programs find it with."""

    name: str
    module: Path
    label: str
    directory: Path
    variables: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write what the programs read: the PIN, data to sign and a configuration without an engine."""
        self.write("pin", PIN)
        self.write("mydata", "The file to be signed.\n")
        self.write("other", "The file to be sighed.\n")
        self.write("openssl.cnf", OPENSSL_CNF)

    @property
    def environment(self) -> dict[str, str]:
        """What a shell has that uses this token."""
        own = {
            "HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory / ".config"),
            "OPENSSL_CONF": str(self.directory / "openssl.cnf"),
            "PKCS11_MODULE_PATH": str(self.module),
        }
        return {**base_environment(), **own, **self.variables}

    def write(self, name: str, content: str) -> Path:
        """Make a file in the token's directory."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def uri(self, key: str, kind: str = "private", *, pin: bool = True) -> str:
        """The RFC 7512 URI of a key; the PIN is read from a file."""
        source = f"?pin-source=file:{self.directory / 'pin'}" if pin else ""
        return f"pkcs11:token={self.label};object={key};type={kind}{source}"

    def run(
        self, *arguments: str | Path, input: str = "", status: int | None = 0, seconds: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program beside the token; fail the test with its output unless it ends with that status, if any."""
        done = subprocess.run(
            arguments,
            input=input.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            cwd=self.directory,
            env={**self.environment, **environment},
            start_new_session=True,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert status in {None, done.returncode}, f"{arguments}: {done.returncode}\n{out}{err}"
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def tool(self, *arguments: str | Path, status: int | None = 0) -> str:
        """Run pkcs11-tool on this token; return what it printed."""
        done = self.run("pkcs11-tool", "--module", self.module, "--token-label", self.label, *arguments, status=status)
        return done.stdout + done.stderr

    def logged_in(self, *arguments: str | Path, status: int | None = 0) -> str:
        """Run pkcs11-tool after a login."""
        return self.tool("--login", "--pin", PIN, *arguments, status=status)

    def engine(self, command: str, key: str, key_option: str, *arguments: str | Path, form: str = "-keyform") -> str:
        """Run an openssl command with a key of this token through the engine."""
        flags = ["-engine", "pkcs11", form, "engine", key_option, self.uri(key)]
        done = self.run("openssl", *command.split(), *flags, *arguments)
        return done.stdout + done.stderr

    def plain_openssl(self, *arguments: str | Path, status: int | None = 0) -> str:
        """Run openssl with the system's configuration and without a module: the judge."""
        done = self.run("openssl", *arguments, status=status, OPENSSL_CONF="/etc/ssl/openssl.cnf")
        return done.stdout + done.stderr

    def public_key(self, key: str) -> Path:
        """The public half in a file, as the token shows it."""
        path = self.directory / f"{key}.pub.pem"
        if not path.exists():
            der = self.directory / f"{key}.pub.der"
            self.tool("--read-object", "--type", "pubkey", "--id", self.ids[key], "-o", der)
            self.plain_openssl("pkey", "-pubin", "-inform", "DER", "-in", der, "-out", path)
        return path

    def assert_verifies(self, key: str, signature: str | Path, *options: str) -> None:
        """Plain openssl accepts the signature over `mydata` and refuses it over `other`."""
        verify: Sequence[str | Path] = ["-verify", self.public_key(key), "-signature", signature, *options]
        assert "Verified OK" in self.plain_openssl("dgst", "-sha256", *verify, "mydata")
        assert "failure" in self.plain_openssl("dgst", "-sha256", *verify, "other", status=1)

    def certificate(self, key: str) -> Path:
        """A self-signed certificate of a key, made through the engine once."""
        path = self.directory / f"{key}.cert.pem"
        if not path.exists():
            wanted = ["-x509", "-days", "30", "-extensions", "v3_ca", "-subj", f"/CN={key} of {self.name}"]
            self.engine("req -new", key, "-key", *wanted, "-out", path)
        return path

    def store_certificate(self, key: str) -> None:
        """Put a key's certificate on the token, beside the key: programs of Java and NSS find keys by it."""
        der = self.directory / f"{key}.cert.der"
        if not der.exists():
            self.plain_openssl("x509", "-in", self.certificate(key), "-outform", "DER", "-out", der)
            named = ["--id", self.ids[key], "--label", key]
            try:
                self.logged_in("--write-object", der, "--type", "cert", *named)
            except AssertionError:
                der.unlink()
                raise


def on_appliance(directory: Path, appliance: Appliance, module: Path, *, user: str = "interop") -> Token:
    """A token on an appliance: a core of its own with the two keys and one user, who has `RIGHTS` in it."""
    core = appliance.api("POST", "/cores", {"name": f"{user}-core"}).json()
    appliance.add_user(user)
    appliance.add_rule(user, core=core["number"], operations=RIGHTS)
    variables = {"PRIVYSEAL_CONFIG": str(directory / "client.json")}
    token = Token("privyseal", module, core["token"]["label"], directory, variables)
    token.write("client.json", client_configuration(appliance, user, core["number"], appliance.ca_file))
    for label, key_type in KEYS.items():
        token.ids[label] = appliance.add_key(label, key_type, core=core["number"])["id"]
    return token


def client_configuration(appliance: Appliance, user: str, core: int, ca_file: str | os.PathLike[str]) -> str:
    """The module's JSON file."""
    shape = {"url": appliance.url, "user": user, "pass": appliance.passwords[user], "core": core}
    return json.dumps(shape | {"ca_file": str(ca_file), "timeout_ms": 30_000})


def of_softhsm2(directory: Path) -> Token:
    """A token of SoftHSM2 in this directory."""
    (directory / "tokens").mkdir()
    conf = directory / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    token = Token("softhsm2", SOFTHSM2, "baseline", directory, {"SOFTHSM2_CONF": str(conf)})
    token.run("softhsm2-util", "--init-token", "--free", "--label", token.label, "--so-pin", PIN, "--pin", PIN)
    for number, (label, kind) in enumerate([("ec", "EC:prime256v1"), ("rsa", "rsa:2048")]):
        token.ids[label] = f"7e0{number}"
        token.logged_in("--keypairgen", "--key-type", kind, "--label", label, "--id", token.ids[label])
    return token
