"""What the module survives: many threads and sessions, forks, a network that fails in every way, and a long life.

Always true: the module is the built one and runs in this process, or in a guest program that this file compiles; the
appliance is a real one, behind a wire that a test can cut.
"""

import base64
import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from support.appliance import PIN, Appliance
from support.function_list import CKM, Cryptoki, Rv, Session, mechanism
from support.host import Host
from support.wire import Wire, own_authority

GUESTS = Path(__file__).parents[1] / "support" / "guests"
ECDSA_ONLY = mechanism(CKM.ECDSA)
GONE = {Rv.CKR_DEVICE_REMOVED, Rv.CKR_DEVICE_ERROR}


@pytest.fixture(scope="module")
def own_appliance(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that these tests may stop: one user, one key."""
    appliance = new_appliance("--workers", "1")
    appliance.add_user("alice")
    appliance.add_rule("alice")
    appliance.add_key("survivor")
    return appliance


@pytest.fixture(scope="module")
def public_key(own_appliance: Appliance) -> EllipticCurvePublicKey:
    """The public half of the one key."""
    record = own_appliance.api("GET", "/cores/1/keys/survivor").json()
    key = load_der_public_key(base64.b64decode(record["public_key"]))
    assert isinstance(key, EllipticCurvePublicKey)
    return key


@pytest.fixture
def wire(own_appliance: Appliance) -> Iterator[Wire]:
    """A wire to the appliance."""
    wire = Wire(own_appliance.port)
    yield wire
    wire.close()


@pytest.fixture
def load(
    own_appliance: Appliance, new_host: Callable[..., Host], module: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Cryptoki]]:
    """Initialises the module with settings of one's own: `load(url=wire.url, timeout_ms=3000)`."""
    loaded: list[Cryptoki] = []

    def initialize(**settings: object) -> Cryptoki:
        host = new_host(own_appliance, user="alice", **{"log_level": 3, "timeout_ms": 60_000, **settings})
        monkeypatch.setenv("PRIVYSEAL_CONFIG", str(host.config))
        loaded.append(Cryptoki(module))
        loaded[-1].must("C_Initialize", None)
        return loaded[-1]

    yield initialize
    for cryptoki in loaded:
        cryptoki.C_Finalize(None)


def log_in(cryptoki: Cryptoki) -> tuple[Session, int]:
    """A session that is logged in, and the key, which has signed once."""
    session = cryptoki.open(cryptoki.slots()[0])
    assert session.login(PIN) == Rv.CKR_OK
    key = session.key("survivor")
    assert len(session.sign(ECDSA_ONLY, key, bytes(32))) == 64
    return session, key


def check(public: EllipticCurvePublicKey, signature: bytes, digest: bytes) -> None:
    """The signature is the key's over this very digest."""
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    public.verify(encode_dss_signature(r, s), digest, ECDSA(Prehashed(SHA256())))


# -- threads and sessions ---------------------------------------------------------------------------------------------


def test_32_threads_sign_on_one_session_each(load: Callable[..., Cryptoki], public_key: EllipticCurvePublicKey) -> None:
    """Every signature is the one over its own thread's digest."""
    cryptoki = load()
    _, key = log_in(cryptoki)
    sessions = [cryptoki.open(cryptoki.slots()[0]) for _ in range(32)]
    made: dict[bytes, bytes] = {}

    def work(number: int) -> None:
        for turn in range(5):
            digest = bytes([number, turn]) * 16
            made[digest] = sessions[number].sign(ECDSA_ONLY, key, digest)

    threads = [threading.Thread(target=work, args=[number]) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 32 * 5
    for digest, signature in made.items():
        check(public_key, signature, digest)


def test_1000_sessions(load: Callable[..., Cryptoki]) -> None:
    """All are open at a time, each can sign, and closing one leaves the others alone."""
    cryptoki = load()
    first, key = log_in(cryptoki)
    sessions = [cryptoki.open(first.slot) for _ in range(999)]
    assert len({session.handle for session in [first, *sessions]}) == 1000
    for session in (sessions[0], sessions[500], sessions[-1]):
        assert len(session.sign(ECDSA_ONLY, key, bytes(32))) == 64
    cryptoki.must("C_CloseSession", sessions[500].handle)
    assert sessions[500].refusal(ECDSA_ONLY, key, bytes(32)) == Rv.CKR_SESSION_HANDLE_INVALID
    assert len(sessions[501].sign(ECDSA_ONLY, key, bytes(32))) == 64
    cryptoki.must("C_CloseAllSessions", first.slot)
    assert sessions[501].refusal(ECDSA_ONLY, key, bytes(32)) == Rv.CKR_SESSION_HANDLE_INVALID


FORKED = """
import os, sys, warnings
from pathlib import Path
from support.function_list import CKM, Cryptoki, mechanism
warnings.simplefilter("ignore")
pin = sys.stdin.read()
cryptoki = Cryptoki(Path(sys.argv[1]))
child = os.fork()
with cryptoki.initialized():
    session = cryptoki.open(cryptoki.slots()[0])
    assert session.login(pin) == 0
    key = session.key("survivor")
    for _ in range(5):
        assert len(session.sign(mechanism(CKM.ECDSA), key, bytes(32))) == 64
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_fork_between_loading_and_c_initialize(own_appliance: Appliance, new_host: Callable[..., Host]) -> None:
    """Parent and child each initialise, log in and sign."""
    host = new_host(own_appliance, user="alice", timeout_ms=60_000)
    host.run(sys.executable, "-c", FORKED, host.module, input=PIN, PYTHONPATH=str(Path(__file__).parents[1]))


# -- the network ------------------------------------------------------------------------------------------------------


def test_idle_connections_that_a_firewall_resets(load: Callable[..., Cryptoki], wire: Wire) -> None:
    """The next signature is made over a new connection, and the caller notices nothing."""
    session, key = log_in(load(url=wire.url))
    for _ in range(3):
        wire.cut()
        assert len(session.sign(ECDSA_ONLY, key, bytes(32))) == 64


def test_a_node_that_goes_away_is_replaced_by_the_next(
    own_appliance: Appliance, load: Callable[..., Cryptoki], wire: Wire
) -> None:
    """`urls`: the signatures go on through the other node, with the login of before."""
    other = Wire(own_appliance.port)
    try:
        session, key = log_in(load(url=wire.url, urls=[other.url]))
        wire.close()
        for _ in range(3):
            assert len(session.sign(ECDSA_ONLY, key, bytes(32))) == 64
    finally:
        other.close()


@pytest.mark.parametrize("timeout", [1500, 4000])
def test_silence_ends_at_the_time_out(load: Callable[..., Cryptoki], wire: Wire, timeout: int) -> None:
    """The node takes the request and never answers: the caller waits as long as configured, not the usual 10 s."""
    session, key = log_in(load(url=wire.url, timeout_ms=timeout))
    wire.silent = True
    began = time.monotonic()
    assert session.refusal(ECDSA_ONLY, key, bytes(32)) in GONE
    waited = 1000 * (time.monotonic() - began)
    assert 0.9 * timeout <= waited < timeout + 5000  # which a busy machine may add
    wire.silent = False
    wire.cut()
    assert len(session.sign(ECDSA_ONLY, key, bytes(32))) == 64


def test_an_appliance_that_restarts_in_the_middle_of_signatures(
    own_appliance: Appliance, load: Callable[..., Cryptoki], public_key: EllipticCurvePublicKey
) -> None:
    """Killed and started again under four threads: what was signed is right, and the same sessions sign on."""
    cryptoki = load(timeout_ms=30_000)
    first, key = log_in(cryptoki)
    sessions = [cryptoki.open(first.slot) for _ in range(4)]
    stop, answers, made = threading.Event(), set[Rv](), list[bytes]()

    def work(session: Session) -> None:
        while not stop.is_set():
            assert session.sign_init(ECDSA_ONLY, key) == Rv.CKR_OK
            answer, signature = _sign(cryptoki, session)
            answers.add(answer)
            made.extend([signature] if answer == Rv.CKR_OK else [])

    threads = [threading.Thread(target=work, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    own_appliance.stop_hard()
    time.sleep(1)
    own_appliance.start()
    before = len(made)
    deadline = time.monotonic() + 120
    while len(made) < before + 20 and time.monotonic() < deadline:
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(made) >= before + 20
    assert answers <= {Rv.CKR_OK, *GONE}, answers
    for signature in made[:5] + made[-5:]:
        check(public_key, signature, bytes(32))


def _sign(cryptoki: Cryptoki, session: Session) -> tuple[Rv, bytes]:
    room, length = ctypes.create_string_buffer(64), ctypes.c_ulong(64)
    answer = cryptoki.C_Sign(session.handle, bytes(32), ctypes.c_ulong(32), room, ctypes.byref(length))
    return Rv(answer), room.raw


GARBAGE = {
    "nothing of HTTP": b"\x16\x03\x01\x00\x05hello\x00\xff" * 9,
    "no JSON": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "another shape": b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n{"signature":',
    "a list": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[[[[]]]] ",
    "a length that lies": b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "chunks that lie": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"x-more: and more\r\n" * 20_000,
    "deep JSON": b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"[" * 100_000,
    "a signature that is none": b'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"signature":"AAAA"}',
    "a status of its own": b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
}


@pytest.fixture
def talker(own_appliance: Appliance, tmp_path: Path) -> Iterator[tuple[Wire, Path]]:
    """A wire that ends TLS, so that it can say what it likes; and the certificate to trust."""
    trusted, server = own_authority(tmp_path)
    wire = Wire(own_appliance.port, server=server)
    yield wire, trusted
    wire.close()


def test_a_server_that_answers_garbage(load: Callable[..., Cryptoki], talker: tuple[Wire, Path]) -> None:
    """Whatever it says in place of a signature, the call fails in time, and the session signs again afterwards."""
    wire, trusted = talker
    session, key = log_in(load(url=wire.url, ca_file=str(trusted), timeout_ms=60_000))
    for name, said in GARBAGE.items():
        wire.garbage = said
        began = time.monotonic()
        assert session.refusal(ECDSA_ONLY, key, bytes(32)) in GONE, name
        assert time.monotonic() - began < 90, name  # of which 60 are the time-out
        wire.garbage = None
        assert len(session.sign(ECDSA_ONLY, key, bytes(32))) == 64, name


def test_a_server_that_answers_garbage_from_the_start(load: Callable[..., Cryptoki], talker: tuple[Wire, Path]) -> None:
    """A host whose appliance is something else has no slots, and no error."""
    wire, trusted = talker
    for said in GARBAGE.values():
        wire.garbage = said
        cryptoki = load(url=wire.url, ca_file=str(trusted), timeout_ms=60_000)
        assert cryptoki.slots() == []
        cryptoki.must("C_Finalize", None)


# -- a long life ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled guest program."""
    program = tmp_path_factory.mktemp("guests") / "leaks"
    sources = ["-o", program, GUESTS / "leaks.c", "-ldl", "-lpthread"]
    subprocess.run(["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", *sources], check=True)
    return program


@pytest.mark.parametrize("signatures", [2000, pytest.param(100_000, marks=pytest.mark.interop)])
def test_memory_stays_flat(
    own_appliance: Appliance, new_host: Callable[..., Host], leaks: Path, signatures: int
) -> None:
    """A twentieth of the signatures fills every buffer; the rest adds less than a mebibyte."""
    host = new_host(own_appliance, user="alice", log_level=0, timeout_ms=60_000)
    guest = subprocess.run(
        [leaks, host.module, str(signatures)],
        input=PIN,
        capture_output=True,
        text=True,
        env=host.environment,
        timeout=1100,
        check=True,
    )
    first, last = map(int, guest.stdout.split())
    assert last - first < 1024, f"{first} KiB became {last} KiB over {signatures} signatures"
