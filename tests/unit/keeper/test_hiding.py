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
