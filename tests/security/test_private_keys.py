"""Private keys are in the keeper's memory and nowhere else.

The test opens the sealed records itself, with the key file and the PIN, to learn the bytes that it looks for.
"""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from privyseal.keeper import sealing, slots
from privyseal.keeper.pins import stretch
from privyseal.operations.appliance import KnownKey
from privyseal.store import appliance as appliance_rows
from privyseal.store import cores, keys
from privyseal.store.store import Store
from support.appliance import PIN, Appliance

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="reading other processes' memory takes root")

TYPES = {"ec:P-256": "memory-ec", "ed25519": "memory-ed", "rsa:2048": "memory-rsa"}


@pytest.fixture(scope="module")
def used(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance with two workers, which both have just signed with three keys over many connections."""
    appliance = new_appliance("--workers", "2")
    appliance.add_user("alice")
    appliance.add_rule("alice", "*")
    for key_type, label in TYPES.items():
        appliance.api("POST", "/cores/1/keys", {"label": label, "type": key_type, "pin": PIN})
        signing_workers: set[str] = set()
        while len(signing_workers) < 2:  # the kernel chooses who gets a connection
            signing_workers.add(worker_that_signed(appliance, label))
    return appliance


def worker_that_signed(appliance: Appliance, label: str) -> str:
    """Sign over a connection of its own; give the worker that answered, by the beginning of the request's id."""
    body = {"data": base64.b64encode(b"x").decode(), "pin": PIN}
    with appliance.client("alice") as client:
        answer = client.post(f"/api/v1/cores/1/keys/{label}/sign", json=body)
    assert answer.is_success
    return answer.headers["x-request-id"].rsplit("-", 1)[0]


def processes(appliance: Appliance) -> dict[str, list[int]]:
    """The process numbers of supervisor, keeper and workers."""
    found: dict[str, list[int]] = {"supervisor": [], "keeper": [], "worker": []}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = command_line(entry)
            if str(appliance.data) in words and "serve" in words:
                found["supervisor"].append(int(entry.name))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and parent(entry) in found["supervisor"]:
            kind = "keeper" if "privyseal.keeper.process" in command_line(entry) else "worker"
            found[kind].append(int(entry.name))
    return found


def command_line(entry: Path) -> str:
    """A process's command line, empty when it has ended meanwhile."""
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def parent(entry: Path) -> int:
    """A process's parent."""
    try:
        return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def memory(process: int) -> Iterator[bytes]:
    """Everything that a process could read or write in its own memory, region by region."""
    with Path(f"/proc/{process}/maps").open() as maps, Path(f"/proc/{process}/mem").open("rb", buffering=0) as mem:
        for line in maps:
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if span is None or "[vvar" in line or "[vsyscall" in line:
                continue
            first, last = (int(part, 16) for part in span.groups())
            mem.seek(first)
            try:
                yield mem.read(last - first)
            except OSError:
                continue


def holds(process: int, secrets: list[bytes]) -> bool:
    """Whether any of the secrets is in a process's memory."""
    return any(secret in region for region in memory(process) for secret in secrets)


def secrets_of(appliance: Appliance, label: str) -> list[bytes]:
    """The private numbers of a key in both byte orders, and its PKCS #8."""
    store = Store.in_directory(appliance.data)
    with store.read() as connection:
        slot = appliance_rows.slots(connection)[0]
        key = keys.by_label(connection, 1, label)
        salt = cores.get(connection, 1).pin_salt
    store.close()
    assert key is not None
    domain = slots.open_slot(slots.decode(slot.sealed), (appliance.data / "unlock.key").read_bytes()).current
    record = KnownKey.of(key).record
    pkcs8 = sealing.open_inner(record, sealing.open_outer(domain, record), stretch(PIN, salt))
    return [pkcs8, *numbers(pkcs8)]


def numbers(pkcs8: bytes) -> list[bytes]:
    """The private numbers, as long as memory may have them, most and least significant byte first."""
    private = load_der_private_key(pkcs8, None)
    match private:
        case ec.EllipticCurvePrivateKey():
            values = [private.private_numbers().private_value]
        case rsa.RSAPrivateKey():
            values = [private.private_numbers().p, private.private_numbers().q, private.private_numbers().d]
        case ed25519.Ed25519PrivateKey():
            return [private.private_bytes_raw()]
        case _:
            raise AssertionError(private)
    return [value.to_bytes((value.bit_length() + 7) // 8, order) for value in values for order in ("big", "little")]


@pytest.mark.parametrize("label", TYPES.values())
def test_no_worker_has_the_private_bytes_and_the_keeper_has(used: Appliance, label: str) -> None:
    """The same search that finds the key in the keeper finds nothing in any worker or in the supervisor."""
    secrets, running = secrets_of(used, label), processes(used)
    assert len(running["worker"]) == 2
    assert holds(running["keeper"][0], secrets)
    assert [process for process in running["worker"] + running["supervisor"] if holds(process, secrets)] == []


def test_a_process_hardened_like_a_worker_cannot_read_the_keeper(used: Appliance) -> None:
    """The same user, even root, without CAP_SYS_PTRACE: the kernel says no."""
    program = (
        "import sys; from privyseal.keeper.hardening import harden_worker; print(harden_worker())\n"
        "try: open(f'/proc/{sys.argv[1]}/mem', 'rb')\n"
        "except PermissionError: sys.exit(7)\n"
    )
    keeper = str(processes(used)["keeper"][0])
    done = subprocess.run([sys.executable, "-c", program, keeper], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done


def test_what_the_processes_gave_up(used: Appliance) -> None:
    """No capability and no new privilege for any; a system call filter for the keeper; no core dumps."""
    running = processes(used)
    for process in running["keeper"] + running["worker"]:
        status = Path(f"/proc/{process}/status").read_text()
        assert re.search(r"CapEff:\s+0+$", status, re.MULTILINE)
        assert re.search(r"CapBnd:\s+0+$", status, re.MULTILINE)
        assert re.search(r"NoNewPrivs:\s+1$", status, re.MULTILINE)
        assert re.search(r"Max core file size\s+0\s+0", Path(f"/proc/{process}/limits").read_text())
    assert re.search(r"Seccomp:\s+2$", Path(f"/proc/{running['keeper'][0]}/status").read_text(), re.MULTILINE)


def test_the_keeper_can_open_no_socket_and_start_no_program() -> None:
    """After hardening, socket(2) and execve(2) fail with EPERM."""
    program = (
        "import os, socket; from privyseal.keeper.hardening import harden_keeper\n"
        "assert harden_keeper()['no_network_no_programs']\n"
        "for what in (socket.socket, lambda: os.execv('/bin/true', ['true'])):\n"
        "    try: what()\n"
        "    except PermissionError: continue\n"
        "    raise SystemExit(1)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_secret_in_files_arguments_or_environments(used: Appliance) -> None:
    """PIN and passwords are in no log, no database page, no command line and no environment."""
    secrets = [PIN.encode(), used.admin_password.encode(), used.passwords["alice"].encode()]
    files = [*used.data.glob("privyseal.db*"), used.directory / "serve.log"]
    running = [process for group in processes(used).values() for process in group]
    files += [Path(f"/proc/{process}/{name}") for process in running for name in ("cmdline", "environ")]
    for file in files:
        content = file.read_bytes()
        assert [secret for secret in secrets if secret in content] == [], file
