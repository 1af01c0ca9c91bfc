"""A new TLS certificate and new settings come into force while clients sign, and no request of theirs fails."""

import base64
import contextlib
import datetime as dt
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from support.appliance import PIN, Appliance
from support.waiting import wait_until

SIGN = "/cores/1/keys/release/sign"
BODY = {"data": base64.b64encode(b"x").decode(), "pin": PIN}
PEM = serialization.Encoding.PEM
Edit = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]


class Authority:
    """Somebody else's certification authority."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of our own")])
        self.certificate = self.issue(self.name, self.key, days=100, names=(), ca=True)

    def issue(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
        *,
        days: int,
        names: tuple[x509.GeneralName, ...],
        ca: bool = False,
    ) -> x509.Certificate:
        """Issue a certificate that began yesterday."""
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=200)).not_valid_after(now + dt.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


LOCAL = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hsm")])


def key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes | None = None) -> str:
    """A private key as text."""
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, how).decode()


def pem(*chain: x509.Certificate) -> str:
    """Certificates as text."""
    return "".join(one.public_bytes(PEM).decode() for one in chain)


def served(appliance: Appliance) -> bytes:
    """The certificate that a new connection is shown, DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", appliance.port), timeout=30) as plain,
        context.wrap_socket(plain) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def everywhere(appliance: Appliance, certificate: bytes, connections: int = 12) -> bool:
    """Whether every one of some new connections is shown this certificate, so that no worker is behind."""
    return all(served(appliance) == certificate for _ in range(connections))


@pytest.fixture(scope="module")
def appliance(new_appliance: Callable[..., Appliance], tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    """Two workers, a key, a user who signs, and a configuration file."""
    config = tmp_path_factory.mktemp("config") / "serve.toml"
    config.write_text("workers = 2\n")
    appliance = new_appliance("--config", str(config))
    appliance.variables["config"] = str(config)
    appliance.add_rule(appliance.add_user("alice"))
    appliance.add_key("release")
    return appliance


@contextlib.contextmanager
def signing(appliance: Appliance, *, verify: bool = True) -> Iterator[list[int]]:
    """Sign all the while from three clients: two keep their connection, one makes a new one each time.

    Gives the statuses so far; when it ends, every one of them has to be a success.
    """
    statuses: list[int] = []
    failures: list[Exception] = []
    stop = threading.Event()

    def work(*, fresh: bool) -> None:
        client = appliance.client("alice") if verify else unverified(appliance)
        try:
            while not stop.is_set():
                statuses.append(client.post(f"/api/v1{SIGN}", json=BODY).status_code)
                if fresh:
                    client.close()
                    client = appliance.client("alice") if verify else unverified(appliance)
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work, kwargs={"fresh": fresh}) for fresh in (False, False, True)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(statuses) > 5 or bool(failures))
        yield statuses
        before = len(statuses)
        wait_until(lambda: len(statuses) > before + 5 or bool(failures))  # and afterwards, too
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(statuses) == {200}


def unverified(appliance: Appliance) -> httpx2.Client:
    """A client that trusts whatever certificate it is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    auth = ("alice", appliance.passwords["alice"])
    return httpx2.Client(base_url=appliance.url, auth=auth, verify=context, trust_env=False, timeout=60)


def reload(appliance: Appliance, times: int = 1) -> None:
    """Send SIGHUP to the supervisor, and wait until it has said that it is done."""
    done = log_of(appliance).count('"message": "reloaded"')
    for number in range(times):
        os.kill(appliance._serve_process(), signal.SIGHUP)
        wait_until(lambda wanted=done + number + 1: log_of(appliance).count('"message": "reloaded"') >= wanted)


def log_of(appliance: Appliance) -> str:
    """What its processes have logged."""
    return (appliance.directory / "serve.log").read_text()


def answering(appliance: Appliance) -> set[int]:
    """The processes that have logged a request."""
    whole = [line for line in log_of(appliance).splitlines(keepends=True) if line.startswith("{") and line[-1] == "\n"]
    return {said["pid"] for said in map(json.loads, whole) if said["logger"] == "privyseal.access"}


def expiry(appliance: Appliance) -> float:
    """The metric that alarms are set on."""
    found = re.search(
        r"^privyseal_certificate_expiry_seconds (\S+)$", appliance.api("GET", "/metrics").text, re.MULTILINE
    )
    assert found is not None
    return float(found[1])


def test_it_is_renewed_by_hand_under_load(appliance: Appliance) -> None:
    """Twice by REST and CLI: another certificate for everybody, one event each, and no request that fails."""
    before = served(appliance)
    with signing(appliance):
        made = appliance.api("POST", "/config/tls/renew").json()
        assert (
            made["fingerprint"] != f"sha256:{x509.load_der_x509_certificate(before).fingerprint(hashes.SHA256()).hex()}"
        )
        now = x509.load_pem_x509_certificate((appliance.data / "tls" / "server.pem").read_bytes())
        wait_until(lambda: everywhere(appliance, now.public_bytes(serialization.Encoding.DER)))
        again = appliance.cli_json("tls", "renew")
    assert (made["own"], again["own"]) == (True, True)
    assert "127.0.0.1" in made["names"]
    assert again["fingerprint"] != made["fingerprint"]
    wait_until(lambda: appliance.cli_json("tls", "show") == again)  # another worker may be a second behind
    assert "issued here:" in appliance.cli("tls", "show").stdout
    events = appliance.api("GET", "/audit/events?limit=1000").json()["events"]
    assert [one["outcome"] for one in events if one["operation"] == "tls:renew"] == ["done", "done"]


def test_a_certificate_that_ends_soon_is_renewed_by_itself(appliance: Appliance) -> None:
    """While it runs, with the same names; the metric shows what is served, before and after."""
    folder = appliance.data / "tls"
    own = Authority.__new__(Authority)
    own.certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    own.name = own.certificate.subject
    loaded = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    own.key = loaded
    key = ec.generate_private_key(ec.SECP256R1())
    ending = own.issue(SUBJECT, key, days=29, names=(*LOCAL, x509.DNSName("hsm.example")))
    with signing(appliance):
        new = folder / "new"
        new.write_text(key_pem(key) + pem(ending, own.certificate))
        new.rename(folder / "server.pem")
        deadline = ending.not_valid_after_utc.timestamp()
        wait_until(lambda: expiry(appliance) == deadline)
        wait_until(lambda: expiry(appliance) > deadline + 300 * 86400)
        renewed = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
        wait_until(lambda: everywhere(appliance, renewed.public_bytes(serialization.Encoding.DER)))
    names = renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert x509.DNSName("hsm.example") in names
    assert "the TLS certificate is renewed" in log_of(appliance)
    reload(appliance)  # and here it gets the names of this host again
    found = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    assert (
        x509.DNSName("hsm.example") not in found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )


def test_a_certificate_from_elsewhere(appliance: Appliance) -> None:
    """It is served to all, stays through a reload and a new start, is told apart, and gives way to our own again."""
    other = Authority()
    key = ec.generate_private_key(ec.SECP256R1())
    given = other.issue(SUBJECT, key, days=20, names=LOCAL)
    files = [
        appliance.secret_file("hsm.pem", pem(given, other.certificate)),
        appliance.secret_file("hsm.key", key_pem(key)),
    ]
    with signing(appliance, verify=False):
        shown = appliance.cli("tls", "replace", "--certificate", files[0], "--private-key", files[1]).stdout
        wait_until(lambda: everywhere(appliance, given.public_bytes(serialization.Encoding.DER)))
        reload(appliance)
        assert everywhere(appliance, given.public_bytes(serialization.Encoding.DER))
    assert re.search(r"issued here: +no", shown)
    assert "an authority of our own" in shown
    appliance.stop()
    appliance.start()
    assert other.certificate.fingerprint(hashes.SHA256()).hex() in appliance.ready_line
    with unverified(appliance) as client:
        client.auth = ("admin", appliance.admin_password)
        document = client.get("/api/v1/config/tls").json()
        assert (document["own"], document["names"]) == (False, ["localhost", "127.0.0.1"])
        assert client.post("/api/v1/config/tls/renew").json()["own"] is True
    own = x509.load_pem_x509_certificate((appliance.data / "tls" / "server.pem").read_bytes())
    wait_until(lambda: everywhere(appliance, own.public_bytes(serialization.Encoding.DER)))


def wrong() -> dict[str, tuple[str, str, str]]:
    """What must not be served: certificate, private key, and the field that is named."""
    other, stranger = Authority(), Authority()
    key, another = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    good = other.issue(SUBJECT, key, days=20, names=LOCAL)
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    odd = X25519PrivateKey.generate()
    odd_pem = odd.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return {
        "no PEM": ("nothing", key_pem(key), "certificate"),
        "no key": (pem(good), "nothing", "private_key"),
        "an encrypted key": (pem(good), key_pem(key, b"secret"), "private_key"),
        "a key for other things": (pem(good), odd_pem, "private_key"),
        "a key too short for OpenSSL": (
            pem(other.issue(SUBJECT, short, days=9, names=LOCAL)),
            key_pem(short),
            "certificate",
        ),
        "another's key": (pem(good), key_pem(another), "private_key"),
        "expired": (pem(other.issue(SUBJECT, key, days=-1, names=LOCAL)), key_pem(key), "certificate"),
        "nameless": (pem(other.issue(SUBJECT, key, days=9, names=())), key_pem(key), "certificate"),
        "an authority": (pem(other.issue(SUBJECT, key, days=9, names=LOCAL, ca=True)), key_pem(key), "certificate"),
        "a foreign chain": (pem(good, stranger.certificate), key_pem(key), "certificate"),
        "a chain upside down": (pem(other.certificate, good), key_pem(key), "certificate"),
    }


WRONG = wrong()


@pytest.mark.parametrize("how", WRONG)
def test_a_certificate_that_could_not_be_served_is_refused(appliance: Appliance, how: str) -> None:
    """The field is named, and the file is as it was."""
    file = appliance.data / "tls" / "server.pem"
    before = file.read_bytes()
    certificate, key, field = WRONG[how]
    answer = appliance.api("PUT", "/config/tls", {"certificate": certificate, "private_key": key}, check=False)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"body.{field}")
    assert file.read_bytes() == before


def test_a_file_that_cannot_be_served_changes_nothing(appliance: Appliance) -> None:
    """The old certificate goes on, the log says why, and a reload puts one in its place that can be served."""
    file = appliance.data / "tls" / "server.pem"
    before, old = served(appliance), file.read_bytes()
    key = ec.generate_private_key(ec.SECP256R1())
    new = file.with_name("new")
    new.write_bytes(key_pem(key).encode() + old[old.index(b"-----BEGIN CERT") :])
    with signing(appliance):
        new.rename(file)
        wait_until(lambda: log_of(appliance).count("the TLS certificate in force stays") >= 2)  # both workers
        assert everywhere(appliance, before)
        reload(appliance)
        now = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(serialization.Encoding.DER)
        assert now != before
        assert everywhere(appliance, now)


def test_settings_are_read_anew(appliance: Appliance, tmp_path: Path) -> None:
    """Requests are logged and checkpoints sent then; what needs a new start is named; mistakes change nothing."""
    config = Path(appliance.variables["config"])
    checkpoints = tmp_path / "checkpoints"
    assert '"logger": "privyseal.access"' not in log_of(appliance)
    with signing(appliance):
        config.write_text(f'workers = 3\naccess-log = true\nlog-format = "text"\ncheckpoint-file = "{checkpoints}"\n')
        reload(appliance)
        wait_until(lambda: checkpoints.exists() and checkpoints.stat().st_size > 0)
        config.write_text("wrokers = 3\n")
        reload(appliance)
    log = log_of(appliance)
    assert "changed, but in force only after a new start: workers, log-format" in log
    assert "the reload changed nothing: --config " in log
    assert "there is no option 'wrokers'" in log
    assert len(appliance.worker_processes()) == 2
    seen = log.count('"logger": "privyseal.access"')
    killed, other = appliance.worker_processes()
    os.kill(killed, signal.SIGKILL)  # its successor has the new settings as well
    wait_until(lambda: killed not in (now := appliance.worker_processes()) and len(now) == 2 and other in now)
    asked = 0
    while not answering(appliance) - {killed, other}:
        appliance.api("GET", "/cores")
        appliance._clients.pop("admin").close()
        asked += 1
    wait_until(lambda: log_of(appliance).count('"logger": "privyseal.access"') >= seen + asked)
    config.write_text("workers = 2\n")
    reload(appliance)
    quiet = log_of(appliance).count('"logger": "privyseal.access"')
    appliance.api("GET", "/cores")
    time.sleep(0.2)
    assert log_of(appliance).count('"logger": "privyseal.access"') == quiet


def test_settings_are_as_before_when_the_certificate_fails(appliance: Appliance) -> None:
    """What the log says is so: neither is in force, and the next reload puts both right."""
    config = Path(appliance.variables["config"])
    obstacle = appliance.data / "tls" / "names.new"
    failed = log_of(appliance).count("the reload changed nothing: ")
    obstacle.mkdir()
    config.write_text("workers = 2\naccess-log = true\n")
    try:
        reload(appliance)
    finally:
        obstacle.rmdir()
    before = log_of(appliance)
    assert before.count("the reload changed nothing: ") == failed + 1
    appliance.api("GET", "/cores")
    time.sleep(0.2)
    assert log_of(appliance).count('"logger": "privyseal.access"') == before.count('"logger": "privyseal.access"')
    reload(appliance)
    appliance.api("GET", "/cores")
    logged = before.count('"logger": "privyseal.access"')
    wait_until(lambda: log_of(appliance).count('"logger": "privyseal.access"') > logged)
    config.write_text("workers = 2\n")
    reload(appliance)


def test_a_mistake_that_nobody_foresaw_changes_nothing(appliance: Appliance) -> None:
    """A setting that Python itself trips over is told like any other, and the appliance goes on."""
    config = Path(appliance.variables["config"])
    failed = log_of(appliance).count("the reload changed nothing: ")
    config.write_text('database-file = "\\u0000"\n')
    with signing(appliance):
        reload(appliance)
    assert log_of(appliance).count("the reload changed nothing: ") == failed + 1
    config.write_text("workers = 2\n")
    reload(appliance)


def test_a_tls_file_of_an_older_version(new_appliance: Callable[..., Appliance]) -> None:
    """Which kept the key in a file of its own: a new certificate of the same authority, and hosts notice nothing."""
    appliance = new_appliance("--workers", "1")
    appliance.stop()
    file = appliance.data / "tls" / "server.pem"
    content = file.read_bytes()
    at = content.index(b"-----BEGIN CERT")
    file.write_bytes(content[at:])
    file.with_suffix(".key").write_bytes(content[:at])
    authority = appliance.ca_file.read_bytes()
    appliance.start()
    assert appliance.api("GET", "/cores").status_code == 200
    assert appliance.ca_file.read_bytes() == authority
    assert not file.with_suffix(".key").exists()
