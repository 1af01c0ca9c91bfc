"""Whoever has the database and an API worker in hand is found out by `audit verify` against a checkpoint kept outside.

Each attack changes a copy of the database of an appliance that ran, as its owner could, and makes an export of it with
the appliance's own code. What an attacker cannot have is the audit key, so the newest checkpoint is the keeper's.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from privyseal.audit import tree
from privyseal.audit.verify import verify_export, verify_receipt
from privyseal.keeper import sealing
from privyseal.keeper.client import ask_once
from privyseal.store import events
from privyseal.store.store import Store
from privyseal.wire import frames
from privyseal.wire.notes import VerifierKey, split
from support.appliance import Appliance
from support.processes import BIN, base_environment

DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()


@dataclass
class Evidence:
    """What was kept outside: key and checkpoints; and the appliance's data when it was stopped."""

    folder: Path
    key: Path
    checkpoints: Path
    export: Path
    database: Path

    @property
    def events(self) -> int:
        """How many the export has."""
        return len(self.export.read_bytes().splitlines()) - 1


def sign(appliance: Appliance, count: int = 1) -> list[int]:
    """Sign as alice; gives the numbers of the events."""
    body = {"digest": DIGEST, "hash": "SHA-256"}
    return [
        appliance.api("POST", "/cores/1/keys/release/sign", body, user="alice").json()["event"] for _ in range(count)
    ]


@pytest.fixture(scope="module")
def running(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance on which alice has signed."""
    appliance = new_appliance("--workers", "1")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_user("alice")
    appliance.add_rule("alice")
    appliance.add_key("release", pin=None)
    sign(appliance, 20)
    return appliance


@pytest.fixture(scope="module")
def evidence(running: Appliance, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Two checkpoints with signatures between and behind them, an export, and a copy of the database."""
    folder = tmp_path_factory.mktemp("evidence")
    found = Evidence(folder, folder / "key", folder / "kept", folder / "export.jsonl", folder / "privyseal.db")
    found.key.write_text(running.cli("audit", "key").stdout)
    found.checkpoints.write_text(running.cli("audit", "checkpoint").stdout)
    sign(running, 20)
    with found.checkpoints.open("a") as file:
        file.write(running.cli("audit", "checkpoint").stdout)
    sign(running, 20)
    running.cli("audit", "export", "-o", found.export)
    with sqlite3.connect(running.data / "privyseal.db") as source, sqlite3.connect(found.database) as copy:
        source.backup(copy)
    return found


def verify(evidence: Evidence, export: Path, *more: str | Path) -> tuple[int, str]:
    """Exit status and output of `privyseal audit verify`, without any appliance."""
    words = ["audit", "verify", export, "--key", evidence.key, "--checkpoint", evidence.checkpoints, *more]
    done = subprocess.run(
        [BIN / "privyseal", *words], capture_output=True, text=True, check=False, env=base_environment(), timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def forged(evidence: Evidence, tmp_path: Path, *statements: str, rebuild: bool = False) -> Path:
    """An export from an attacked copy of the database, with the newest checkpoint that the keeper had signed."""
    path = tmp_path / "attacked.db"
    shutil.copy(evidence.database, path)
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    header = evidence.export.read_bytes().splitlines()[0]
    store = Store(f"sqlite:///{path}")
    with store.read() as connection:
        leaves = events.leaves(connection, 1, 10_000)
    store.close()
    if rebuild:
        leaves = [b"[%d,%b" % (number, leaf.partition(b",")[2]) for number, leaf in enumerate(leaves, 1)]
    export = tmp_path / "attacked.jsonl"
    export.write_bytes(b"\n".join([header, *leaves[: evidence.events]]) + b"\n")
    return export


def test_an_honest_record_verifies(evidence: Evidence) -> None:
    """With its key and kept checkpoints; with one kept checkpoint alone too."""
    status, words = verify(evidence, evidence.export)
    assert (status, words) == (0, f"Verified OK: {evidence.events} events of {origin(evidence)}\n")


def origin(evidence: Evidence) -> str:
    """The name under which the keeper signs."""
    return evidence.key.read_text().partition("+")[0]


ATTACKS = {
    "delete": ("DELETE FROM events WHERE number = 15", "event 16 stands where event 15 should be"),
    "change": ("UPDATE events SET \"user\" = 'bob' WHERE number = 15", "at least one was changed"),
    "change what was signed": ("UPDATE events SET input = 'ff' WHERE number = 15", "are not those that it counted"),
    "truncate": ("DELETE FROM events WHERE number > 30", "cut off or replaced by an older one"),
    "forget the use": ("UPDATE events SET keeper = NULL, use = NULL WHERE number = 15", "is not in the record"),
    "swap uses": ("UPDATE events SET use = 2 WHERE use = 3", "is recorded twice"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_the_database_is_found(evidence: Evidence, tmp_path: Path, name: str) -> None:
    """And said in words that help."""
    statement, words = ATTACKS[name]
    status, shown = verify(evidence, forged(evidence, tmp_path, statement))
    assert status == 3
    assert words in shown, shown


def test_a_reordered_record_is_found(evidence: Evidence, tmp_path: Path) -> None:
    """Two neighbours changed places, and their numbers with them."""
    moves = ["UPDATE events SET number = 9999 WHERE number = 15", "UPDATE events SET number = 15 WHERE number = 16"]
    moves.append("UPDATE events SET number = 16 WHERE number = 9999")
    status, shown = verify(evidence, forged(evidence, tmp_path, *moves))
    assert (status, "moved" in shown) == (3, True), shown


def test_an_inserted_event_is_found(evidence: Evidence, tmp_path: Path) -> None:
    """Everything behind it is numbered anew."""
    columns = "time, node, user, operation, core, key, mechanism, input, outcome, reason, keeper, use"
    statements = [
        "UPDATE events SET number = number + 10000 WHERE number > 15",
        "UPDATE events SET number = number - 9999 WHERE number > 10000",
        f"INSERT INTO events (number, {columns}) SELECT 16, {columns} FROM events WHERE number = 3",  # noqa: S608
    ]
    status, shown = verify(evidence, forged(evidence, tmp_path, *statements))
    assert (status, "inserted" in shown) == (3, True), shown


def test_a_whole_new_tree_is_found(running: Appliance, evidence: Evidence, tmp_path: Path) -> None:
    """The attacker removes an event, rebuilds the tree consistently, and even has the keeper sign it."""
    attacked = forged(evidence, tmp_path, "DELETE FROM events WHERE number = 15", rebuild=True)
    leaves = attacked.read_bytes().splitlines()[1:]
    edge = tree.Edge()
    for leaf in leaves:
        edge.append(tree.leaf_hash(leaf))
    with sqlite3.connect(running.data / "privyseal.db") as connection:
        row = connection.execute("SELECT id, sealed, policy, version FROM audit_key").fetchone()
    record = frames.SealedKey(row[0], 0, "audit:ed25519", row[3], row[2], row[1])
    socket = next((running.data / "run").glob("keeper.sock"))
    counted = ask_once(socket, frames.CountUses(), frames.Counted)
    note = ask_once(socket, frames.SignCheckpoint(record, edge.size, edge.root(), counted.count), frames.Note)
    header = json.dumps(
        {"format": "privyseal-record-1", "key": evidence.key.read_text().strip(), "checkpoint": note.text}
    )
    attacked.write_bytes(b"\n".join([header.encode(), *leaves]) + b"\n")
    status, shown = verify(evidence, attacked)
    assert status == 3
    assert "are not what the checkpoint of" in shown
    assert "is not in the record" in shown


def test_an_old_database_is_found(running: Appliance, evidence: Evidence, tmp_path: Path) -> None:
    """An export from before the newest kept checkpoint, with the checkpoint that belonged to it."""
    kept = evidence.checkpoints.read_text().partition("\n\nprivyseal/")[0] + "\n"
    lines = evidence.export.read_bytes().splitlines()
    header = json.loads(lines[0]) | {"checkpoint": kept}
    size = int(kept.splitlines()[1])
    old = tmp_path / "old.jsonl"
    old.write_bytes(b"\n".join([json.dumps(header).encode(), *lines[1 : size + 1]]) + b"\n")
    status, shown = verify(evidence, old)
    assert (status, "replaced by an older one" in shown) == (3, True), shown
    assert running.process


def test_a_signature_without_an_event_is_found(running: Appliance, evidence: Evidence, tmp_path: Path) -> None:
    """A worker that asks the keeper itself and records nothing: the next checkpoint counts what the record has not."""
    with sqlite3.connect(running.data / "privyseal.db") as connection:
        row = connection.execute("SELECT id, core, type, version, policy, sealed FROM keys").fetchone()
    record = frames.SealedKey(*row)
    socket = next((running.data / "run").glob("keeper.sock"))
    name, digest = sealing.name(record), hashlib.sha256(b"stolen").digest()
    request = frames.Sign(name, "alice", 1, "ECDSA", "SHA-256", None, None, "der", (digest,), None, record)
    stolen = ask_once(socket, request, frames.Signatures)
    export = tmp_path / "after.jsonl"
    running.cli("audit", "export", "-o", export)
    status, shown = verify(evidence, export)
    words = f"signature {stolen.first_use} of keeper {stolen.keeper} was made and is not in the record"
    assert status == 3
    assert words in shown, shown
    gap = f"{stolen.keeper}:{stolen.first_use}"
    assert verify(evidence, export, "--known-gap", gap)[0] == 0


def test_a_key_that_is_not_ours_convinces_nobody(evidence: Evidence, tmp_path: Path) -> None:
    """An export that is signed by another key does not verify with the kept one."""
    other = tmp_path / "other.key"
    name = "privyseal/" + "0" * 16
    other.write_text(str(VerifierKey(name, bytes(32))))
    done = subprocess.run(
        [BIN / "privyseal", "audit", "verify", evidence.export, "--key", other],
        capture_output=True, text=True, check=False, env=base_environment(),
    )  # fmt: skip
    assert done.returncode == 3
    assert f"not signed by {name}" in done.stderr


@pytest.mark.parametrize("path", ["/audit/checkpoint", "/audit/export", "/audit/consistency?from=1", "/audit/events"])
def test_the_record_is_for_auditors(running: Appliance, path: str) -> None:
    """Auditors and administrators read it; an operator is refused."""
    if "clara" not in running.passwords:
        running.add_user("clara", role="auditor")
    assert running.api("GET", path, user="clara").is_success
    refused = running.api("GET", path, user="alice", check=False)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:privyseal:problem:access-refused")


def test_a_receipt_is_for_whose_event_it_is(running: Appliance) -> None:
    """Others are told nothing, not even whether there is such an event; the audit key is for everybody."""
    (number,) = sign(running)
    receipt = running.api("GET", f"/audit/proof?event={number}", user="alice").json()
    found = verify_receipt(json.dumps(receipt).encode(), VerifierKey.read(receipt["key"]))
    assert (found.event["number"], found.event["user"], found.checkpoint.size >= number) == (number, "alice", True)
    assert running.api("GET", "/audit/key", user="alice").json() == {"key": receipt["key"]}
    answers = [running.api("GET", f"/audit/proof?event={each}", user="alice", check=False) for each in (1, 10_000_000)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    assert running.api("GET", "/audit/proof?event=10000000", check=False).status_code == 404
    for wrong in ("0", "-1", "x", str(2**63)):
        assert running.api("GET", f"/audit/proof?event={wrong}", check=False).status_code == 422


def test_two_lengths_of_the_record_fit(running: Appliance) -> None:
    """By the proof that the appliance gives; what is longer than the record or upside down is refused."""
    first = running.api("GET", "/audit/checkpoint").json()
    sign(running, 3)
    second = running.api("GET", "/audit/checkpoint").json()
    query = f"/audit/consistency?from={first['size']}&to={second['size']}"
    proof = [base64.b64decode(each) for each in running.api("GET", query).json()["proof"]]
    roots = (base64.b64decode(first["root"]), base64.b64decode(second["root"]))
    tree.check_consistency(first["size"], second["size"], proof, *roots)
    for wrong in ("from=5&to=3", "from=1&to=10000000", "from=10000000", "to=3"):
        assert running.api("GET", f"/audit/consistency?{wrong}", check=False).status_code == 422


def test_batches_are_counted_over_threads(running: Appliance, tmp_path: Path) -> None:
    """RSA and P-384 batches are signed on several threads; every signature has its number and the hash fits."""
    for key_type in ("rsa:2048", "ec:P-384"):
        label = key_type.replace(":", "-")
        running.add_key(label, key_type, pin=None)
        body = {"digests": [DIGEST] * 50, "hash": "SHA-256"}
        assert (
            len(running.api("POST", f"/cores/1/keys/{label}/sign-batch", body, user="alice").json()["signatures"]) == 50
        )
    running.cli("audit", "export", "-o", tmp_path / "export")
    report = verify_export((tmp_path / "export").read_bytes().splitlines(), None, [])
    assert not [each for each in report.findings if "not those that it counted" in each]


def test_checkpoints_are_sent_and_hold_over_restarts(new_appliance: Callable[..., Appliance], tmp_path: Path) -> None:
    """`serve` appends them to a file; after a restart, with another run of the keeper, the record still fits them."""
    kept = tmp_path / "kept"
    appliance = new_appliance("--checkpoint-file", str(kept), "--checkpoint-every", "1", "--workers", "2")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    appliance.add_user("alice")
    appliance.add_rule("alice")
    appliance.add_key("release", pin=None)
    sign(appliance, 5)
    appliance.stop()
    before = list(split(kept.read_text()))
    assert len(before) >= 2
    appliance.start()
    sign(appliance, 5)
    os.kill(appliance.keeper_process(), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while appliance.api("GET", "/health/ready", check=False).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    sign(appliance, 5)
    appliance.cli("audit", "export", "-o", tmp_path / "export")
    report = verify_export((tmp_path / "export").read_bytes().splitlines(), None, list(split(kept.read_text())))
    assert (report.findings, report.signatures) == ([], 15)
    assert report.kept >= len(before)


def test_a_receipt_says_which_key_it_was(running: Appliance) -> None:
    """By the public half of each version; to who was refused it says nothing of a key that may not be there."""
    made = running.api("POST", "/cores/1/keys", {"label": "turning", "type": "ec:P-256"}).json()
    running.api("POST", "/rules", {"user": "alice", "core": 1, "operations": ["key:sign"], "keys": "turning"})
    turned = running.api("POST", "/cores/1/keys/turning/rotate").json()
    place = "/cores/1/keys/turning/sign"
    signed = running.api("POST", place, {"data": "eA=="}, user="alice").json()["event"]
    receipt = running.api("GET", f"/audit/proof?event={signed}", user="alice").json()
    found = verify_receipt(json.dumps(receipt).encode(), None)
    assert found.public_keys == tuple(
        hashlib.sha256(base64.b64decode(key["public_key"])).hexdigest() for key in (made, turned)
    )
    running.api("POST", "/cores/1/keys/turning/disable")
    refused = running.api("POST", place, {"data": "eA=="}, user="alice", check=False).json()["event"]
    assert running.api("GET", f"/audit/proof?event={refused}", user="alice").json()["made"] == []
