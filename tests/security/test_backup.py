"""A backup brings everything back to somebody who has the secret, and nothing to anybody else."""

import base64
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from privyseal.tls import TLSFiles
from support.appliance import PIN, Appliance
from support.backups import ALTERATIONS, altered, forged
from support.client_certificates import connect, make
from support.postgresql import PostgreSQL
from support.processes import BIN
from support.terminal import converse
from support.waiting import wait_until

PASSPHRASE = "what opens the safe"
SIGN = "/cores/1/keys/release/sign"
CERTIFICATE = make("alice's")
UNKNOWN_KIND = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2V3AyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
-----END PUBLIC KEY-----
"""
BODY = {"data": base64.b64encode(b"x").decode(), "pin": PIN}


@pytest.fixture(scope="module")
def source(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with users, a key with a PIN, and two recipients of backups."""
    appliance = new_appliance("--workers", "2")
    appliance.add_user("alice")
    appliance.add_user("nightly", role="backup")
    appliance.add_rule("alice")
    appliance.add_key("release")
    appliance.api("POST", "/users/alice/certificates", {"certificate": CERTIFICATE.pem})
    passphrase = appliance.secret_file("passphrase", PASSPHRASE)
    appliance.cli("backup", "recipient", "add", "safe", "--passphrase-file", passphrase)
    key = appliance.directory / "offsite.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", key.with_suffix(".pem")], check=True)
    appliance.cli("backup", "recipient", "add", "offsite", "--public-key", key.with_suffix(".pem"))
    return appliance


@pytest.fixture(scope="module")
def backup(source: Appliance) -> Path:
    """A backup, made by somebody who may do nothing else."""
    path = source.directory / "nightly.backup"
    source.cli("backup", "create", "-o", path, user="nightly")
    return path


def restored(source: Appliance, folder: Path, *arguments: str) -> Appliance:
    """The appliance in a directory into which a backup was restored, started."""
    appliance = Appliance(folder, *arguments)
    appliance.passwords = dict(source.passwords)
    appliance.start()
    return appliance


def restore(source: Appliance, file: Path, data: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Try to restore."""
    passphrase = words or ("--passphrase-file", source.directory / "passphrase")
    return source.cli("restore", file, "--data", data, *passphrase, check=False)


def record(appliance: Appliance) -> list[dict[str, Any]]:
    """The first events."""
    events: list[dict[str, Any]] = appliance.api("GET", "/audit/events?limit=1000").json()["events"]
    return events


@pytest.mark.parametrize("secret", ["passphrase", "private key"])
def test_it_comes_back(source: Appliance, backup: Path, tmp_path: Path, secret: str) -> None:
    """The same key, PIN, user and client certificate, trusted by the same hosts, and a record that goes on.

    A TLS certificate of another authority that somebody has left in the directory gives way.
    """
    left = TLSFiles(tmp_path / "new" / "data" / "tls")
    left.ca.parent.mkdir(mode=0o700, parents=True)
    left.prepare([])
    words = () if secret == "passphrase" else ("--private-key", source.directory / "offsite.key")
    done = restore(source, backup, tmp_path / "new" / "data", *words)
    assert done.returncode == 0, done.stderr
    new = restored(source, tmp_path / "new")
    try:
        assert new.ca_file.read_bytes() == source.ca_file.read_bytes()
        with connect(new, CERTIFICATE, tmp_path) as client:
            signature = client.post(SIGN, json=BODY).json()["signature"]
        public = load_pem_public_key(source.api("GET", "/cores/1/keys/release/public.pem").content)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(base64.b64decode(signature), b"x", ec.ECDSA(hashes.SHA256()))
        old = record(source)
        made = next(event["number"] for event in old if event["operation"] == "backup:create")
        now = record(new)
        assert now[:made] == old[:made]
        assert [event["operation"] for event in now[made : made + 2]] == ["appliance:restore", "key:sign"]
    finally:
        new.stop()


def test_it_comes_back_in_postgresql(source: Appliance, backup: Path, tmp_path: Path, postgresql: PostgreSQL) -> None:
    """A backup of SQLite fills an empty PostgreSQL database, and new things get new numbers there."""
    url = postgresql.new_database()
    secret = ("--passphrase-file", source.directory / "passphrase", "--database", url)
    assert restore(source, backup, tmp_path / "new" / "data", *secret).returncode == 0
    new = restored(source, tmp_path / "new", "--database", url)
    try:
        new.api("POST", SIGN, BODY, user="alice")
        new.add_user("bob")
        new.add_rule("bob")
        new.add_key("another")
    finally:
        new.stop()


def test_nothing_of_it_can_be_read_without_the_secret(source: Appliance, backup: Path) -> None:
    """Not a label, not a user, not a password's hash; and the domain key of the source is in none of its bytes."""
    content = backup.read_bytes()
    for word in (b"release", b"alice", b"$argon2id$", (source.data / "unlock.key").read_bytes()):
        assert word not in content


@pytest.mark.parametrize("how", ALTERATIONS)
def test_a_file_that_is_not_whole_is_refused_untouched(
    source: Appliance, backup: Path, tmp_path: Path, how: str
) -> None:
    """Before anything is written: the directory is not even made."""
    file = tmp_path / "file"
    file.write_bytes(altered(backup.read_bytes(), how))
    done = restore(source, file, tmp_path / "new")
    assert done.returncode == 1
    assert done.stderr.startswith("privyseal: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "new").exists()


def test_another_secret_opens_nothing(source: Appliance, backup: Path, tmp_path: Path) -> None:
    """The message names whom the backup was made for."""
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase")
    done = restore(source, backup, tmp_path / "new", "--passphrase-file", wrong)
    assert "it was made for safe (passphrase), offsite (public-key)" in done.stderr
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", wrong], check=True)
    done = restore(source, backup, tmp_path / "new", "--private-key", wrong)
    assert "the secret does not open this backup" in done.stderr
    assert not (tmp_path / "new").exists()


def test_an_appliance_is_not_overwritten(source: Appliance, backup: Path) -> None:
    """Neither one that runs nor one that is stopped."""
    before = (source.data / "unlock.key").read_bytes()
    assert restore(source, backup, source.data).returncode == 1
    assert (source.data / "unlock.key").read_bytes() == before


def test_who_makes_backups_manages_nothing(source: Appliance) -> None:
    """The role backup names no recipient, and an operator makes no backup."""
    body = {"name": "mine", "passphrase": "a passphrase of my own"}
    assert source.api("POST", "/backup/recipients", body, user="nightly", check=False).status_code == 403
    assert source.api("DELETE", "/backup/recipients/safe", user="nightly", check=False).status_code == 403
    assert source.api("POST", "/backup", user="alice", check=False).status_code == 403
    assert source.api("GET", "/audit/events", user="nightly", check=False).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x"}, "passphrase"),
        ({"name": "x", "passphrase": "a good passphrase", "public_key": "x"}, "passphrase"),
        ({"name": "x", "passphrase": "short"}, "passphrase"),
        ({"name": "x", "public_key": "no PEM"}, "public_key"),
        ({"name": "x", "public_key": UNKNOWN_KIND}, "public_key"),
        ({"name": "a b", "passphrase": "a good passphrase"}, "name"),
    ],
)
def test_a_recipient_that_cannot_be(source: Appliance, body: dict[str, Any], field: str) -> None:
    """Each wrong field is named, and an RSA key is no X25519 key."""
    answer = source.api("POST", "/backup/recipients", body, check=False)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"body.{field}")


def test_without_a_recipient_there_is_no_backup(new_appliance: Callable[..., Appliance]) -> None:
    """It says what to type first, and leaves no file."""
    appliance = new_appliance()
    done = appliance.cli("backup", "create", "-o", appliance.directory / "x.backup", check=False)
    assert "privyseal backup recipient add" in done.stderr
    assert list(appliance.directory.glob("x.backup*")) == []
    passphrase = appliance.secret_file("passphrase", PASSPHRASE)
    appliance.cli("backup", "recipient", "add", "safe", "--passphrase-file", passphrase)
    listed = appliance.cli_json("backup", "recipient", "list")["recipients"]
    assert [one["name"] for one in listed] == ["safe"]
    appliance.cli("backup", "recipient", "remove", "safe")
    assert appliance.api("DELETE", "/backup/recipients/safe", check=False).status_code == 404


def test_tables_of_another_version_are_refused_untouched(source: Appliance, tmp_path: Path) -> None:
    """Before anything is written, like a file that is not whole."""
    file = tmp_path / "old.backup"
    file.write_bytes(forged("0000", PASSPHRASE))
    done = restore(source, file, tmp_path / "new")
    assert "the backup has tables of revision 0000 and this version has" in done.stderr
    assert not (tmp_path / "new").exists()


@contextlib.contextmanager
def signing(appliance: Appliance) -> Iterator[list[int]]:
    """Sign all the while; every answer has to be a signature."""
    statuses: list[int] = []
    stop = threading.Event()

    def work() -> None:
        with appliance.client("alice") as client:
            while not stop.is_set():
                statuses.append(client.post(f"/api/v1{SIGN}", json=BODY).status_code)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def test_under_load_and_while_the_domain_key_is_rotated(
    new_appliance: Callable[..., Appliance], tmp_path: Path
) -> None:
    """Each backup has every domain key that its records are sealed with; the restored one ends the rotation by itself.

    And the record verifies: with the checkpoints from before the backup, not with those from after it.
    """
    source = new_appliance("--workers", "2")
    source.add_rule(source.add_user("alice"))
    source.add_key("release")
    for number in range(120):
        source.add_key(f"more-{number}", "ed25519")
    passphrase = source.secret_file("passphrase", PASSPHRASE)
    source.cli("backup", "recipient", "add", "safe", "--passphrase-file", passphrase)
    key, before, after = (tmp_path / name for name in ("audit.key", "before", "after"))
    key.write_text(source.cli("audit", "key").stdout)
    before.write_text(source.cli("audit", "checkpoint").stdout)
    made: list[Path] = []
    with signing(source):
        source.api("POST", "/domain-key/rotate")
        while not made or source.api("GET", "/domain-key").json()["rotating"]:
            made.append(tmp_path / f"{len(made)}.backup")
            made[-1].write_bytes(source.api("POST", "/backup").content)
        made.append(tmp_path / "last.backup")
        made[-1].write_bytes(source.api("POST", "/backup").content)
    after.write_text(source.cli("audit", "checkpoint").stdout)
    for file in {made[0], made[len(made) // 2], made[-1]}:
        assert restore(source, file, tmp_path / file.stem / "data").returncode == 0
        new = restored(source, tmp_path / file.stem, "--workers", "1")
        try:
            wait_until(lambda new=new: not new.api("GET", "/domain-key").json()["rotating"])
            for label in ("release", "more-0", "more-119"):
                path = f"/cores/1/keys/{label}/sign"
                assert new.api("POST", path, BODY, user="alice").status_code == 200
            export = tmp_path / file.stem / "record"
            new.cli("audit", "export", "-o", export)
            words = ("audit", "verify", export, "--key", key, "--checkpoint")
            new.cli(*words, before)
            done = new.cli(*words, after, check=False)
            assert done.returncode == 3, done.stdout + done.stderr
            new.cli("domain-key", "rotate")  # and it can be rotated again
        finally:
            new.stop()


def test_bars_move_and_say_nothing_else(source: Appliance, tmp_path: Path) -> None:
    """At a terminal, for backup, restore and merge; anywhere else there is no bar."""
    file, secret = tmp_path / "bar.backup", source.directory / "passphrase"
    lines = {
        "Backup": ("backup", "create", "-o", file),
        "Restore": ("restore", file, "--data", tmp_path / "new", "--passphrase-file", secret),
        "Merge": ("restore", file, "--merge", "--passphrase-file", secret),
    }
    environment = source.environment() | {"TERM": "xterm"}
    for label, words in lines.items():
        done = converse(
            [BIN / "privyseal", *words], prompt="never asked", answer="", environment=environment, directory=tmp_path
        )
        assert done.status == 0, done.screen
        assert f"{label}  [####" in done.screen
        assert "100%" in done.screen


def test_a_download_that_is_cut_leaves_nothing(source: Appliance, tmp_path: Path) -> None:
    """Neither the file nor a piece of it: here a server breaks off in the middle of its answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(source.data / "tls" / "server.pem")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(head + b"x" * 1000)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        done = source.cli("--url", url, "backup", "create", "-o", tmp_path / "cut.backup", check=False)
        thread.join()
    assert (done.returncode, "cut the connection" in done.stderr) == (1, True), done.stderr
    assert list(tmp_path.iterdir()) == []
