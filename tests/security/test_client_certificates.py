"""Client certificates on the real appliance, with two workers: who gets in with one, who does not, and how it ends."""

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import BasicConstraints

from support.appliance import PIN, Appliance
from support.client_certificates import Made, connect, context, make
from support.processes import BIN, base_environment
from support.waiting import wait_until

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
BODY = {"digest": DIGEST, "hash": "SHA-256"}
SIGN = "/cores/1/keys/release-1/sign"
MANY = 12  # connections, so that both workers get some
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
REFUSED = (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ConnectError)


@pytest.fixture(scope="module")
def pair(new_appliance: Callable[..., Appliance]) -> Appliance:
    """Two workers; alice may sign with everything in core 1, bob with nothing. One certificate is there for good."""
    appliance = new_appliance("--workers", "2")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_key("release-1", pin=None)
    appliance.add_user("alice")
    appliance.add_user("bob")
    appliance.add_rule("alice", operations=("key:sign",))
    register(appliance, make("somebody else's"), "bob")
    return appliance


def register(appliance: Appliance, made: Made, user: str = "alice") -> Made:
    """Let a user log in with a certificate."""
    document = appliance.api("POST", f"/users/{user}/certificates", {"certificate": made.pem}).json()
    assert document["fingerprint"] == made.fingerprint
    return made


def remove(appliance: Appliance, made: Made, user: str = "alice") -> None:
    """End that."""
    appliance.api("DELETE", f"/users/{user}/certificates/{made.fingerprint}")


def event(appliance: Appliance, number: int) -> dict[str, Any]:
    """One event of the record."""
    events = appliance.api("GET", f"/audit/events?after={number - 1}&limit=1").json()["events"]
    found: dict[str, Any] = events[0]
    return found


def newest(appliance: Appliance, operation: str) -> list[dict[str, Any]]:
    """The events of one operation."""
    events = appliance.api("GET", "/audit/events?after=0&limit=1000").json()["events"]
    return [one for one in events if one["operation"] == operation]


@contextlib.contextmanager
def connections(appliance: Appliance, made: Made, folder: Path, count: int = MANY) -> Iterator[list[httpx2.Client]]:
    """Some connections that bring a certificate."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(appliance, made, folder)) for _ in range(count)]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_a_certificate_logs_its_user_in(pair: Appliance, tmp_path: Path, key: Any, version: ssl.TLSVersion) -> None:
    """Without name and password, in both versions of TLS; the record has the user and the certificate."""
    made = register(pair, make(key=key))
    with connect(pair, made, tmp_path, version=version) as client:
        answer = client.post(SIGN, json=BODY)
    assert answer.status_code == 200, answer.text
    recorded = event(pair, answer.json()["event"])
    assert (recorded["user"], recorded["outcome"]) == ("alice", "done")
    assert recorded["reason"] == f"certificate {made.fingerprint}"


def test_a_certificate_of_a_ca_does_as_well(pair: Appliance, tmp_path: Path) -> None:
    """It is registered by itself: another one of the same CA is nobody, and so is the CA."""
    ca = ec.generate_private_key(ec.SECP256R1())
    first, second = (make(name, issuer=("a CA", ca)) for name in ("first", "second"))
    register(pair, first)
    with connect(pair, first, tmp_path) as client:
        assert client.post(SIGN, json=BODY).status_code == 200
    with connect(pair, second, tmp_path) as client, pytest.raises(REFUSED):
        client.post(SIGN, json=BODY)


def test_what_a_registered_ca_issued_is_nobody(pair: Appliance, tmp_path: Path) -> None:
    """TLS lets it in, because the CA is an anchor; the request is refused, on record, in words that name it."""
    ca = register(pair, make("registered CA", extensions=[(BasicConstraints(ca=True, path_length=None), True)]))
    child = make("child", issuer=("registered CA", ca.key))
    with connect(pair, child, tmp_path) as client:
        answer = client.post(SIGN, json=BODY)
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith(f"certificate {child.fingerprint} is registered for nobody")
    assert event(pair, answer.json()["event"])["user"] == "anonymous"


def test_an_unregistered_one_ends_in_the_handshake_and_on_record(pair: Appliance, tmp_path: Path) -> None:
    """In both versions of TLS; those without a certificate are served meanwhile."""
    before = len(newest(pair, "tls:handshake"))
    for version in VERSIONS:
        stranger = connect(pair, make("stranger"), tmp_path, version=version)
        with stranger as client, pytest.raises(REFUSED, match=r"(?i)unknown.ca"):
            client.post(SIGN, json=BODY)
    wait_until(lambda: len(newest(pair, "tls:handshake")) == before + 2)
    last = newest(pair, "tls:handshake")[-1]
    assert (last["user"], last["outcome"]) == ("anonymous", "refused")
    assert "not registered" in last["reason"]
    with connect(pair, None, tmp_path) as client:
        assert client.get("/cores").status_code == 401
        assert client.get("/cores", auth=("alice", pair.passwords["alice"])).status_code == 200


def test_the_certificate_of_another_user_is_that_user(pair: Appliance, tmp_path: Path) -> None:
    """Bob's gets bob in, who may not sign; nobody else gets it registered for himself as well."""
    made = register(pair, make("bob's"), "bob")
    with connect(pair, made, tmp_path) as client:
        refused = client.post(SIGN, json=BODY)
        assert refused.status_code in (403, 404)
        assert (event(pair, refused.json()["event"]))["user"] == "bob"
    twice = pair.api("POST", "/users/alice/certificates", {"certificate": made.pem}, check=False)
    assert twice.status_code == 409
    assert "registered for user 'bob'" in twice.json()["detail"]
    elsewhere = pair.api("DELETE", f"/users/alice/certificates/{made.fingerprint}", check=False)
    assert elsewhere.status_code == 404


def test_a_header_goes_before_a_certificate(pair: Appliance, tmp_path: Path) -> None:
    """Whoever names a user means it, also when the password is wrong."""
    with connect(pair, register(pair, make("both")), tmp_path) as client:
        as_bob = client.get("/users/bob/certificates", auth=("bob", pair.passwords["bob"]))
        assert as_bob.status_code == 200
        assert client.get("/cores", headers={"Authorization": "Bearer nothing"}).status_code == 401
        assert client.get("/users/alice/certificates").status_code == 200


def test_a_new_one_works_in_every_worker_at_once(pair: Appliance, tmp_path: Path) -> None:
    """No connection that comes after the registration is turned away by a worker that has not heard of it."""
    for _ in range(3):
        made = register(pair, make("fresh"))
        with connections(pair, made, tmp_path) as clients:
            assert {client.post(SIGN, json=BODY).status_code for client in clients} == {200}


def test_a_removed_one_is_refused_at_once_on_open_connections(pair: Appliance, tmp_path: Path) -> None:
    """By every worker; and it opens no new connection."""
    made = register(pair, make("ended"))
    with connections(pair, made, tmp_path) as clients:
        assert {client.post(SIGN, json=BODY).status_code for client in clients} == {200}
        remove(pair, made)
        answers = [client.post(SIGN, json=BODY) for client in clients]
    assert {answer.status_code for answer in answers} == {401}
    assert all("registered for nobody" in answer.json()["detail"] for answer in answers)
    with connections(pair, made, tmp_path, 4) as clients:
        for client in clients:
            with pytest.raises(REFUSED):
                client.post(SIGN, json=BODY)


def test_a_resumed_session_brings_nobody_back(pair: Appliance, tmp_path: Path) -> None:
    """TLS session tickets of before a removal, and of an open connection's, are worth nothing after it."""
    made = register(pair, make("resumed"))
    found = context(pair, made, tmp_path, ssl.TLSVersion.TLSv1_2)
    with _plain(pair, found) as first:
        session = first.session
        assert b" 200 " in _get(first, "/cores")
    resumed = 0
    while resumed < 2:  # a worker resumes its own sessions, and a connection comes to any of them
        with _plain(pair, found, session=session) as second:
            assert b" 200 " in _get(second, "/cores")
            resumed += bool(second.session_reused)
    remove(pair, made)
    for _ in range(MANY):
        with contextlib.suppress(OSError), _plain(pair, found, session=session) as second:  # an alert, as a rule
            assert b" 200 " not in _get(second, "/cores")


def test_an_expired_one_is_refused_also_on_open_connections(pair: Appliance, tmp_path: Path) -> None:
    """It works until its end, then it is told so, on record, on old connections and on new ones."""
    made = register(pair, make("short", valid=(-60, 20)))
    with connect(pair, made, tmp_path) as client:
        assert client.post(SIGN, json=BODY).status_code == 200
        wait_until(lambda: client.post(SIGN, json=BODY).status_code == 401)
        answer = client.post(SIGN, json=BODY)
    assert answer.json()["detail"].startswith(f"certificate {made.fingerprint} expired on ")
    recorded = event(pair, answer.json()["event"])
    assert (recorded["user"], recorded["outcome"]) == ("alice", "refused")
    with connect(pair, made, tmp_path) as client:
        assert "expired on" in client.post(SIGN, json=BODY).json()["detail"]
    states = {one["fingerprint"]: one["state"] for one in _listed(pair)}
    assert states[made.fingerprint] == "expired"


def test_one_of_tomorrow_waits(pair: Appliance, tmp_path: Path) -> None:
    """It may be registered before it is valid."""
    made = register(pair, make("tomorrow", valid=(86400, 2 * 86400)))
    with connect(pair, made, tmp_path) as client:
        assert "is not valid before" in client.post(SIGN, json=BODY).json()["detail"]


def test_two_that_openssl_would_confuse(pair: Appliance, tmp_path: Path) -> None:
    """A certificate that has the name of another one's issuer would lock that one out, so it is not registered."""
    ca = ec.generate_private_key(ec.SECP256R1())
    leaf = register(pair, make("leaf", issuer=("Corp CA", ca)))
    refused = pair.api("POST", "/users/bob/certificates", {"certificate": make("corp ca").pem}, check=False)
    assert refused.status_code == 409
    assert leaf.fingerprint in refused.json()["detail"]
    with connect(pair, leaf, tmp_path) as client:
        assert client.post(SIGN, json=BODY).status_code == 200
    remove(pair, leaf)
    register(pair, make("corp ca"), "bob")
    again = pair.api("POST", "/users/alice/certificates", {"certificate": leaf.pem}, check=False)
    assert again.status_code == 409


def test_certificates_of_one_name_do_not_get_into_each_others_way(pair: Appliance, tmp_path: Path) -> None:
    """Hosts are often called alike, and a renewed certificate has the old one's name, often its key too."""
    key = ec.generate_private_key(ec.SECP256R1())
    alike = [register(pair, one) for one in (make("client", key=key), make("client", key=key), make("client"))]
    for made in alike:
        with connect(pair, made, tmp_path) as client:
            assert client.post(SIGN, json=BODY).status_code == 200


def test_who_has_not_the_key_does_not_get_in(pair: Appliance, tmp_path: Path) -> None:
    """Certificates are public. Whoever sends alice's with a key of his own, or garbage, is cut off, and nobody else."""
    hers = register(pair, make("hers"))
    mine = make("mine")
    while len(mine.der) != len(hers.der):
        mine = make("mine")
    for sent in (hers.der, bytes([0x31]) + hers.der[1:], b"\xff" * len(hers.der)):
        assert not _gets_through(pair, mine, tmp_path, lambda data, sent=sent: data.replace(mine.der, sent))
    assert _gets_through(pair, hers, tmp_path, lambda data: data)
    with connect(pair, hers, tmp_path) as client:
        assert client.post(SIGN, json=BODY).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/credentials", {"name": "child"}),
        ("POST", "/users/alice/certificates", {"certificate": make("child").pem}),
        ("DELETE", f"/users/alice/certificates/{'ab' * 32}", None),
        ("POST", "/approvals/1/approve", None),
        ("POST", "/approvals/1/refuse", None),
        ("PUT", "/users/me/password", {"old": "password of alice", "new": "a new password of hers"}),
    ],
)
def test_a_certificate_is_no_person(pair: Appliance, tmp_path: Path, method: str, path: str, body: Any) -> None:
    """It approves nothing and makes nothing that would outlive it, not even an administrator's."""
    made = register(pair, make("administrator's"), "admin")
    with connect(pair, made, tmp_path) as client:
        assert client.get("/users").status_code == 200  # the role is the user's
        answer = client.request(method, path, json=body)
    assert answer.status_code == 403, answer.text
    assert "log in with name and password" in answer.json()["detail"]
    remove(pair, made, "admin")


def test_who_sees_certificates(pair: Appliance) -> None:
    """Users see their own, administrators everybody's."""
    assert pair.api("GET", "/users/alice/certificates", user="alice").json()["certificates"]
    assert pair.api("GET", "/users/bob/certificates", user="alice", check=False).status_code == 403
    assert pair.api("GET", "/users/nobody/certificates", check=False).status_code == 404
    assert pair.api("DELETE", "/users/alice/certificates/none", check=False).status_code == 404
    assert pair.api("POST", "/users/nobody/certificates", {"certificate": "x"}, check=False).status_code == 404


@pytest.mark.parametrize(
    ("pem", "words"),
    [("nonsense", "no PEM certificate"), (make("late", valid=(-60, -30)).pem, "expired on")],
    ids=["nonsense", "expired"],
)
def test_what_makes_no_sense_is_told(pair: Appliance, pem: str, words: str) -> None:
    """With the field that is wrong."""
    answer = pair.api("POST", "/users/alice/certificates", {"certificate": pem}, check=False)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.certificate"
    assert words in answer.json()["detail"]


def test_there_is_a_limit(pair: Appliance) -> None:
    """A user has up to 100."""
    pair.add_user("collector")
    one = make("one of many", key=ec.generate_private_key(ec.SECP256R1()))
    for _ in range(100):
        register(pair, make("one of many", key=one.key), "collector")
    refused = pair.api("POST", "/users/collector/certificates", {"certificate": one.pem}, check=False)
    assert refused.status_code == 409
    assert "100" in refused.json()["detail"]


def test_a_deleted_user_has_none(pair: Appliance, tmp_path: Path) -> None:
    """Nor has a namesake."""
    pair.add_user("dave")
    made = register(pair, make("dave's"), "dave")
    with connect(pair, made, tmp_path) as client:
        assert client.get("/cores").status_code == 200
        pair.api("DELETE", "/users/dave")
        pair.add_user("dave")
        assert client.get("/cores").status_code == 401


@pytest.fixture(scope="module")
def single(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance on which no certificate is registered at first."""
    return new_appliance()


def test_nobody_is_asked_while_none_is_registered(single: Appliance, tmp_path: Path) -> None:
    """So no browser shows its user certificates to choose from, and who brings one unasked is not turned away."""
    assert not _asks(single)
    with connect(single, make("unasked"), tmp_path) as client:
        assert client.get("/cores").status_code == 401
    made = register(single, make(), "admin")
    assert _asks(single)
    remove(single, made, "admin")
    assert not _asks(single)


def test_a_locked_appliance_says_so(single: Appliance, tmp_path: Path) -> None:
    """With a registered certificate 503, and after the next start it is still known."""
    appliance = single
    made = register(appliance, make(), "admin")
    with connect(appliance, made, tmp_path) as client:
        assert client.get("/cores").status_code == 200
        appliance.api("POST", "/lock")
        assert client.get("/cores").status_code == 503
    with connect(appliance, made, tmp_path) as client:
        assert client.get("/cores").status_code == 503
    appliance.stop()
    appliance.start()
    with connect(appliance, made, tmp_path) as client:
        assert client.get("/cores").status_code == 200


def test_a_quorum_guards_registration(single: Appliance) -> None:
    """What is approved is this certificate for this user."""
    single.add_user("alice")
    single.api("POST", "/quorums", {"operation": "user:add-certificate", "needed": 1, "approvers": ["alice"]})
    body = {"certificate": make("approved").pem}
    asked = single.api("POST", "/users/alice/certificates", body, check=False).json()
    assert asked["type"].endswith("approval-needed")
    single.api("POST", f"/approvals/{asked['approval']}/approve", user="alice")
    assert single.api("POST", "/users/admin/certificates", body, check=False).status_code == 403
    assert single.api("POST", "/users/alice/certificates", body).json()["subject"] == "CN=approved"


def test_curl_the_command_line_and_openssl(pair: Appliance, tmp_path: Path) -> None:
    """Other people's programs bring it, and ours with two lines of configuration; the private key stays at home."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run(
        [*words, "-subj", "/CN=build-host", "-keyout", tmp_path / "both.pem", "-out", tmp_path / "host.pem"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    with (tmp_path / "both.pem").open("a") as both:
        both.write((tmp_path / "host.pem").read_text())
    added = pair.cli_json("user", "certificate", "add", "alice", tmp_path / "both.pem")
    assert added["subject"] == "CN=build-host"
    curl = ["curl", "-sS", "--cacert", pair.ca_file, "--cert", tmp_path / "both.pem", f"{pair.url}/api/v1/cores"]
    cores = subprocess.run(curl, capture_output=True, text=True, check=True, timeout=60).stdout
    assert [core["number"] for core in json.loads(cores)["cores"]] == [1]

    configuration = tmp_path / "client.json"
    configuration.touch(mode=0o600)
    configuration.write_text(
        json.dumps({"url": pair.url, "ca_file": str(pair.ca_file), "client_cert": "both.pem"})  # the key is beside it
    )
    environment = {**base_environment(), "PRIVYSEAL_CONFIG": str(configuration)}
    run = [BIN / "privyseal", "core", "list", "--json"]
    listed = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60, env=environment).stdout
    assert [core["number"] for core in json.loads(listed)["cores"]] == [1]
    openssl = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "host.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    pair.cli("user", "certificate", "remove", "alice", openssl.stdout.strip().partition("=")[2])
    refused = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert refused.returncode == 5, refused.stderr
    assert "does not take the certificate of this host" in refused.stderr
    assert "privyseal user certificate add" in refused.stderr


def test_the_module_signs_with_one(pair: Appliance, module: Path, tmp_path: Path) -> None:
    """A host with nothing but a certificate: no user name, no password. A stranger's gets words in the log."""
    pair.add_key("release-2", pin=PIN)
    register(pair, make("module").write(tmp_path))
    make("stranger").write(tmp_path, "stranger")
    (tmp_path / "digest").write_bytes(hashlib.sha256(b"x").digest())
    assert _with_module(pair, module, tmp_path, "host").returncode == 0
    assert len((tmp_path / "signature").read_bytes()) == 64
    assert _with_module(pair, module, tmp_path, "stranger").returncode != 0
    assert "registered for nobody" in (tmp_path / "module.log").read_text()


def _with_module(pair: Appliance, module: Path, folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    configuration = folder / f"{name}.json"
    configuration.touch(mode=0o600)
    shape = {
        "url": pair.url, "ca_file": str(pair.ca_file), "core": 1, "client_cert": f"{name}.pem",
        "client_key": f"{name}.key", "log_level": 1, "log_output": str(folder / "module.log"),
    }  # fmt: skip
    configuration.write_text(json.dumps(shape))
    tool = ["pkcs11-tool", "--module", module, "--sign", "--mechanism", "ECDSA", "--label", "release-2"]
    return subprocess.run(
        [*tool, "--login", "--pin", PIN, "--input-file", folder / "digest", "--output-file", folder / "signature"],
        capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "PRIVYSEAL_CONFIG": str(configuration)},
    )  # fmt: skip


def _listed(appliance: Appliance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = appliance.api("GET", "/users/alice/certificates").json()["certificates"]
    return found


def _asks(appliance: Appliance) -> bool:
    """Whether the server asks a client for its certificate. It never says whose it would take."""
    said = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{appliance.port}", "-tls1_3"],
        input="", capture_output=True, text=True, check=False, timeout=60,
    ).stdout  # fmt: skip
    assert "No client certificate CA names sent" in said
    return "Requested Signature Algorithms" in said


@contextlib.contextmanager
def _plain(appliance: Appliance, found: ssl.SSLContext, **options: Any) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", appliance.port), timeout=60) as bare,
        found.wrap_socket(bare, server_hostname="127.0.0.1", **options) as wrapped,
    ):
        yield wrapped


def _get(wrapped: ssl.SSLSocket, path: str) -> bytes:
    wrapped.sendall(f"GET /api/v1{path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    return wrapped.recv(65536)


def _gets_through(appliance: Appliance, made: Made, folder: Path, change: Callable[[bytes], bytes]) -> bool:
    """Whether a handshake succeeds whose messages are changed on their way; TLS 1.2 sends certificates in the clear."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    found = context(appliance, made, folder, ssl.TLSVersion.TLSv1_2)
    client = found.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", appliance.port), timeout=60) as bare:
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                bare.sendall(change(outgoing.read()))
                received = bare.recv(65536)
                if not received:
                    return False
                incoming.write(received)
            except ssl.SSLError:
                return False
            else:
                return True
