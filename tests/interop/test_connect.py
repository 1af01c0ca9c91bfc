"""`privyseal connect` on hosts of three kinds, judged by openssl and p11tool, and taken back byte for byte.

Always true: root's host is this machine with a layer over /etc and /usr/local/lib that is gone with the test (a mount
namespace), and the user's host is a home folder seen by a user number that is not root's (a user namespace).
"""

import json
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.appliance import PIN, Appliance
from support.debian import debian11, fetched
from support.processes import BIN, ROOT, base_environment
from support.terminal import Dialogue, converse
from support.trees import tree

LAYERED = ("/etc", "/usr/local/lib")
LAYERS = """\
mount -t tmpfs layers "$LAYERS"
for folder in {folders}; do
    mkdir -p "$LAYERS/upper$folder" "$LAYERS/work$folder" "$LAYERS/lower$folder"
    cp -a $folder/. "$LAYERS/lower$folder" || true  # a copy: other tests put files of theirs into /etc meanwhile
    rm -f "$LAYERS/lower$folder"/pkcs11/modules/privyseal-test-*
    mount -t overlay overlay \\
        -o "lowerdir=$LAYERS/lower$folder,upperdir=$LAYERS/upper$folder,workdir=$LAYERS/work$folder" $folder
done
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def namespaces(*options: str) -> bool:
    """Whether this machine gives them to us."""
    return subprocess.run(["unshare", *options, "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def appliance(new_appliance: Callable[..., Appliance]) -> Appliance:
    """One whose keys and rules are known: alice may sign with `release`."""
    made = new_appliance()
    made.add_user("alice")
    made.add_user("bob")
    made.add_key("release")
    made.add_rule("alice", "release*")
    return made


@pytest.fixture
def home(tmp_path: Path, appliance: Appliance) -> Path:
    """A home folder with what alice has on her host before: her password, a PIN, a file to sign."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    for name, content in (("password", appliance.passwords["alice"]), ("pin", PIN), ("mydata", "data")):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"{content}\n")
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    """Runs a program in that home folder, with no terminal."""

    def start(*words: str | Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in base_environment().items() if k != "XDG_CONFIG_HOME"}
        done = subprocess.run(
            words,
            cwd=home,
            env={**environment, "HOME": str(home), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    return start


@pytest.fixture
def connect(run: Run, appliance: Appliance) -> Run:
    """`privyseal connect`, with who and where."""

    def start(*more: str | Path, user: str = "alice", **options: object) -> subprocess.CompletedProcess[str]:
        who = ("--user", user, "--password-file", "password")
        return run(BIN / "privyseal", "connect", appliance.url, *who, *more, **options)

    return start


def as_root_in_layers(run: Run, script: str, layers: Path, *words: str, **options: bool) -> str:
    """Run a shell script as root on a host whose changes are gone afterwards."""
    layers.mkdir()
    maps = [] if namespaces("--mount") else ["--map-root-user"]
    if maps and not namespaces("--mount", *maps):
        pytest.skip("this machine has no mount namespaces for us")
    whole = f"set -eu\n{LAYERS.format(folders=' '.join(LAYERED))}\n{script}"
    done = run("unshare", "--mount", *maps, "bash", "-c", whole, "bash", *words, LAYERS=str(layers), **options)
    return done.stdout


SIGN = """\
openssl dgst -sha256 -engine pkcs11 -keyform engine -passin file:pin -sign 'pkcs11:object=release' -out sig mydata
privyseal key public release >key.pem
OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify key.pem -signature sig mydata
"""
TREE = f"{shlex.quote(str(BIN / 'python'))} {ROOT}/tests/support/trees.py /etc /usr/local/lib"


@pytest.mark.parametrize("system", [False, True], ids=["own openssl.cnf", "--system"])
def test_root_sets_the_host_up_and_takes_it_back(
    run: Run,
    appliance: Appliance,
    tmp_path: Path,
    system: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    """Over an older client configuration; twice, and the second time is taken back to the first."""
    script = f"""
    mkdir /etc/privyseal; umask 077
    echo '{{"url": "https://old.example", "user": "old", "pass": "old", "log_level": 2}}' >/etc/privyseal/client.json
    touch -d 2020-01-01 /etc/privyseal/client.json
    {TREE} >before
    connect="privyseal connect {appliance.url} --user alice --password-file password --yes {"--system" * system}"
    $connect; {TREE} >once
    {"" if system else "export OPENSSL_CONF=/etc/privyseal/openssl.cnf"}
    {SIGN}
    p11tool --list-token-urls
    grep log_level /etc/privyseal/client.json
    unset OPENSSL_CONF; privyseal doctor --pin-file pin --quiet
    $connect --core 1; privyseal connect --undo; {TREE} >again; cmp once again
    privyseal connect --undo; {TREE} >after; cmp before after
    """
    shown = as_root_in_layers(run, script, tmp_path / "layers")
    assert "Verified OK" in shown
    assert "token=core1" in shown
    assert '"log_level": 2' in shown
    changed = "/etc/ssl/openssl.cnf" if system else "/etc/privyseal/openssl.cnf"
    for path in ("/etc/privyseal/client.json", "/etc/pkcs11/modules/privyseal.module", changed):
        assert f"wrote {path}\n" in shown or f"wrote /usr/lib/ssl/{Path(path).name}\n" in shown
    assert "an earlier `privyseal connect` is in force again" in shown


def test_what_was_changed_meanwhile(run: Run, appliance: Appliance, tmp_path: Path) -> None:
    """--undo takes our block out of the system's file around a later line, and does not overwrite a file of ours."""
    script = f"""
    cp /etc/ssl/openssl.cnf /etc/ssl/openssl.cnf.before
    privyseal connect {appliance.url} --user alice --password-file password --yes --system --quiet 2>&1
    echo '# by the administrator' >>/etc/ssl/openssl.cnf
    echo >>/etc/privyseal/client.json
    privyseal connect --undo 2>&1 && exit 1
    test -e /etc/privyseal/client.json; grep privyseal_pkcs11 /etc/ssl/openssl.cnf
    privyseal connect --undo --yes; test ! -e /etc/privyseal
    (cat /etc/ssl/openssl.cnf.before; echo '# by the administrator') | cmp - /etc/ssl/openssl.cnf
    """
    shown = as_root_in_layers(run, script, tmp_path / "layers")
    assert "privyseal: /etc/privyseal/client.json: changed since `privyseal connect` wrote it" in shown
    assert "hint: privyseal connect --undo --yes" in shown


def test_a_user_sets_up_a_home_folder_and_takes_it_back(run: Run, appliance: Appliance, home: Path) -> None:
    """p11-kit finds the module there, openssl signs, and then the folder holds what it held before."""
    person = ("--user", "--map-user=1000", "--map-group=1000")
    if not namespaces(*person):
        pytest.skip("this machine has no user namespaces for us")
    before = tree(home)
    script = f"""set -eu; umask 022
    privyseal connect {appliance.url} --user alice --password-file password --yes
    p11tool --list-token-urls
    privyseal doctor --pin-file pin --quiet
    export OPENSSL_CONF=~/.config/privyseal/openssl.cnf
    {SIGN}
    """
    shown = run("unshare", *person, "bash", "-c", script).stdout
    assert "Verified OK" in shown
    assert "token=core1" in shown
    assert stat.S_IMODE((home / ".config").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / ".config/privyseal/client.json").stat().st_mode) == 0o600
    run("unshare", *person, BIN / "privyseal", "connect", "--undo")
    for made in ("sig", "key.pem"):
        (home / made).unlink()
    (home / ".cache").rmdir()  # GnuTLS made it
    assert tree(home) == before


def test_the_commands_that_it_prints_work(connect: Run, run: Run, home: Path) -> None:
    """As they stand there, with FILE replaced; the PIN is typed at openssl's prompt. Nothing is outside the prefix."""
    before = tree(home)
    shown = connect("--yes", "--prefix", "here").stdout
    sign, public, verify = [line.strip().replace("FILE", "mydata") for line in shown.split("\n  ")[1:]]
    environment = {**base_environment(), "HOME": str(home)}
    typed = converse(
        ["bash", "-c", sign], prompt=r"PIN for [^:]*:", answer=PIN, environment=environment, directory=home
    )
    assert typed.status == 0, typed.screen
    run("bash", "-c", public)
    assert run("bash", "-c", verify).stdout == "Verified OK\n"
    for made in ("mydata.sig", "key.pem"):
        (home / made).unlink()
    assert {path.name for path in home.iterdir()} == {"password", "pin", "mydata", "here"}
    assert run(BIN / "privyseal", "connect", "--undo", "--prefix", "here").stdout.count("removed ") > 5
    assert tree(home) == before


def test_what_it_answers_to_programs(connect: Run, run: Run, home: Path, appliance: Appliance) -> None:
    """With --json; the fingerprint is the one that `serve` printed."""
    fingerprint = appliance.ready_line.split()[-1]
    answer = json.loads(connect("--fingerprint", fingerprint, "--prefix", "here", "--json").stdout)
    assert (answer["url"], answer["user"]) == (appliance.url, "alice")
    assert [key["label"] for key in answer["keys"]] == ["release"]
    assert set(answer["openssl"]) == {"version", "way"}
    assert str(home / "here/etc/privyseal/client.json") in answer["written"]
    undone = json.loads(run(BIN / "privyseal", "connect", "--undo", "--prefix", "here", "--json").stdout)
    assert (undone["restored"], undone["earlier"]) == ([], 0)


def test_the_ca_may_come_by_another_way(run: Run, home: Path, appliance: Appliance) -> None:
    """With --ca-file nothing has to be compared."""
    known = (BIN / "privyseal", "--ca-file", appliance.ca_file)
    run(*known, "connect", appliance.url, "--user", "alice", "--password-file", "password", "--prefix", "here")
    assert (home / "here/etc/privyseal/ca.pem").read_text() == appliance.ca_file.read_text()


def at_a_terminal(home: Path, prompt: str, answer: str, *words: str | Path) -> Dialogue:
    """Run `privyseal connect` where a person types."""
    environment = {**base_environment(), "HOME": str(home)}
    whole = [BIN / "privyseal", "connect", *words, "--user", "alice", "--prefix", "here"]
    return converse(whole, prompt=prompt, answer=answer, environment=environment, directory=home)


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 1), ("", 1)])
def test_the_fingerprint_is_shown_and_asked_for(answer: str, status: int, home: Path, appliance: Appliance) -> None:
    """No is the answer unless a person types yes, and then nothing is written."""
    done = at_a_terminal(home, r"\[y/N\]: ", answer, appliance.url, "--password-file", "password")
    assert (done.status, done.prompts) == (status, 1), done.screen
    assert appliance.ready_line.split()[-1] in done.screen
    assert (home / "here").exists() == (status == 0)


def test_a_typed_password_is_in_the_configuration_and_nowhere_else(home: Path, appliance: Appliance) -> None:
    password = appliance.passwords["alice"]
    done = at_a_terminal(home, r"Password of alice: ", password, appliance.url, "--yes")
    assert (done.status, done.prompts) == (0, 1), done.screen
    assert password not in done.screen
    holding = [path for path in (home / "here").rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert holding == [home / "here/etc/privyseal/client.json"]
    assert stat.S_IMODE(holding[0].stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--user", "alice", "--password-file", "password"), 2, "compare sha256:"),
        (("--user", "alice", "--yes"), 2, "there is no terminal to ask at: give --password-file FILE"),
        (("--user", "alice", "--password-file", "pin", "--yes"), 5, "the user name or the password is not right"),
        (("--password-file", "password", "--yes"), 2, "say where the appliance is and as whom"),
        (("--user", "alice", "--password-file", "none", "--yes"), 1, "none: cannot be read"),
        (
            ("--user", "alice", "--password-file", "password", "--fingerprint", "sha256:" + "0" * 64),
            1,
            "not the one that was given",
        ),
        (("--user", "alice", "--password-file", "password", "--fingerprint", "md5:1"), 2, "must be sha256:"),
    ],
)
def test_refusals_write_nothing(
    words: tuple[str, ...], status: int, said: str, run: Run, home: Path, appliance: Appliance
) -> None:
    before = tree(home)
    done = run(BIN / "privyseal", "connect", appliance.url, *words, "--prefix", "here", check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert tree(home) == before


def test_a_locked_appliance(run: Run, home: Path, new_appliance: Callable[..., Appliance]) -> None:
    locked = new_appliance()
    locked.cli("lock")
    words = ("connect", locked.url, "--user", "alice", "--password-file", "password", "--yes", "--prefix", "here")
    assert run(BIN / "privyseal", *words, check=False).returncode == 4
    assert not (home / "here").exists()


def test_what_an_administrator_still_has_to_do(connect: Run, home: Path, appliance: Appliance) -> None:
    """Without a rule or with a core that is not there the host is set up all the same, and the gap is named."""
    assert "alice sees no core 7" in connect("--yes", "--prefix", "here", "--core", "7").stderr
    (home / "password").write_text(appliance.passwords["bob"])
    said = connect("--yes", "--prefix", "here", user="bob")
    assert "privyseal rule create --user bob --core 1 --operations key:sign --keys '*'" in said.stderr
    assert "-sign pkcs11:object=LABEL" in said.stdout


def test_settings_that_are_nobody_elses_are_kept(connect: Run, home: Path) -> None:
    """How to log stays; the PIN for new keys stays for the same user of the same appliance and goes for another."""
    connect("--yes", "--prefix", "here")
    path = home / "here/etc/privyseal/client.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"keygen_pin": PIN, "timeout_ms": 5000, "fingerprint": "sha256:x"}))
    connect("--yes", "--prefix", "here")
    assert json.loads(path.read_text()) == document | {"keygen_pin": PIN, "timeout_ms": 5000}
    path.write_text(json.dumps(document | {"user": "carol", "keygen_pin": PIN, "timeout_ms": 5000}))
    connect("--yes", "--prefix", "here")
    assert json.loads(path.read_text()) == document | {"timeout_ms": 5000}


def test_notes(connect: Run, run: Run, home: Path) -> None:
    """A password file that everybody reads, no engine, no openssl, and another configuration that goes first."""
    (home / "password").chmod(0o644)
    assert f"chmod o-r {home}/password" in connect("--yes", "--prefix", "here").stderr
    (home / "none").mkdir()
    bare = connect("--yes", "--prefix", "bare", OPENSSL_ENGINES="none", OPENSSL_MODULES="none")
    assert "apt-get install libengine-pkcs11-openssl" in bare.stderr or "pkcs11-provider" in bare.stderr
    assert not (home / "bare/etc/privyseal/openssl.cnf").exists()
    assert "privyseal doctor" in bare.stdout
    without = connect("--yes", "--prefix", "without", PATH="none")
    assert "apt-get install openssl" in without.stderr
    assert run(BIN / "privyseal", "connect", "--undo", "--prefix", "none", check=False).returncode == 1


def test_a_configuration_that_goes_before_ours(run: Run, home: Path, appliance: Appliance, tmp_path: Path) -> None:
    """Root's own file shadows the host's, and so does PRIVYSEAL_CONFIG."""
    (home / ".config" / "privyseal").mkdir(parents=True)
    (home / ".config" / "privyseal" / "client.json").write_text("{}")
    connect = f"privyseal connect {appliance.url} --user alice --password-file password --yes 2>&1"
    shown = as_root_in_layers(run, f"{connect}; PRIVYSEAL_CONFIG=x {connect}", tmp_path / "layers")
    assert f"{home}/.config/privyseal/client.json goes before /etc/privyseal/client.json" in shown
    assert "unset PRIVYSEAL_CONFIG" in shown


@pytest.fixture
def openssl_1_1_1() -> dict[str, str]:
    """Debian 11's openssl first in PATH, with its own libraries and engine."""
    root = debian11()
    (engine,) = root.glob("usr/lib/*/engines-1.1/pkcs11.so")
    folders = {"LD_LIBRARY_PATH": str(engine.parents[1]), "OPENSSL_ENGINES": str(engine.parent)}
    return folders | {"PATH": f"{root / 'usr/bin'}:{base_environment()['PATH']}"}


@pytest.fixture
def provider(tmp_path: Path) -> dict[str, str]:
    """This machine's OpenSSL with the provider that Debian 12 has in its backports, and with no engine."""
    if not (subprocess.check_output(["openssl", "version"], text=True).startswith("OpenSSL 3.0.")):
        pytest.skip("Debian 12's provider is for Debian 12's OpenSSL 3.0")
    root = fetched("pkcs11-provider", "bookworm-backports", "pkcs11-provider")
    (library,) = root.glob("usr/lib/*/ossl-modules/pkcs11.so")
    return {"OPENSSL_MODULES": str(library.parent), "OPENSSL_ENGINES": str(tmp_path)}


@pytest.mark.parametrize(
    ("host", "said"),
    [("openssl_1_1_1", "OpenSSL 1.1.1, engine "), ("provider", "provider ")],
)
def test_other_openssls(host: str, said: str, connect: Run, run: Run, request: pytest.FixtureRequest) -> None:
    """The configuration fits the OpenSSL that is there: doctor signs through it and finds every link sound."""
    variables: dict[str, str] = request.getfixturevalue(host)
    connect("--yes", "--prefix", "here", **variables)
    configuration = {"PRIVYSEAL_CONFIG": "here/etc/privyseal/client.json"}
    done = run(BIN / "privyseal", "doctor", "--pin-file", "pin", **configuration, **variables)
    assert said in done.stdout
    assert "skipped" not in done.stdout
    assert done.stdout.endswith("Verified OK\n")
