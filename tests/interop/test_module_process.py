"""The PKCS#11 module inside processes that fork, that use threads and that end: what C programs do to it.

Always true: the programs in support/guests are compiled here and run as processes of their own, so that a crash is an
exit status; the PIN reaches them on standard input.
"""

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from support.appliance import PIN, Appliance
from support.function_list import CKM, Cryptoki, Rv, Session, mechanism
from support.host import Host

GUESTS = Path(__file__).parents[1] / "support" / "guests"
NOT_INITIALIZED = "190"
TIMEOUT_SECONDS = 20  # of the configuration


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compiles one of the guest programs."""
    directory = tmp_path_factory.mktemp("guests")

    def compile_guest(name: str) -> Path:
        program = directory / name
        warnings = ["-Wall", "-Wextra", "-Werror"]
        sources: list[str | Path] = ["-o", program, GUESTS / f"{name}.c", "-ldl", "-lpthread"]
        subprocess.run(["gcc", "-std=gnu11", "-O1", "-g", *warnings, *sources], check=True)
        return program

    return compile_guest


@pytest.fixture(scope="module")
def own_appliance(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that these tests may stop: one user, one key."""
    appliance = new_appliance()
    appliance.add_user("alice")
    appliance.add_rule("alice")
    appliance.add_key("guest")
    return appliance


@pytest.fixture(scope="module")
def guest_host(own_appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """The host on which the programs run."""
    return new_host(own_appliance, user="alice", log_level=3, timeout_ms=1000 * TIMEOUT_SECONDS)


# -- exit -------------------------------------------------------------------------------------------------------------


def end(host: Host, program: Path, *arguments: str, while_ending: Callable[[], None] = lambda: None) -> list[list[str]]:
    """Run `at_exit` to its end, which waits for nobody and has the program's own status; return what it printed."""
    running = subprocess.Popen(
        [program, host.module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=host.environment,
    )
    assert running.stdin
    assert running.stdout
    try:
        running.stdin.write(f"{PIN}\n")
        running.stdin.flush()
        assert running.stdout.readline() == "ready\n"
        while_ending()
        began = time.monotonic()
        printed, _ = running.communicate("\n", timeout=30)
        assert running.returncode == 1, printed
        assert time.monotonic() - began < TIMEOUT_SECONDS / 2
    finally:
        running.kill()
        running.wait()
    return [line.split() for line in printed.splitlines()]


def assert_answered(lines: list[list[str]]) -> None:
    """Every handler got its answers; those behind the first find the module finalised."""
    assert [line[0] for line in lines] == ["after", "before", "destructor"]
    assert lines[0][1:3] == ["0", "0"]
    assert lines[0][4:] == ["0", NOT_INITIALIZED]
    assert set(lines[1][1:] + lines[2][1:]) == {NOT_INITIALIZED}


def test_calls_from_exit_handlers_are_answered(guest_host: Host, compiled: Callable[[str], Path]) -> None:
    """The main thread's thread locals are gone then; the program's exit status stays its own."""
    assert_answered(end(guest_host, compiled("at_exit")))


def test_even_signatures_from_exit_handlers_are_made(guest_host: Host, compiled: Callable[[str], Path]) -> None:
    """A program that signs its last words, and logs out, while its thread locals are gone."""
    assert_answered(end(guest_host, compiled("at_exit"), "late"))


@pytest.mark.parametrize("mode", [[], ["busy"]], ids=["idle", "in-the-middle-of-signatures"])
def test_calls_from_exit_handlers_wait_for_no_network(
    own_appliance: Appliance, guest_host: Host, compiled: Callable[[str], Path], mode: list[str]
) -> None:
    """The appliance hangs: a process ends all the same, also past threads that wait for it."""
    assert own_appliance.process
    with ExitStack() as hanging:

        def hang() -> None:
            hanging.enter_context(own_appliance.process.frozen())  # type: ignore[union-attr]
            time.sleep(0.3)

        assert_answered(end(guest_host, compiled("at_exit"), *mode, while_ending=hang))


@pytest.mark.parametrize("pin", ["87654321", PIN])
def test_openssl_ends_with_a_status_of_its_own(own_appliance: Appliance, guest_host: Host, pin: str) -> None:
    """After a refusal the engine closes its sessions from exit handlers: status 1, never a signal's."""
    (guest_host.directory / "mydata").write_text("data")
    serial = own_appliance.api("GET", "/cores/1").json()["token"]["serial"]
    uri = f"pkcs11:serial={serial};object=guest?pin-value={pin}"
    with_engine = ["-engine", "pkcs11", "-keyform", "engine"]
    sign = ["openssl", "dgst", "-sha256", *with_engine, "-sign", uri, "-out", "s", "mydata"]
    assert guest_host.run(*sign, check=False).returncode == (0 if pin == PIN else 1)


# -- fork -------------------------------------------------------------------------------------------------------------


def test_children_start_clean_while_threads_sign(guest_host: Host, compiled: Callable[[str], Path]) -> None:
    """Refused until they initialise, then as good as any process; the parent's threads lose no signature."""
    children = 12
    printed = guest_host.run(compiled("forks"), guest_host.module, str(children), input=f"{PIN}\n").stdout.split("\n")
    assert printed[:children] == [f"child {NOT_INITIALIZED} {NOT_INITIALIZED} 0 0 0"] * children
    made, failed = map(int, printed[children].removeprefix("parent ").split())
    assert made > 0
    assert failed == 0


def test_pkcs11_tools_own_fork_test(guest_host: Host) -> None:
    """The one that SoftHSM2 2.6.1 does not pass."""
    guest_host.run("pkcs11-tool", "--module", guest_host.module, "--login", "--pin", PIN, "--test-fork")


# -- threads ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(module: Path, guest_host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cryptoki]:
    """The module in this process."""
    monkeypatch.setenv("PRIVYSEAL_CONFIG", str(guest_host.config))
    cryptoki = Cryptoki(module)
    with cryptoki.initialized():
        yield cryptoki


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work` with the numbers up to `count` at the same time; the first failure is the test's."""
    failures: list[Exception] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as failure:  # noqa: BLE001 - handed to the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def public_key(appliance: Appliance) -> EllipticCurvePublicKey:
    """The public half of the one key."""
    record = appliance.api("GET", "/cores/1/keys/guest").json()
    key = load_der_public_key(base64.b64decode(record["public_key"]))
    assert isinstance(key, EllipticCurvePublicKey)
    return key


def test_sixteen_threads_get_their_own_signatures(
    running: Cryptoki, own_appliance: Appliance, guest_host: Host
) -> None:
    """Each digest is its thread's own, so a signature handed to the wrong caller would not verify.

    What arrives while a request is under way travels together, which the log tells.
    """
    main = running.open(running.slots()[0])
    assert main.login(PIN) == Rv.CKR_OK
    key, public, slot = main.key("guest"), public_key(own_appliance), running.slots()[0]

    def work(number: int) -> None:
        session = running.open(slot)
        for turn in range(25):
            digest = bytes([number, turn]) * 16
            signature = session.sign(mechanism(CKM.ECDSA), key, digest)
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            public.verify(encode_dss_signature(r, s), digest, ECDSA(Prehashed(SHA256())))

    in_threads(16, work)
    assert "signatures in one request" in guest_host.log.read_text()


def test_threads_that_race_to_initialize(module: Path, guest_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one wins each time, and C_Finalize beside other calls breaks nothing."""
    monkeypatch.setenv("PRIVYSEAL_CONFIG", str(guest_host.config))
    cryptoki = Cryptoki(module)
    for _ in range(20):
        begun: list[Rv] = []
        in_threads(8, lambda _, into=begun: into.append(cryptoki.C_Initialize(None)))  # type: ignore[misc]
        assert sorted(begun) == [Rv.CKR_OK] + [Rv.CKR_CRYPTOKI_ALREADY_INITIALIZED] * 7
        ended: list[Rv] = []
        in_threads(8, lambda _, into=ended: into.append(cryptoki.C_Finalize(None)))  # type: ignore[misc]
        assert sorted(ended) == [Rv.CKR_OK] + [Rv.CKR_CRYPTOKI_NOT_INITIALIZED] * 7


def test_sessions_open_close_and_log_out_beside_signatures(running: Cryptoki) -> None:
    """No call waits for ever and none says something that is not true: signed, or not logged in."""
    slot = running.slots()[0]
    main = running.open(slot)
    assert main.login(PIN) == Rv.CKR_OK
    key = main.key("guest")
    stop = threading.Event()

    def work(number: int) -> None:
        while not stop.is_set():
            session = running.open(slot)
            if number == 0:
                running.C_Logout(session.handle)
                answer = session.login(PIN)
                assert answer == Rv.CKR_OK, repr(answer)
            else:
                answer = session.refusal(mechanism(CKM.ECDSA), key, bytes(32))
                assert answer in {Rv.CKR_OK, Rv.CKR_USER_NOT_LOGGED_IN}, repr(answer)
            running.must("C_CloseSession", session.handle)

    threading.Timer(3, stop.set).start()
    in_threads(6, work)
    assert len(main.sign(mechanism(CKM.ECDSA), key, bytes(32))) == 64


def test_finalize_beside_signatures(module: Path, guest_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads in the middle of their work get an answer that says what happened; the next life starts clean."""
    monkeypatch.setenv("PRIVYSEAL_CONFIG", str(guest_host.config))
    cryptoki = Cryptoki(module)
    ended = {Rv.CKR_CRYPTOKI_NOT_INITIALIZED, Rv.CKR_SESSION_HANDLE_INVALID, Rv.CKR_USER_NOT_LOGGED_IN}
    for _ in range(3):
        cryptoki.must("C_Initialize", None)
        main = cryptoki.open(cryptoki.slots()[0])
        assert main.login(PIN) == Rv.CKR_OK
        key, sessions = main.key("guest"), [cryptoki.open(cryptoki.slots()[0]) for _ in range(6)]
        assert len(main.sign(mechanism(CKM.ECDSA), key, bytes(32))) == 64

        def work(number: int, key: int = key, sessions: list[Session] = sessions) -> None:
            answer = Rv.CKR_OK
            while answer == Rv.CKR_OK:
                answer = sessions[number].refusal(mechanism(CKM.ECDSA), key, bytes(32))
            assert answer in ended, repr(answer)

        finalizer = threading.Timer(0.3, cryptoki.C_Finalize, [None])
        finalizer.start()
        in_threads(6, work)
        finalizer.join()


RELOADED = """
import _ctypes, sys, threading
from pathlib import Path
from support.function_list import CKM, Cryptoki, mechanism

def work(session, key):
    assert len(session.sign(mechanism(CKM.ECDSA), key, bytes(32))) == 64

pin = sys.stdin.read()
for _ in range(4):
    cryptoki = Cryptoki(Path(sys.argv[1]))
    with cryptoki.initialized():
        session = cryptoki.open(cryptoki.slots()[0])
        assert session.login(pin) == 0
        key = session.key("guest")
        threads = [threading.Thread(target=work, args=(cryptoki.open(session.slot), key)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _ctypes.dlclose(cryptoki.library._handle)
"""


def test_it_is_loaded_and_unloaded_again_and_again(guest_host: Host) -> None:
    """As p11-kit does; the threads that signed through it end when its code may be gone."""
    tests = Path(__file__).parents[1]
    guest_host.run(sys.executable, "-c", RELOADED, guest_host.module, input=PIN, PYTHONPATH=str(tests))
