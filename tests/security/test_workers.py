"""What a web process that was taken over could still do, and that no request makes it do anything like it.

No program, no other process's memory, no way out: what it takes is not there any more. And no request has it read a
file that it names, follow a redirection, or connect to where it says.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.appliance import Appliance
from support.endpoints import DOCUMENT, endpoints, filled, resolved
from support.postgresql import PostgreSQL

CANARY = "what nobody may read over the network"
FILTERED = """
import ctypes, json, os, platform, socket, sys, threading
from privyseal.keeper.hardening import deny_new_privileges, forbid_calling_out
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
unbound = socket.socket(socket.AF_INET)
assert deny_new_privileges() and forbid_calling_out(network=sys.argv[1] == "network")
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
done = {}
def attempt(name, work):
    try:
        work()
        done[name] = True
    except PermissionError:
        done[name] = False
def call(*arguments):
    if libc.syscall(*arguments) < 0 and ctypes.get_errno() == 1:
        raise PermissionError
for family in ("AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"):
    attempt(family, lambda: socket.socket(getattr(socket, family), socket.SOCK_DGRAM).close())
attempt("bind", lambda: unbound.bind(("127.0.0.1", 0)))
attempt("accept", lambda: listener.accept()[0].sendall(b"x"))
attempt("receive", lambda: client.recv(1))
attempt("thread", lambda: threading.Thread(target=lambda: None).start())
attempt("pair", socket.socketpair)
attempt("execve", lambda: os.execv("/nothing/like/it", ["x"]) if not os.path.exists("/nothing") else None)
attempt("execveat", lambda: call(322 if x86 else 281, -1, b"/nothing", 0, 0, 0))
attempt("ptrace", lambda: call(101 if x86 else 117, 16, os.getppid(), 0, 0))
attempt("memory", lambda: call(310 if x86 else 270, os.getppid(), 0, 0, 0, 0, 0))
attempt("io_uring", lambda: call(425, 1, 0))
attempt("x32", lambda: call(0x40000000 | 41, 2, 1, 0) if x86 else call(425, 1, 0))
print(json.dumps(done))
"""
ALWAYS = {"AF_UNIX", "accept", "receive", "thread", "pair"}


@pytest.mark.parametrize(
    ("mode", "allowed"),
    [("local", ALWAYS), ("network", ALWAYS | {"AF_INET", "AF_INET6", "AF_NETLINK", "bind"})],
)
def test_what_a_filtered_process_can_do(mode: str, allowed: set[str]) -> None:
    """It serves the sockets that it has; the rest fails with EPERM, also by the other numbers of x86-64."""
    done = subprocess.run([sys.executable, "-c", FILTERED, mode], capture_output=True, text=True, check=True)
    assert {name for name, worked in json.loads(done.stdout).items() if worked} == allowed


def is_filtered(process: int) -> bool:
    """Whether a process runs under a filter that was given to it; those of the container count as well."""
    status = Path(f"/proc/{process}/status").read_text()
    filters = re.search(r"^Seccomp_filters:\s+(\d+)$", status, re.MULTILINE)
    ours = re.search(r"^Seccomp_filters:\s+(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    return filters is None or ours is None or int(filters[1]) > int(ours[1])


def test_every_live_worker_is_filtered(place: Appliance) -> None:
    """One filter more than the process that started everything has."""
    workers = place.worker_processes()
    assert workers
    assert all(is_filtered(worker) for worker in workers)


def test_a_worker_reaches_its_database_elsewhere(
    new_appliance: Callable[..., Appliance], postgresql: PostgreSQL
) -> None:
    """PostgreSQL takes new connections, so its workers keep those; programs are gone there too."""
    appliance = new_appliance("--workers", "1", "--database", postgresql.new_database())
    assert appliance.api("GET", "/cores").json()["cores"]
    assert is_filtered(appliance.worker_processes()[0])


@pytest.fixture(scope="module")
def place(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance of one worker with a key."""
    appliance = new_appliance("--workers", "1")
    appliance.add_key("probe")
    (appliance.data / "canary").write_text(CANARY)
    return appliance


@pytest.fixture(scope="module")
def outside() -> Iterator[socket.socket]:
    """Where somebody would like to be called from inside."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003 - as `socket` has it
        yield listener


def texts(endpoint: str) -> Iterator[tuple[str, str]]:
    """Where a request to an endpoint has a text: in its path, its query or its body."""
    method, path = endpoint.split()
    operation = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
    for one in operation.get("parameters", []):
        yield one["in"], one["name"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    for name, schema in (resolved(content["schema"]) if content else {}).get("properties", {}).items():
        if resolved(schema).get("type") not in ("integer", "boolean"):
            yield "body", name


def asked(place: Appliance, endpoint: str, where: str, name: str, value: str) -> tuple[int, str]:
    """A request that is well-formed but for one text."""
    method, path = endpoint.split()
    operation = DOCUMENT["paths"][f"/api/v1{path}"][method.lower()]
    target, query, body = filled(path.replace(f"{{{name}}}", "MARK") if where == "path" else path, operation)
    if where == "body":
        body = {**(body or {}), name: value}
    elif where == "query":
        query[name] = value
    target = target.replace("MARK", value.replace("%", "%25").replace("/", "%2F").replace("?", "%3F"))
    headers = {"Host": value.split("/")[2] or "a"} if "://" in value else {}
    headers |= {"Referer": value, "Forwarded": f"host={value}", "X-Forwarded-Host": value, "X-Original-URL": value}
    answer = place.api(method, target, body, params=query, headers=headers, check=False)
    return answer.status_code, answer.text


DANGEROUS = {"POST /lock", "POST /backup"}  # the one ends the test, the other is a stream for a recipient's name


def test_no_text_of_a_request_is_a_place(place: Appliance, outside: socket.socket) -> None:
    """URLs and paths in every text of every endpoint: nobody is called, no file is shown, nobody is sent elsewhere."""
    port = outside.getsockname()[1]
    values = [f"http://127.0.0.1:{port}/x", f"file://{place.data}/canary", f"../../..{place.data}/canary"]
    wrong: list[Any] = []
    for endpoint in sorted(set(endpoints()) - DANGEROUS):
        for where, name in texts(endpoint):
            for value in values if where == "body" else values[:1]:
                status, text = asked(place, endpoint, where, name, value)
                if status >= 500 or 300 <= status < 400 or CANARY in text:
                    wrong.append((endpoint, name, value, status))
    assert wrong == []
    with pytest.raises(BlockingIOError):
        outside.accept()


def test_nobody_is_sent_to_a_host_that_he_named(place: Appliance) -> None:
    """A path with a slash too many is another path."""
    answer = place.api("GET", "/cores/", headers={"Host": "elsewhere"}, check=False)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:privyseal:problem:not-found")
