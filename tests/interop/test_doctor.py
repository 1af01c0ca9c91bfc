"""Each link between a host and a signature, broken alone: `privyseal doctor` names it, what it saw and what to type.

Always true: the host was set up by `privyseal connect`, the appliance is a real one, and a test breaks one thing and
mends it again, after which the doctor finds nothing.
"""

import contextlib
import datetime as dt
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.appliance import PIN, Appliance
from support.host import Host
from support.processes import BIN, base_environment, free_port

OTHER_PIN = "87654321"
LINKS = 24


@dataclass(frozen=True)
class Patient:
    """A host as `connect` set it up, below one folder."""

    folder: Path
    appliance: Appliance

    @property
    def configuration(self) -> Path:
        """Its client configuration."""
        return self.folder / "etc/privyseal/client.json"

    @property
    def openssl_cnf(self) -> Path:
        """Its OpenSSL configuration."""
        return self.folder / "etc/privyseal/openssl.cnf"

    @property
    def module(self) -> Path:
        """Its copy of the module."""
        return self.folder / "lib/privyseal/privyseal-pkcs11.so"

    @property
    def p11_kit(self) -> Path:
        """Its module file for p11-kit."""
        return self.folder / "etc/pkcs11/modules/privyseal.module"

    def doctor(self, *words: str, pin: str | None = PIN, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `privyseal doctor` on it; the PIN comes by a pipe."""
        environment = base_environment() | {"HOME": str(self.folder), "PRIVYSEAL_CONFIG": str(self.configuration)}
        return subprocess.run(
            [BIN / "privyseal", "doctor", *words, *(["--pin-file", "-"] if pin else [])],
            env=environment | {"RES_OPTIONS": "timeout:1 attempts:1"} | variables,
            input=pin or "",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def broken(self, *words: str, status: int = 1, **options: Any) -> tuple[str, str, str]:
        """The link that the doctor finds broken, what it saw and what to type; all behind it are skipped."""
        done = self.doctor("--json", *words, **options)
        assert done.returncode == status, done.stdout + done.stderr
        links = json.loads(done.stdout)["links"]
        assert len(links) == LINKS
        number, link = next((number, each) for number, each in enumerate(links) if each["state"] == "failed")
        assert {each["state"] for each in links[number + 1 :]} <= {"skipped"}
        return link["link"], link["saw"], link["type"]

    @contextlib.contextmanager
    def settings(self, **settings: object) -> Iterator[None]:
        """Other settings in its client configuration, for a while; None takes one out."""
        document = json.loads(self.configuration.read_text()) | settings
        text = json.dumps({name: value for name, value in document.items() if value is not None})
        with replaced(self.configuration, text.encode()):
            yield


@contextlib.contextmanager
def replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """Another content of a file, or no file, for a while."""
    aside = path.with_name(f"{path.name}.aside-{time.monotonic_ns()}")
    path.rename(aside)
    try:
        if content is not None:
            shutil.copy2(aside, path)
            path.write_bytes(content)
        yield
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)


@pytest.fixture(scope="module")
def appliance(new_appliance: Callable[..., Appliance]) -> Appliance:
    """With alice, who may sign with `release`, bob, who may nothing, and keys that refuse in their own ways."""
    made = new_appliance()
    for user in ("alice", "bob"):
        made.add_user(user)
    made.add_key("release")
    made.add_key("release-other", pin=OTHER_PIN)
    made.add_key("release-disabled")
    made.api("POST", "/cores", {"name": "other"})
    made.add_key("edwards", "ed25519", core=2)
    made.add_key("beside", core=2)
    made.add_rule("alice", "*", core=2)
    made.add_key("readable")
    made.api("POST", "/cores/1/keys/release-disabled/disable")
    made.add_rule("alice", "release*")
    made.add_rule("alice", "readable", operations=["key:read"])
    return made


def connect(folder: Path, appliance: Appliance, user: str) -> Patient:
    """A host that `privyseal connect` sets up below a folder."""
    password = appliance.secret_file(f"{user}.password", appliance.passwords[user])
    words = ["--user", user, "--password-file", password, "--yes", "--prefix", folder / "host", "--quiet"]
    subprocess.run([BIN / "privyseal", "connect", appliance.url, *words], env=base_environment(), check=True)
    return Patient(folder / "host", appliance)


@pytest.fixture(scope="module")
def patient(appliance: Appliance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    """Alice's host: nothing is wrong with it, neither before these tests nor after them."""
    made = connect(tmp_path_factory.mktemp("doctor"), appliance, "alice")
    assert made.doctor().returncode == 0
    yield made
    done = made.doctor()
    assert done.returncode == 0, done.stdout


def test_a_healthy_host(patient: Patient) -> None:
    """Every link is looked at, the last says Verified OK, and the protections in force are a line."""
    done = patient.doctor("--key", "release")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", LINKS)
    assert all(line.startswith("ok ") for line in lines)
    assert lines[-1].endswith("Verified OK")
    assert "in force: no core dump" in done.stdout
    assert PIN not in done.stdout
    assert patient.appliance.passwords["alice"] not in done.stdout
    assert patient.doctor("--quiet").stdout == ""


def test_without_a_pin_nothing_is_signed(patient: Patient) -> None:
    """The links before the signature are looked at all the same, and the exit status is 0."""
    done = patient.doctor("--json", pin=None)
    assert done.returncode == 0
    states = {each["link"]: each["state"] for each in json.loads(done.stdout)["links"]}
    assert {name for name, state in states.items() if state == "skipped"} == {"PIN", "signature", "verification"}


def test_keys_with_which_openssl_does_not_sign(patient: Patient) -> None:
    """Ed25519 is no fault of the host's, and no hindrance for the other keys of the token."""
    with patient.settings(core=2):
        done = patient.doctor("--key", "edwards")
        assert done.returncode == 0
        assert "doctor signs with EC and RSA keys" in done.stdout
        assert "Verified OK" in patient.doctor("--key", "beside").stdout
    with patient.settings(core=2, slots="key"):
        assert "Verified OK" in patient.doctor("--key", "beside").stdout


def test_what_the_module_does_not_hear(patient: Patient) -> None:
    assert "the module does not hear PRIVYSEAL_URL" in patient.doctor(PRIVYSEAL_URL="https://elsewhere").stdout


def test_a_host_that_was_set_up_by_hand(new_host: Callable[..., Host], appliance: Appliance) -> None:
    """By the README's steps, with `pass` in its configuration and an openssl.cnf of its own."""
    host = new_host(appliance, user="alice")
    assert "pass_file" not in json.loads(host.config.read_text())
    done = host.run(BIN / "privyseal", "doctor", "--pin-file", "pin", PRIVYSEAL_PKCS11_MODULE=str(host.module))
    assert "Verified OK" in done.stdout


# -- The configuration -----------------------------------------------------------------------------------------------


def test_no_configuration(patient: Patient) -> None:
    with replaced(patient.configuration, None):
        link, saw, mend = patient.broken(PRIVYSEAL_CONFIG="")
        assert (link, mend) == ("configuration", "privyseal connect https://HOST:8443 --user NAME --password-file FILE")
        assert "/etc/privyseal/client.json" in saw
        assert "no such file" in patient.broken()[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{nonsense", "line 1, column 2: this is not JSON"),
        (b"{}", "names no appliance"),
        (b'{"url": "https://h", "user": "alice"}', "names no user, or no password"),
        (b'{"url": "https://h", "user": "alice", "pass_file": "none"}', "none: cannot be read"),
        (b'{"url": "https://h", "credential_file": "none"}', "none: cannot be read"),
    ],
)
def test_a_configuration_that_cannot_be_used(content: bytes, said: str, patient: Patient) -> None:
    with replaced(patient.configuration, content):
        link, saw, mend = patient.broken()
    assert link == "configuration"
    assert said in saw
    assert mend.startswith("privyseal connect ")


# -- The network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64])
def test_a_name_without_an_address(host: str, patient: Patient) -> None:
    with patient.settings(url=f"https://{host}:8443"):
        link, saw, mend = patient.broken()
    assert link == "name"
    assert f"{host} has no address" in saw
    assert "privyseal connect https://NAME-OR-ADDRESS:8443 --user alice" in mend


def test_a_wrong_port(patient: Patient) -> None:
    port = free_port()
    with patient.settings(url=f"https://127.0.0.1:{port}"):
        link, saw, mend = patient.broken()
    assert link == "TCP"
    assert f"127.0.0.1, port {port}: connection refused" in saw
    assert "systemctl start privyseal" in mend
    assert "privyseal connect URL --user alice" in mend


def test_a_firewall_that_drops(patient: Patient) -> None:
    """A queue of connections that is full drops further ones as a firewall does: nothing comes back."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = listener.getsockname()[1]
        for _ in range(4):
            queued = stack.enter_context(socket.socket())
            queued.setblocking(False)  # noqa: FBT003  the socket's own method
            queued.connect_ex(("127.0.0.1", port))
        stack.enter_context(patient.settings(url=f"https://127.0.0.1:{port}", timeout_ms=500))
        link, saw, mend = patient.broken()
    assert link == "TCP"
    assert "no answer within 0.5 s, so a firewall drops it" in saw
    assert f"tcp dport {port} accept" in mend


def test_a_network_without_a_way(patient: Patient) -> None:
    """An address of nobody, from a machine whose only interface is down."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no network namespaces for us")
    environment = base_environment() | {"PRIVYSEAL_CONFIG": str(patient.configuration)}
    words = ["unshare", "--net", BIN / "privyseal", "doctor", "--quiet"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "failed   TCP" in done.stdout
    assert "network is unreachable" in done.stdout
    assert "ip route get 127.0.0.1" in done.stdout


def test_something_that_never_answers(patient: Patient) -> None:
    """It listens and never accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with patient.settings(url=url, timeout_ms=500):
            link, saw, mend = patient.broken()
    assert link == "TLS"
    assert "connected, and then no answer to TLS within 0.5 s" in saw
    assert "systemctl restart privyseal" in mend


@contextlib.contextmanager
def server(answer: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """Something else that listens, on the port that this yields; each connection is answered in a thread."""
    listener = socket.create_server((host, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_something_that_speaks_no_tls(patient: Patient) -> None:
    def answer(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"220 mail.example ESMTP\r\n")

    with server(answer) as port, patient.settings(url=f"https://127.0.0.1:{port}"):
        link, saw, mend = patient.broken()
    assert (link, mend) == ("TLS", f"privyseal connect URL --user alice --password-file FILE --prefix {patient.folder}")
    assert "does not speak TLS" in saw


@pytest.mark.parametrize(("days", "direction"), [(400, "400 days ahead of"), (-400, "400 days behind")])
def test_a_clock_that_is_off(
    days: int, direction: str, patient: Patient, shim: Callable[[str], Path], tmp_path: Path
) -> None:
    """It is named before the certificate, which then seems to be expired or from the future."""
    (tmp_path / "offset").write_text(str(days * 86400))
    shifted = {"LD_PRELOAD": str(shim("clock")), "CLOCK_OFFSET": str(tmp_path / "offset")}
    link, saw, mend = patient.broken(**shifted)
    assert link == "clock"
    assert f"this host's clock is {direction} the appliance's" in saw
    assert "timedatectl set-ntp true" in mend


@dataclass(frozen=True)
class Made:
    """A CA of a test's own with a server certificate under it."""

    ca: Path
    context: ssl.SSLContext


def certificates(folder: Path, *, ca_days: tuple[int, int], leaf_days: tuple[int, int]) -> Made:
    """For 127.0.0.1, valid from and until so many days from now."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = _certificate("A CA", "A CA", ca_key, ca_key, ca_days, ca=True)
    leaf = _certificate("A server", "A CA", key, ca_key, leaf_days, ca=False)
    (folder / "ca.pem").write_bytes(ca)
    (folder / "chain.pem").write_bytes(leaf + ca)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return Made(folder / "ca.pem", context)


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    days: tuple[int, int],
    *,
    ca: bool,
) -> bytes:
    now = dt.datetime.now(dt.UTC)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
    )
    builder = (
        x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not ca:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def speaking_tls(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    """A server with these certificates, which answers a question with the time."""

    def answer(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(4096)
            now = dt.datetime.now(dt.UTC)
            connection.sendall(f"HTTP/1.1 200 OK\r\nDate: {now:%a, %d %b %Y %H:%M:%S GMT}\r\n\r\n".encode())

    return answer


def test_a_wrong_certificate(patient: Patient, tmp_path: Path) -> None:
    """Somebody else's CA: both are named, and no password is sent to that server."""
    made = certificates(tmp_path, ca_days=(-1, 9), leaf_days=(-1, 9))
    with server(speaking_tls(made.context)) as port, patient.settings(url=f"https://127.0.0.1:{port}"):
        link, saw, mend = patient.broken()
        fingerprint = x509.load_pem_x509_certificate(made.ca.read_bytes()).fingerprint(hashes.SHA256()).hex()
        assert link == "certificate"
        assert "is not trusted" in saw
        assert f"presents the CA sha256:{fingerprint}" in saw
        assert "--fingerprint SHA256, if `privyseal serve` printed that one" in mend
        with patient.settings(ca_file=None, fingerprint="sha256:" + "0" * 64):
            assert patient.broken()[0] == "certificate"


@pytest.mark.parametrize(
    ("days", "said", "to_type"),
    [
        ({"ca_days": (-9, 9), "leaf_days": (-9, -1)}, "the certificate is for", "systemctl restart privyseal"),
        ({"ca_days": (-9, 9), "leaf_days": (1, 9)}, "the certificate is for", "systemctl restart privyseal"),
        ({"ca_days": (-9, -1), "leaf_days": (-9, 9)}, "the CA's certificate is for", "rm DIR/tls/ca.*"),
    ],
    ids=["expired", "of the future", "expired CA"],
)
def test_an_expired_certificate(
    days: dict[str, tuple[int, int]], said: str, to_type: str, patient: Patient, tmp_path: Path
) -> None:
    made = certificates(tmp_path, **days)
    with server(speaking_tls(made.context)) as port, contextlib.ExitStack() as stack:
        stack.enter_context(patient.settings(url=f"https://127.0.0.1:{port}", ca_file=str(made.ca)))
        link, saw, mend = patient.broken()
    assert link == "certificate's time"
    assert saw.startswith(said)
    assert to_type in mend


def test_a_certificate_for_other_names(patient: Patient) -> None:
    """The appliance itself, reached at an address that its certificate does not have."""

    def forward(connection: socket.socket) -> None:
        with connection, socket.create_connection(("127.0.0.1", patient.appliance.port)) as there:
            back = threading.Thread(target=_pump, args=(there, connection), daemon=True)
            back.start()
            _pump(connection, there)
            back.join()

    with server(forward, "127.0.0.2") as port, patient.settings(url=f"https://127.0.0.2:{port}"):
        link, saw, mend = patient.broken()
    assert link == "certificate's names"
    assert "localhost" in saw
    assert "and not for 127.0.0.2" in saw
    assert mend.startswith("privyseal connect https://")
    assert f":{port} --user alice" in mend


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


# -- The appliance ---------------------------------------------------------------------------------------------------


def test_a_locked_appliance(patient: Patient) -> None:
    patient.appliance.cli("lock")
    try:
        link, saw, mend = patient.broken(status=4)
    finally:
        patient.appliance.cli("unlock", "--key-file", patient.appliance.data / "unlock.key")
    assert (link, saw, mend) == ("state", "the appliance is locked", "privyseal unlock")


def test_an_empty_appliance(patient: Patient, new_appliance: Callable[..., Appliance]) -> None:
    empty = new_appliance("--no-provision")
    with patient.settings(url=empty.url, ca_file=str(empty.ca_file)):
        assert patient.broken(status=4) == ("state", "the appliance is empty", "privyseal provision")


def test_a_wrong_password(patient: Patient) -> None:
    password = json.loads(patient.configuration.read_text())["pass_file"]
    with replaced(Path(password), b"a wrong password of alice"):
        link, saw, mend = patient.broken(status=5)
    assert link == "login"
    assert f"the user name or the password is not right: alice, {password}" in saw
    assert f"privyseal connect {patient.appliance.url} --user alice --password-file FILE" in mend


def test_a_wrong_credential(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "credential").write_text("privyseal_none")
    with patient.settings(credential_file=str(tmp_path / "credential"), user=None, pass_file=None):
        link, saw, _ = patient.broken(status=5)
    assert link == "login"
    assert str(tmp_path / "credential") in saw


def test_no_core(patient: Patient) -> None:
    with patient.settings(core=7):
        link, saw, mend = patient.broken()
    assert (link, saw) == ("core", "there is no core 7; this user sees 1, 2")
    assert mend.endswith("--core N")


def test_no_rule(patient: Patient, appliance: Appliance, tmp_path: Path) -> None:
    """For any key, and for the one that is named; a key that may only be read, and one that nobody may use now."""
    bob = connect(tmp_path, appliance, "bob")
    link, saw, mend = bob.broken(status=5)
    assert link == "access rule"
    assert "user 'bob' has no access rule in core 1" in saw
    rule = "an administrator types: privyseal rule create --user bob --core 1 --operations key:sign --keys"
    assert mend == f"{rule} '*'"
    assert bob.broken("--key", "release", status=5)[2] == f"{rule} release"
    assert patient.broken("--key", "readable", status=5)[1].startswith("no access rule lets this user sign")
    link, saw, mend = patient.broken("--key", "release-disabled", status=5)
    assert (link, saw) == ("access rule", "key release-disabled is disabled")
    assert "privyseal key enable release-disabled --core 1" in mend
    with patient.settings(core=None):
        appliance.add_rule("bob", "readable", operations=["key:read"])
        assert "may sign with no key" in bob.broken(status=5)[1]


def test_a_wrong_pin(patient: Patient) -> None:
    link, saw, mend = patient.broken("--key", "release", status=5, pin="11111111")
    assert (link, mend) == ("PIN", "privyseal doctor --key release --pin-file FILE")
    assert "PIN" in saw
    assert "11111111" not in saw
    link, saw, _ = patient.broken("--key", "release", status=5, pin="1234567")
    assert link == "PIN"
    assert "8 to 128" in saw


# -- The module ------------------------------------------------------------------------------------------------------


def test_the_module_is_missing(patient: Patient) -> None:
    with replaced(patient.module, None):
        link, saw, mend = patient.broken()
    assert (link, saw) == ("module file", f"there is no {patient.module}")
    assert mend.startswith("privyseal connect ")


def test_a_module_for_another_processor(patient: Patient) -> None:
    """The same file with another number in its ELF header, and one that is no shared object."""
    content = bytearray(patient.module.read_bytes())
    other, name = (62, "x86_64") if content[18] == 183 else (183, "aarch64")
    content[18:20] = other.to_bytes(2, "little")
    with replaced(patient.module, bytes(content)):
        link, saw, mend = patient.broken()
    assert link == "module's processor"
    assert f"is for {name}, and this is {os.uname().machine}" in saw
    assert mend.startswith("privyseal connect ")
    with replaced(patient.module, b"<html>404</html> and more of the sort"):
        assert "is no shared object" in patient.broken()[1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("#include <stdlib.h>\n__attribute__((constructor)) static void die(void) { abort(); }", "it crashes: SIGABRT"),
        ("int nothing;", "it does not load: "),
        ("unsigned long C_GetFunctionList(void **list) { (void)list; return 5; }", "C_GetFunctionList answers 0x5"),
    ],
    ids=["crash", "no PKCS#11", "refusal"],
)
def test_a_module_that_does_not_load(source: str, said: str, patient: Patient, tmp_path: Path) -> None:
    """The doctor survives its crash, because another process loads it."""
    (tmp_path / "module.c").write_text(f"{source}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "module.so", tmp_path / "module.c"], check=True)
    with replaced(patient.module, (tmp_path / "module.so").read_bytes()):
        link, saw, mend = patient.broken()
    assert link == "module loads"
    assert said in saw
    assert mend.startswith("privyseal connect ")


# -- OpenSSL and p11-kit ---------------------------------------------------------------------------------------------


def test_no_openssl(patient: Patient) -> None:
    link, saw, mend = patient.broken(PATH=str(BIN))
    assert (link, saw, mend) == ("OpenSSL", "there is no openssl in PATH", "apt-get install openssl")


def test_the_engine_is_missing(patient: Patient, tmp_path: Path) -> None:
    """As the configuration names it; and with no configuration, as OpenSSL would look for it."""
    text = patient.openssl_cnf.read_bytes()
    with replaced(patient.openssl_cnf, text.replace(b"engines-3/pkcs11.so", b"engines-3/gone.so")):
        link, saw, mend = patient.broken()
    assert (link, mend) == ("OpenSSL", "apt-get install libengine-pkcs11-openssl")
    assert "gone.so is not there" in saw
    with replaced(patient.openssl_cnf, None):
        link, saw, mend = patient.broken(OPENSSL_ENGINES=str(tmp_path), OPENSSL_MODULES=str(tmp_path))
    assert (link, mend) == ("OpenSSL", "apt-get install libengine-pkcs11-openssl")
    assert "has neither PKCS#11 engine nor provider" in saw


PROVIDER = """\
openssl_conf = init
[init]
providers = providers
[providers]
pkcs11 = ours
[ours]
module = {file}
pkcs11-module-path = {module}
activate = 1
"""


def test_the_provider_is_missing(patient: Patient, tmp_path: Path) -> None:
    text = PROVIDER.format(file=tmp_path / "pkcs11.so", module=patient.module)
    with replaced(patient.openssl_cnf, text.encode()):
        link, saw, mend = patient.broken()
    assert (link, mend) == ("OpenSSL", "apt-get install pkcs11-provider")
    assert f"the provider {tmp_path}/pkcs11.so is not there" in saw


def test_openssl_cnf_is_broken(patient: Patient) -> None:
    """A line that OpenSSL cannot read, no file, no module named, a module that is elsewhere, and one that stops it."""
    text = patient.openssl_cnf.read_text()
    engines = f"{text}[privyseal_engines]\nother = other_section\n[other_section]\ndynamic_path = /etc\n"
    for broken, said in (
        (f"{text}[unclosed\n", "the section's name has no closing bracket"),
        (f"{text}nonsense\n", "there is no equal sign in 'nonsense'"),
        (None, "no such file or directory"),
        ("", "names no PKCS#11 module"),
        (text.replace(str(patient.module), "/nowhere.so"), "names the module /nowhere.so, which is not there"),
        (engines, "openssl says: "),
    ):
        with replaced(patient.openssl_cnf, None if broken is None else broken.encode()):
            link, saw, mend = patient.broken()
        assert link == "openssl.cnf", broken
        assert said in saw
        assert mend.startswith("privyseal connect ")


@pytest.mark.parametrize("content", [None, b"module: /elsewhere.so\n"])
def test_p11_kit_has_no_file_for_the_module(content: bytes | None, patient: Patient) -> None:
    with replaced(patient.p11_kit, content):
        link, saw, mend = patient.broken()
    assert link == "p11-kit"
    assert str(patient.p11_kit) in saw
    assert mend.startswith("privyseal connect ")


# -- The signature ---------------------------------------------------------------------------------------------------


def test_a_pin_of_another_key(patient: Patient) -> None:
    """It opens a key of the core, so the login is right; openssl says what is left."""
    link, saw, mend = patient.broken("--key", "release", pin=OTHER_PIN)
    assert link == "signature"
    assert saw.startswith("openssl does not sign: ")
    assert "log_output" in mend
    assert OTHER_PIN not in saw


def test_a_signature_that_does_not_verify(patient: Patient, tmp_path: Path) -> None:
    """An `openssl` that changes what it signed is found out by the last link."""
    fake = tmp_path / "openssl"
    real = shutil.which("openssl")
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = dgst ] && for last in "$@"; do :; done && [ "$OPENSSL_CONF" != /dev/null ] '
        f'&& echo "changed" >>"$last"\nexec {real} "$@"\n'
    )
    fake.chmod(0o755)
    link, saw, mend = patient.broken(status=3, PATH=f"{tmp_path}:{base_environment()['PATH']}")
    assert link == "verification"
    assert "openssl says: " in saw
    assert "privyseal key public release" in mend
