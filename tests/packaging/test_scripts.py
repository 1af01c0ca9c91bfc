"""What the scripts promise in their first lines, tried on copies of them and with stand-ins for what they call."""

import re
import subprocess
from pathlib import Path

import pytest

from support.processes import ROOT


class Copy:
    """A folder with copies of scripts, and stand-ins that come first in PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("scripts", "programs"):
            (folder / name).mkdir()

    def script(self, name: str) -> Path:
        """Copy a script; what it names of this machine is below the folder then."""
        path = self.folder / "scripts" / name
        text = (ROOT / "scripts" / name).read_text()
        for place in ("/usr/sbin/policy-rc.d", "/etc/postgresql-common"):
            text = text.replace(place, f"{self.folder}{place}")
        path.write_text(text)
        path.chmod(0o755)
        return path

    def program(self, name: str, text: str) -> None:
        """Put a stand-in for a program."""
        path = self.folder / "programs" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a copied script. A signal that is ignored around the tests is not ignored by it."""
        return subprocess.run(
            ["env", "--default-signal", self.folder / "scripts" / name, *arguments],
            env={"PATH": f"{self.folder / 'programs'}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """An empty one."""
    return Copy(tmp_path)


@pytest.mark.parametrize(
    ("end", "status"), [("", 0), ("exit 9", 1), *((f"kill -{n} $PPID", 130) for n in ("INT", "TERM"))]
)
def test_installing_leaves_nothing_behind(copy: Copy, end: str, status: int) -> None:
    """No service starts while apt installs, and everything may start again, however the installation ended."""
    copy.script("install-packages")
    copy.program("id", "echo 0")
    copy.program("dpkg-query", "exit 1")
    copy.program(
        "apt-get",
        f"""[ "$1" = install ] || exit 0
cd {copy.folder}
usr/sbin/policy-rc.d; echo "status $?" >seen
cat etc/postgresql-common/createcluster.d/* >>seen
{end}""",
    )
    assert copy.run("install-packages", "interop").returncode == status
    assert (copy.folder / "seen").read_text() == "status 101\ncreate_main_cluster = false\n"
    assert [path for name in ("usr", "etc") for path in (copy.folder / name).rglob("*") if path.is_file()] == []


def test_installing_leaves_alone_what_was_there(copy: Copy) -> None:
    """An administrator's own policy is neither overwritten nor removed."""
    copy.script("install-packages")
    copy.program("id", "echo 0")
    copy.program("dpkg-query", "exit 1")
    copy.program("apt-get", "")
    own = [copy.folder / "usr/sbin/policy-rc.d", copy.folder / "etc/postgresql-common/createcluster.d/privyseal.conf"]
    for file in own:
        file.parent.mkdir(parents=True)
        file.write_text("own")
    assert copy.run("install-packages", "interop").returncode == 0
    assert [file.read_text() for file in own] == ["own", "own"]


def test_the_locks_agree() -> None:
    """Every version is the same wherever it stands, and no file is without hashes."""
    versions: dict[str, set[str]] = {}
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text().replace("\\\n", "")
        for line in text.splitlines():
            found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)", line)
            assert found, f"{lock.name}: {line}"
            assert "--hash=sha256:" in line, f"{lock.name}: {line}"
            versions.setdefault(found[1], set()).add(found[2])
    assert "coverage" in versions
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_setup_makes_the_environment_anew_for_its_own_locks_only(copy: Copy) -> None:
    """A change of what `make interop` installs elsewhere is none; one made for `dev` serves `demo`."""
    copy.script("setup")
    for file in (ROOT / "pyproject.toml", *ROOT.glob("requirements*.lock")):
        (copy.folder / file.name).write_text(file.read_text())
    copy.program(
        "python3",
        """[ "$*" = "-m venv .venv" ] || exit 0
mkdir -p .venv/bin
for name in python privyseal; do cp "$0" .venv/bin/$name; done""",
    )
    assert "setting up" in copy.run("setup", "dev").stdout
    assert copy.run("setup", "dev").stdout == ""
    (copy.folder / "requirements-interop.lock").write_text("another")
    assert copy.run("setup", "demo").stdout == ""
    (copy.folder / "requirements-build.lock").write_text("another")
    assert "setting up" in copy.run("setup", "demo").stdout


@pytest.fixture
def apt(copy: Copy) -> Path:
    """Stand-ins for apt and dpkg; gives the file in which downloads are noted."""
    copy.script("fetch-debian")
    copy.script("find-mirror")
    copy.program("dpkg", "echo amd64")
    noted = copy.folder / "downloads"
    targets = "http://mirror/security main bookworm-security\nhttp://mirror/debian/ main bookworm\n"
    (copy.folder / "targets").write_text(targets)
    copy.program(
        "apt-get",
        f"""case "$*" in
indextargets*) cat {copy.folder}/targets ;;
*download*) touch one.deb; echo "$@" | sed 's/.*download //' >>{noted} ;;
esac""",
    )
    return noted


def test_another_suite_or_list_is_fetched(copy: Copy, apt: Path) -> None:
    """What is complete is left alone, and only that."""
    for words in (("old", "openssl"), ("old", "openssl"), ("old", "openssl", "curl"), ("new", "openssl", "curl")):
        assert copy.run("fetch-debian", "name", *words).returncode == 0
    assert apt.read_text().splitlines() == ["openssl", "openssl curl", "openssl curl"]
    sources = (copy.folder / "build/name/sources.list").read_text()
    assert sources.endswith("] http://mirror/debian new main\n")


def test_without_a_mirror_there_is_nothing_to_fetch_from(copy: Copy, apt: Path) -> None:
    """And it says so."""
    (copy.folder / "targets").write_text("")
    done = copy.run("fetch-debian", "name", "old", "openssl")
    assert (done.returncode, done.stderr) == (1, "apt has no mirror here\n")
    assert not apt.exists()


def test_a_language_that_failed_or_came_later_is_tried_again(copy: Copy) -> None:
    """What is complete is made once."""
    copy.script("fetch-clients")
    (copy.folder / "requirements-interop.lock").touch()
    clients = copy.folder / "tests/interop/clients"
    for file in ("node/package.json", "node/package-lock.json", "go/go.sum"):
        (clients / file).parent.mkdir(parents=True, exist_ok=True)
        (clients / file).touch()
    made = copy.folder / "made"
    copy.program("npm", "")
    copy.program("python3", f"mkdir -p $4/bin; ln -sf /bin/true $4/bin/pip; echo python >>{made}")
    copy.run("fetch-clients")
    copy.run("fetch-clients")
    assert made.read_text().split() == ["python"]
    copy.program("go", f"echo go >>{made}; exit 1")
    for _ in range(2):
        done = copy.run("fetch-clients")
        assert (done.returncode, "left out crypto11" in done.stderr) == (0, True)
    copy.program("go", f"echo go >>{made}")
    copy.run("fetch-clients")
    copy.run("fetch-clients")
    assert made.read_text().split() == ["python", *["python", "go"] * 3]
