"""What went wrong at our peers, one by one: the test that shows that it does not happen here, or why it cannot.

The advisories are those that Cosmian KMS publishes of itself (its SECURITY.md, 2025 and 2026), and what OpenBao and
step-ca published in 2026. `SHOWN` names tests as `file::test`; they exist, and those that exist nowhere else are here.
"""

import ast
import base64
import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from privyseal.access.passwords import Recognised, hash_password, verify_password
from privyseal.keeper.pins import PINs
from privyseal.operations.manage_cores import blank_core
from privyseal.wire import keywrap
from support.appliance import Appliance

TESTS = Path(__file__).parents[1]
HERE = "security/test_advisories.py"

SHOWN: dict[str, tuple[str, ...]] = {
    "GHSA-8mmx-f92q-2gq8: extractable stored and not enforced": (
        "unit/keeper/test_life.py::test_an_export",
        "life/test_life.py::test_import_and_export",
    ),
    "GHSA-pvw2-jxwc-95xq, 2026-020: a grant on a reserved name opens creation": (
        "security/test_groups_and_tags.py::test_nobody_gives_himself_more_by_a_label_or_tag",
        "unit/access/test_decide.py::test_no_rule_is_suggested_for_a_pattern_that_the_asker_chose",
        f"{HERE}::test_a_key_cannot_be_called_like_a_pattern",
    ),
    "GHSA-c75c-3cmm-48h7: protection stripped by who may only read": (
        "security/test_every_endpoint.py::test_each_operation_lets_in_where_it_is_needed_and_nowhere_else",
        "unit/keeper/test_life.py::test_a_policy_needs_the_pin_and_never_lets_a_key_out",
    ),
    "2026-026: buffer overflows in C_GetAttributeValue and C_Encrypt": (
        "interop/test_module_calls.py::test_lengths_that_lie",
        "interop/test_module_errors.py::test_attributes_are_answered_one_by_one",
        "interop/test_module_errors.py::test_null_pointers_and_impossible_lengths_are_bad_arguments",
    ),
    "2026-025, 2026-016, 2026-017, 2026-018: the right to another operation was enough": (
        "security/test_every_endpoint.py::test_each_operation_lets_in_where_it_is_needed_and_nowhere_else",
        "security/test_groups_and_tags.py::test_nobody_gives_himself_more_by_a_label_or_tag",
    ),
    "2026-024, 2026-012, 2026-007, 2025-008: an endpoint without authentication": (
        "security/test_every_endpoint.py::test_the_table_is_complete",
        "security/test_every_endpoint.py::test_who_gets_in",
    ),
    "2026-023, 2026-003: another key in the place of one, by tag or by import": (
        f"{HERE}::test_nothing_takes_the_place_of_a_key",
        "security/test_groups_and_tags.py::test_changes_that_are_refused",
    ),
    "2026-015: a key was written back in clear when its use was counted": (
        "unit/keeper/test_life.py::test_a_counter_is_no_key_and_holds_none",
        "security/test_private_keys.py::test_no_worker_has_the_private_bytes_and_the_keeper_has",
    ),
    "2026-014: secrets in what a debugger prints": (
        "security/test_operating.py::test_no_secret_is_logged",
        "unit/keeper/test_sealing_and_tickets.py::test_no_message_shows_its_secrets",
        "unit/access/test_passwords.py::test_a_header_prints_nothing",
    ),
    "2026-013: internal errors told to callers": (
        "unit/rest/test_failures.py::test_a_failure_inside_is_told_without_detail",
        "unit/keeper/test_keyring.py::test_the_unexpected_leaves_without_its_words",
    ),
    "2026-011, 2025-001: checked, then changed, then used": (
        f"{HERE}::test_no_signature_is_asked_for_after_a_change_and_answered",
        "security/test_many_processes.py::test_no_signature_is_answered_after_the_rule_is_gone",
        "unit/audit/test_recorder.py::test_a_stale_decision_leaves_nothing",
        "unit/keeper/test_life.py::test_two_workers_share_a_limit",
    ),
    "2026-010, 2026-002: a salt or hash key that everybody knows": (f"{HERE}::test_no_salt_or_hash_key_is_fixed",),
    "2026-008: a cache that outlives a revocation": (
        "security/test_many_processes.py::test_a_deleted_key_signs_in_no_worker",
        "security/test_credentials.py::test_a_revoked_one_is_refused_by_every_worker_at_once",
        f"{HERE}::test_no_signature_is_asked_for_after_a_change_and_answered",
    ),
    "2026-006: many requests at once end the server": (
        "security/test_concurrent_first_requests.py::test_many_connections_at_once_are_verified_once",
        "security/test_wire_attacks.py::test_slow_clients_are_ended_and_idle_crowds_keep_nobody_out",
    ),
    "2026-005: one request is taken for another's caller": (
        f"{HERE}::test_callers_at_once_are_not_mixed_up",
        "unit/operations/test_authenticate.py::test_a_verification_is_not_shared_over_a_change",
    ),
    "2026-004: telemetry in clear": (f"{HERE}::test_nothing_but_tls_is_spoken",),
    "2025-012: a key made anew at each restart ends all sessions": (
        "security/test_many_processes.py::test_keys_and_tickets_outlive_a_restart",
    ),
    # Shown as far as a client sees it over TLS. Not shown: a few microseconds, for which we rely on blinding and on
    # implicit rejection in OpenSSL.
    "2025-011: RSA decryption tells by its time": (
        "security/test_timing.py::test_rsa_takes_as_long_whatever_the_padding",
        "security/test_key_operations.py::test_a_wrong_padding_of_version_1_5_is_no_error",
        "security/test_key_operations.py::test_what_does_not_decrypt_is_recorded_and_says_nothing_more",
    ),
    "2025-009: a way to the key beside the access rules": (
        "security/test_every_endpoint.py::test_who_gets_in",
        "unit/keeper/test_keyring.py::test_the_sealed_policy_has_the_last_word",
        "unit/operations/test_key_life.py::test_administrators_sign_with_no_key_of_any_version",
    ),
    "2025-007: no authentication where TLS does not come up": (
        f"{HERE}::test_nothing_but_tls_is_spoken",
        f"{HERE}::test_without_its_tls_key_it_does_not_serve",
    ),
    "2025-002: certificates with negative serial numbers": (f"{HERE}::test_serial_numbers_are_positive",),
    "OpenBao: a list shows what a rule denies": (
        "security/test_groups_and_tags.py::test_a_rule_by_id_or_tag",
        "security/test_schema.py::test_whatever_is_sent",
    ),
    "OpenBao: special characters in a value widen a policy": (
        "unit/access/test_decide.py::test_only_the_star_is_special",
        "security/test_hostile_input.py::test_the_missing_rule_can_be_pasted",
    ),
    "OpenBao: a token compared byte by byte": (
        f"{HERE}::test_no_secret_is_compared_byte_by_byte",
        "security/test_timing.py::test_users_are_not_told_apart_from_nobody",
    ),
}

CANNOT: dict[str, str] = {
    "2026-028, 2026-021, 2026-009: a URL from a request is fetched": "no request names a URL: test_workers.py",
    "2026-027: revocation status lost or stale": "no certificates are issued yet; 2026-008 is about the rest",
    "2026-022: any token gets a CA certificate": "no certificates are issued yet",
    "2026-019, 2025-003, 2025-004: a dependency had a flaw": "not in the code: docs/adr/0002-dependencies.md",
    "2025-010, 2025-006, 2025-005: OpenID Connect": "no JWT, OAuth or OpenID Connect is spoken",
    "OpenBao: CSR with addresses outside the allowed": "no certificates are issued yet",
    "step-ca: authorisation bypass in ACME and SCEP, SSH revocation": "none of these protocols is spoken",
}


def test_each_advisory_has_its_test_or_its_reason() -> None:
    """Every test that the table names exists, and the peer's numbers are all there."""
    for advisory, shown in SHOWN.items():
        for one in shown:
            file, _, name = one.partition("::")
            there = {
                node.name
                for node in ast.walk(ast.parse((TESTS / file).read_text()))
                if isinstance(node, ast.FunctionDef)
            }
            assert name in there, (advisory, one)
    numbers = set(re.findall(r"202[56]-0\d\d", " ".join([*SHOWN, *CANNOT])))
    assert numbers == {f"2026-{number:03}" for number in range(2, 29)} | {
        f"2025-{number:03}" for number in range(1, 13)
    }


DIGEST = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
BODY = {"hash": "SHA-256", "digest": DIGEST}


@pytest.fixture(scope="module")
def pair(new_appliance: Callable[..., Appliance]) -> Appliance:
    """Two workers; alice may sign with every key, bob may import and make keys."""
    appliance = new_appliance("--workers", "2")
    appliance.api("PUT", "/cores/1", {"pin_required": False})
    for user, operations in (("alice", ["key:sign"]), ("bob", ["key:import", "key:generate"])):
        appliance.add_user(user)
        appliance.add_rule(user, operations=operations)
    return appliance


class Signing:
    """Threads that sign with a key without a pause; each answer with the time at which it was asked for."""

    def __init__(self, appliance: Appliance, key: str, threads: int = 4) -> None:
        self.answers: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._work = [threading.Thread(target=self._run, args=[appliance, key]) for _ in range(threads)]

    def _run(self, appliance: Appliance, key: str) -> None:
        with appliance.client("alice") as client:
            while not self._stop.is_set():
                asked = time.monotonic()
                status = client.post(f"/api/v1/cores/1/keys/{key}/sign", json=BODY).status_code
                self.answers.append((asked, status))

    def since(self, moment: float) -> list[int]:
        """The statuses of what was asked for after a moment."""
        return [status for asked, status in list(self.answers) if asked > moment]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Sign for a while."""
        for thread in self._work:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._work:
                thread.join()

    def wait(self, moment: float, count: int) -> None:
        """Go on until so many were asked for after a moment."""
        deadline = time.monotonic() + 60
        while len(self.since(moment)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


CHANGES: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "disable": ("POST", "/disable", None),
    "destroy": ("DELETE", "", None),
    "policy": ("PUT", "/policy", {"policy": {"operations": []}}),
    "hashes": ("PUT", "/policy", {"policy": {"hashes": ["SHA-512"]}}),
    "time": ("PUT", "/policy", {"policy": {"not_after": "2020-01-01T00:00:00Z"}}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_signature_is_asked_for_after_a_change_and_answered(pair: Appliance, change: str) -> None:
    """Four connections sign in two workers, which have the key open: after the answer to the change all are refused."""
    key = f"changed by {change}"
    pair.add_key(key, pin=None)
    method, path, body = CHANGES[change]
    signing = Signing(pair, key)
    with signing.running():
        signing.wait(0, 40)
        answer = pair.api(method, f"/cores/1/keys/{key}{path}", body, check=False)
        gone = time.monotonic()
        assert answer.is_success, answer.text
        signing.wait(gone, 20)
    assert 200 in signing.since(0)
    assert set(signing.since(gone)) <= {403, 409}


def test_nothing_takes_the_place_of_a_key(pair: Appliance) -> None:
    """Neither an import, nor a new key, nor a new label: the key under a taken label stays what it was."""
    taken, other = pair.add_key("taken", pin=None), pair.add_key("other", pin=None)
    pkcs8 = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for label in ("taken", taken["id"]):
        given = pair.api("POST", "/cores/1/import-key", user="bob").json()
        wrapped = keywrap.wrap(keywrap.load_wrapping_key(base64.b64decode(given["public_key"])), pkcs8)
        body = {"label": label, "import_key": given["id"], "wrapped": base64.b64encode(wrapped).decode()}
        assert pair.api("POST", "/cores/1/import", body, user="bob", check=False).status_code in (409, 422)
        made = pair.api("POST", "/cores/1/keys", {"label": label, "type": "ec:P-256"}, user="bob", check=False)
        assert made.status_code in (409, 422)
        assert pair.api("PUT", "/cores/1/keys/other", {"label": label}, check=False).status_code in (409, 422)
    for key in (taken, other):
        now = pair.api("GET", f"/cores/1/keys/{key['id']}").json()
        assert (now["label"], now["public_key"]) == (key["label"], key["public_key"])
    assert pair.api("GET", "/cores/1/keys/taken").json()["id"] == taken["id"]


def test_a_key_cannot_be_called_like_a_pattern(pair: Appliance) -> None:
    """No label has `*`: a rule for a key of that name would be a rule for all."""
    for label in ("*", "release*"):
        made = pair.api("POST", "/cores/1/keys", {"label": label, "type": "ed25519"}, user="bob", check=False)
        assert (made.status_code, made.json()["errors"][0]["field"]) == (422, "body.label")


def test_no_salt_or_hash_key_is_fixed() -> None:
    """Two of each differ, and what stands in for nobody's password lets nobody in."""
    passwords, pins = (Recognised(), Recognised()), (PINs(), PINs())
    assert passwords[0]._key != passwords[1]._key
    assert pins[0]._hash_key != pins[1]._hash_key
    assert {len(one) for one in (passwords[0]._key, pins[0]._hash_key)} == {32}
    cores = [blank_core("core", pin_required=True) for _ in range(2)]
    assert len({core.pin_salt for core in cores}) == 2
    assert len({hash_password("the same password").split("$")[-2] for _ in range(2)}) == 2
    assert not verify_password("", None)


def test_callers_at_once_are_not_mixed_up(pair: Appliance) -> None:
    """Two users ask at the same time on many connections, each for what only he may; none gets the other's answer."""
    pair.add_key("mine", pin=None)
    wrong: list[tuple[str, int]] = []

    def ask(user: str, status: int) -> None:
        with pair.client(user) as client:
            for _ in range(40):
                answer = client.post("/api/v1/cores/1/keys/mine/sign", json=BODY).status_code
                if answer != status:
                    wrong.append((user, answer))

    threads = [threading.Thread(target=ask, args=who) for who in (("alice", 200), ("bob", 403)) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_nothing_but_tls_is_spoken(pair: Appliance) -> None:
    """Plain HTTP gets no answer in HTTP, not even a redirection."""
    with socket.create_connection(("127.0.0.1", pair.port), 30) as plain:
        plain.sendall(b"GET /api/v1/health/alive HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in plain.recv(1000)
    with pytest.raises(httpx2.TransportError):
        httpx2.get(pair.url.replace("https", "http") + "/api/v1/health/alive", timeout=30, trust_env=False)


def test_without_its_tls_key_it_does_not_serve(new_appliance: Callable[..., Appliance]) -> None:
    """Where it can make no new one either, it ends with an error, and nothing listens where it was."""
    appliance = new_appliance()
    assert appliance.stop() == 0
    for name in ("server.pem", "ca.key"):
        (appliance.data / "tls" / name).write_bytes(b"no key")
    with pytest.raises(RuntimeError, match="TLS authority cannot be read"):
        appliance.start()
    assert appliance.process is not None
    assert appliance.process.wait() != 0
    with pytest.raises(ConnectionError):
        socket.create_connection(("127.0.0.1", appliance.port), 5)


def test_serial_numbers_are_positive(pair: Appliance) -> None:
    """And random, and of at most 20 octets (RFC 5280, section 4.1.2.2)."""
    files = [pair.data / "tls" / name for name in ("ca.pem", "server.pem")]
    serials = [x509.load_pem_x509_certificate(file.read_bytes()).serial_number for file in files]
    assert all(1 << 64 < serial < 1 << 159 for serial in serials)
    assert len(set(serials)) == 2


def test_no_secret_is_compared_byte_by_byte() -> None:
    """What is derived from a secret is compared by `hmac.compare_digest`, verified, or looked up by a keyed hash."""
    source = Path(verify_password.__code__.co_filename).parents[1]
    secret = re.compile(r"\b(digest|mac|token|tag|secret)s?\b *[!=]= *(?!None)|[!=]= *(digest|mac|token|secret)\b")
    found = [
        f"{file.name}: {line.strip()}"
        for folder in ("access", "keeper")
        for file in sorted((source / folder).glob("*.py"))
        for line in file.read_text().splitlines()
        if secret.search(line)
    ]
    assert found == []
