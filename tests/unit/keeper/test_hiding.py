"""A file that a process has hidden from itself: no way leads back, and everything else stays as it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys
from pathlib import Path
from privyseal.keeper.hardening import deny_new_privileges
from privyseal.keeper.hiding import hide
secret, other = Path(sys.argv[1]), Path(sys.argv[2])
deny_new_privileges()
done = {"hidden": hide(secret)}
def attempt(name, work):
    try:
        work()
        done[name] = True
    except OSError as error:
        done[name] = False
link = other.with_name("link")
attempt("read", secret.read_bytes)
attempt("write", lambda: secret.write_bytes(b"x"))
attempt("link", lambda: (os.link(secret, link), link.read_bytes()))
attempt("symlink", lambda: (os.symlink(secret, str(link) + "2"), Path(str(link) + "2").read_bytes()))
attempt("rename", lambda: (os.rename(secret, link), link.read_bytes()))
attempt("parent", lambda: Path(f"/proc/{os.getppid()}/root{secret}").read_bytes())
attempt("self", lambda: Path(f"/proc/self/root{secret}").read_bytes())
attempt("child", lambda: os.system(f"cat {secret} >/dev/null 2>&1") and 1 / 0)
attempt("other", other.read_bytes)
attempt("new", lambda: (other.with_name("new").write_text("x"), other.with_name("new").read_text()))
attempt("libraries", lambda: __import__("wave"))
print(json.dumps(done))
"""


def test_a_hidden_file_is_gone(tmp_path: Path) -> None:
    """Neither by its name, links, a rename, /proc nor a child; files elsewhere are read, written and made."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "data").mkdir()
    secret, other = tmp_path / "keys" / "unlock.key", tmp_path / "data" / "other"
    secret.write_bytes(b"s")
    other.write_bytes(b"o")
    script = SCRIPT.replace("and 1 / 0", "and os.stat('/nowhere/at/all')")
    answer = subprocess.run([sys.executable, "-c", script, secret, other], capture_output=True, text=True, check=True)
    done = json.loads(answer.stdout)
    if not done.pop("hidden"):
        pytest.skip("this kernel has no Landlock (landlock(7), Linux 5.13): a worker warns of it, nothing is promised")
    allowed = {name for name, worked in done.items() if worked}
    assert allowed == {"other", "new", "libraries"}
    assert secret.read_bytes() == b"s"


CONNECTING = """
import ctypes, json, os, socket, struct, sys, tempfile
from privyseal.keeper.hardening import deny_new_privileges
from privyseal.keeper.hiding import forbid_connecting
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
path = os.path.join(tempfile.mkdtemp(), "unix")
local = socket.socket(socket.AF_UNIX)
local.bind(path)
local.listen()
deny_new_privileges()
done = {"forbidden": forbid_connecting()}
accepted = listener.accept()[0]
def attempt(name, work):
    try:
        work()
        done[name] = True
    except PermissionError:
        done[name] = False
def turn_around():
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.connect(accepted.fileno(), nowhere, len(nowhere)) == 0
    accepted.connect(listener.getsockname())
attempt("send", lambda: accepted.sendall(b"x"))
attempt("accept", lambda: client.recv(1))
attempt("unix", lambda: socket.socket(socket.AF_UNIX).connect(path))
attempt("tcp", lambda: socket.create_connection(listener.getsockname()))
attempt("turn around", turn_around)
print(json.dumps(done))
"""


def test_a_process_that_may_not_connect() -> None:
    """Neither with a new socket nor with one that it has accepted; Unix sockets and what is open go on working."""
    answer = subprocess.run([sys.executable, "-c", CONNECTING], capture_output=True, text=True, check=True)
    done = json.loads(answer.stdout)
    if not done.pop("forbidden"):
        pytest.skip("this kernel's Landlock knows no network (Linux 6.7): the seccomp filter alone is in force")
    assert {name for name, worked in done.items() if worked} == {"send", "accept", "unix"}
