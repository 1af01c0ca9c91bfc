"""The appliance under a running systemd: unit and credential are installed word for word as the guide says.

This machine's systemd boots again, in namespaces and over a layer of its own; see `boot.sh` beside this file.
"""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import ROOT, Process, base_environment, descendants
from support.waiting import wait_until

GUIDE = (ROOT / "docs" / "guide" / "production.md").read_text()
NAMESPACES = ["--mount", "--pid", "--fork", "--kill-child", "--net", "--cgroup", "--uts", "--ipc"]
PROGRAM = "#!/opt/privyseal/bin/python\nimport sys\nfrom privyseal.cli import main\nsys.exit(main())\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root boots a systemd")


class Machine:
    """A machine that has booted."""

    def __init__(self, init: int) -> None:
        self._enter = ["nsenter", "-t", str(init), "-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w"]

    def run(self, script: str, *, check: bool = True) -> str:
        """Run a script as its root; give what it prints."""
        environment = {"PATH": "/opt/privyseal/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
        done = subprocess.run(
            [*self._enter, "/bin/sh", "-ec", script],
            capture_output=True, text=True, timeout=120, check=False, env=environment | {"SYSTEMD_PAGER": ""},
        )  # fmt: skip
        if check and done.returncode:
            journal = self.run("journalctl --no-pager -n 50 -o cat", check=False)
            raise AssertionError(f"{script}\n{done.stdout}{done.stderr}\n{journal}")
        return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One with the program in /opt/privyseal, as `pip install` puts it there, and nothing set up."""
    folder = tmp_path_factory.mktemp("machine")
    command = ["unshare", *NAMESPACES, "--propagation", "private", ROOT / "tests/packaging/boot.sh", folder, ROOT]
    booting = Process(command, environment=base_environment(), log=folder.with_name("boot.log"))
    try:
        yield _booted(booting)
    finally:
        booting.kill()


def _booted(booting: Process) -> Machine:
    """Wait until it has booted; where nobody may make such namespaces and layers, there is nothing to try."""
    deadline = time.monotonic() + 120
    while booting.status is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):  # of a process that ends meanwhile
            for pid in descendants(booting.pid):
                if Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                    return _installed(Machine(pid))
        time.sleep(0.1)
    pytest.skip(f"no systemd boots on this machine, status {booting.status}: {booting.log.read_text()}")


def _installed(there: Machine) -> Machine:
    """Make a virtual environment there, with the libraries of this one."""
    there.run("until systemctl is-active basic.target; do sleep 0.2; done")
    (libraries,) = (ROOT / ".venv" / "lib").glob("python3.*/site-packages")
    python = f"/usr/bin/{libraries.parent.name}"  # another one could stand in a home, where the unit sees nothing
    there.run(f"{python} -m venv --without-pip /opt/privyseal")
    there.run(
        f"printf '/opt/tree/src\\n/opt/tree/{libraries.relative_to(ROOT)}\\n' > "
        f"/opt/privyseal/lib/{libraries.parent.name}/site-packages/tree.pth"
    )
    there.run(f"cat > /opt/privyseal/bin/privyseal <<'EOF'\n{PROGRAM}EOF\nchmod 755 /opt/privyseal/bin/privyseal")
    return there


def commands(section: str) -> str:
    """The commands of a section of the guide."""
    found = re.search(rf"^## {section}\n.*?^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


SETTINGS = """
export PRIVYSEAL_URL=https://localhost:8443 PRIVYSEAL_CA_FILE=/var/lib/privyseal/tls/ca.pem
export PRIVYSEAL_USER=$USER PRIVYSEAL_PASSWORD_FILE=/root/$USER.password
cd /root
"""
SIGN = "date > data; privyseal sign data --key release --pin-file pin && privyseal verify data --key release"


def ask(machine: Machine, script: str, user: str = "admin") -> str:
    """Run a script in which `privyseal` is that user."""
    return machine.run(f"USER={user}\n{SETTINGS}{script}")


def running(machine: Machine, module: str) -> str:
    """The unit's processes that run this module, by their ids."""
    return machine.run(f"pgrep -u privyseal -f {module} || true")


def test_as_the_guide_says(machine: Machine) -> None:
    """Installed, unlocked by the credential, signing; the key lies nowhere else."""
    installing = [line for line in commands("Install").splitlines() if line.startswith("install ")]
    assert len(installing) == 4
    machine.run("cd /opt/tree\n" + "\n".join(installing))
    shown = machine.run(commands("The key that unlocks"))
    assert "Active: active (running)" in shown
    assert "answering with" in shown
    machine.run("test ! -e /root/unlock.key -a ! -e /var/lib/privyseal/unlock.key")
    assert machine.run("stat -c %U:%a /etc/privyseal/unlock.key.cred") == "root:600\n"
    machine.run("cp /var/lib/privyseal/admin.password /root/")
    ask(machine, "echo 12345678 > pin; privyseal key create --label release --type ec:P-256 --pin-file pin")
    ask(machine, "echo 'a good password' > alice.password")
    ask(machine, "privyseal user create alice --role operator --password-file alice.password")
    ask(machine, "privyseal rule create --user alice --core 1 --operations key:sign,key:read --keys release")
    assert "Verified OK" in ask(machine, SIGN, "alice")


def test_systemd_keeps_it_running(machine: Machine) -> None:
    """A reload leaves the keeper as it is; whoever is killed comes back, unlocked; `stop` is a clean end."""
    keeper = running(machine, "privyseal.keeper")
    machine.run("systemctl reload privyseal")
    assert running(machine, "privyseal.keeper") == keeper
    for victim in ("privyseal.keeper", "privyseal.app", "bin/privyseal.serve"):
        before = running(machine, victim)
        machine.run(f"kill -9 {before.split()[0]}")
        wait_until(lambda victim=victim, before=before: running(machine, victim) not in ("", before))
        machine.run("while ! systemctl is-active privyseal; do sleep 0.2; done")
        assert "Verified OK" in ask(machine, SIGN, "alice")
    machine.run("systemctl stop privyseal")
    assert machine.run("systemctl show -P Result privyseal") == "success\n"
    assert running(machine, "privyseal") == ""
