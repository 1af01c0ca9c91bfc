"""What the module answers when something is wrong: a CKR code for each refusal, and the host's program lives on.

Always true: the programs here are processes of their own that call the C functions through ctypes, on a real appliance.
"""

import base64
import json
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.appliance import PIN, Appliance
from support.host import Host

PRELUDE = """\
import os, sys, threading
from ctypes import byref, c_ulong, create_string_buffer
from support.cryptoki import *
module = Module()
def pause():
    print("paused", flush=True)
    sys.stdin.readline()
"""
OTHER_PIN = "87654321"


@pytest.fixture(scope="module")
def erin(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user may sign with `errors-…`: three keys, of which `errors-other` has a PIN of its own."""
    appliance.add_user("erin")
    appliance.add_rule("erin", "errors-*")
    appliance.add_key("errors-ec")
    appliance.add_key("errors-rsa", "rsa:2048")
    appliance.add_key("errors-other", pin=OTHER_PIN)
    return new_host(appliance, user="erin")


class Program:
    """A running program on a host; it stops at each `pause()` until `go_on` is called."""

    def __init__(self, host: Host, body: str) -> None:
        environment = {**host.environment, "MODULE": str(host.module), "PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(body)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
        )
        self.lines: list[str] = []

    def run_to_pause(self) -> None:
        """Wait until the program pauses."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "paused\n":
                return
            self.lines.append(line.rstrip())
        pytest.fail(f"ended before it paused: {self.lines}")

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> list[str]:
        """Wait for its end, which has to be a good one; return all that it printed."""
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, f"{self.process.returncode}: {self.lines} {out}"
        return self.lines + out.splitlines()


def run(host: Host, body: str) -> list[str]:
    """Run a program from beginning to end."""
    return Program(host, body).end()


LOGGED_IN = f"""
    assert module.initialize() == "OK"
    session = module.open()
    assert module.login(session, "{PIN}") == "OK"
"""


def test_logins_that_are_refused(erin: Host) -> None:
    """The length of a PIN is judged here, the PIN itself by the appliance."""
    body = f"""
    module.initialize()
    session = module.open()
    print(module.login(session, "1234567"), module.login(session, "1" * 129), module.login(session, "11111111"))
    print(module.login(session, "{PIN}", SO), module.login(session, "{PIN}", 7))
    print(module.login(session, "{PIN}"), module.login(session, "{PIN}"))
    print(module.call("Logout", session), module.call("Logout", session))
    """
    assert run(erin, body) == [
        "PIN_LEN_RANGE PIN_LEN_RANGE PIN_INCORRECT",
        "PIN_INCORRECT USER_TYPE_INVALID",
        "OK USER_ALREADY_LOGGED_IN",
        "OK USER_NOT_LOGGED_IN",
    ]


def test_a_key_with_a_pin_wants_a_login_with_that_pin(erin: Host) -> None:
    """Before login, and after a login whose PIN is another key's."""
    body = f"""
    module.initialize()
    session = module.open()
    print(module.sign_with(session, "errors-ec"))
    module.login(session, "{PIN}")
    print(module.sign_with(session, "errors-ec"), module.sign_with(session, "errors-other"))
    """
    assert run(erin, body) == ["USER_NOT_LOGGED_IN", "OK USER_NOT_LOGGED_IN"]


def test_the_login_is_the_token_s_and_ends_with_its_last_session(erin: Host) -> None:
    """A second session is logged in without asking; closing both logs out."""
    body = f"""
    {LOGGED_IN}
    second = module.open()
    print(module.sign_with(second, "errors-ec"))
    print(module.call("CloseSession", session), module.sign_with(second, "errors-ec"))
    print(module.call("CloseSession", second), module.call("CloseSession", second))
    print(module.sign_with(module.open(), "errors-ec"))
    """
    assert run(erin, textwrap.dedent(body)) == [
        "OK",
        "OK OK",
        "OK SESSION_HANDLE_INVALID",
        "USER_NOT_LOGGED_IN",
    ]


def test_mechanisms_and_inputs_that_do_not_fit(erin: Host) -> None:
    """Refused on this host, before the appliance is asked."""
    body = f"""
    {LOGGED_IN}
    for label, mechanism, data in [
        ("errors-ec", RSA_PKCS, b"x"), ("errors-rsa", EDDSA, b"x"), ("errors-ec", SHA256, b"x"),
        ("errors-ec", 0x1085, b"x"), ("errors-ec", ECDSA, b""), ("errors-rsa", RSA_PKCS, b"x" * 246),
        ("errors-rsa", RSA_PKCS, b"x" * 245),
    ]:
        print(module.sign_with(session, label, mechanism, data))
    """
    assert run(erin, body) == [
        "KEY_TYPE_INCONSISTENT",
        "KEY_TYPE_INCONSISTENT",
        "MECHANISM_INVALID",
        "MECHANISM_INVALID",
        "DATA_LEN_RANGE",
        "DATA_LEN_RANGE",
        "OK",
    ]


def test_operations_end_when_the_specification_says_so(erin: Host) -> None:
    """A question for the length and a small buffer go on; bad arguments and a signature end the operation."""
    body = f"""
    {LOGGED_IN}
    key = module.private(session, "errors-ec")
    length = c_ulong()
    print(module.sign(session)[0], module.sign_init(session, key), module.sign_init(session, key))
    print(module.call("Sign", session, b"data", c_ulong(4), None, byref(length)), length.value)
    print(module.sign(session, room=63)[0], module.sign(session, room=64)[0], module.sign(session)[0])
    print(module.sign_init(session, key), module.call("Sign", session, None, c_ulong(4), None, byref(length)))
    print(module.sign(session)[0], module.sign_init(session, key))
    print(module.call("SignUpdate", session, b"da", c_ulong(2)), module.sign(session)[0], module.sign(session)[0])
    print(module.sign_init(session, key - 1), module.sign_init(session, key + 2))
    """
    assert run(erin, body) == [
        "OPERATION_NOT_INITIALIZED OK OPERATION_ACTIVE",
        "OK 64",
        "BUFFER_TOO_SMALL OK OPERATION_NOT_INITIALIZED",
        "OK ARGUMENTS_BAD",
        "OPERATION_NOT_INITIALIZED OK",
        "OK OPERATION_NOT_INITIALIZED OPERATION_NOT_INITIALIZED",
        "KEY_FUNCTION_NOT_PERMITTED KEY_HANDLE_INVALID",
    ]


def test_verification_tells_wrong_from_right(erin: Host) -> None:
    """On the appliance, without a login."""
    body = f"""
    {LOGGED_IN}
    key = module.private(session, "errors-ec")
    module.sign_init(session, key)
    _, signature = module.sign(session, b"data")
    public = key - 1
    print(module.verify(session, public, b"data", signature), module.verify(session, public, b"dat", signature))
    print(module.verify(session, public, b"data", signature[1:]))
    """
    assert run(erin, body) == ["OK SIGNATURE_INVALID", "SIGNATURE_LEN_RANGE"]


def test_attributes_are_answered_one_by_one(erin: Host) -> None:
    """Section 5.7.5: every attribute is tried, and the lengths say which had no answer."""
    body = """
    module.initialize()
    session = module.open()
    key = module.private(session, "errors-ec")
    code, lengths = module.attributes(session, key, [CKA_ID, CKA_VALUE, CKA_LABEL], [None, 99, 99])
    print(code, lengths == [8, UNAVAILABLE, len("errors-ec")])
    code, lengths = module.attributes(session, key, [CKA_MODULUS, CKA_ID], [99, 8])
    print(code, lengths == [UNAVAILABLE, 8])
    code, lengths = module.attributes(session, key, [CKA_ID, CKA_ID], [7, 8])
    print(code, lengths == [UNAVAILABLE, 8])
    print(module.attributes(session, key + 2, [CKA_ID], [8])[0])
    """
    assert run(erin, body) == [
        "ATTRIBUTE_SENSITIVE True",
        "ATTRIBUTE_TYPE_INVALID True",
        "BUFFER_TOO_SMALL True",
        "OBJECT_HANDLE_INVALID",
    ]


def test_null_pointers_and_impossible_lengths_are_bad_arguments(erin: Host) -> None:
    """No pointer is followed before it has been looked at."""
    body = """
    lie, none, some = c_ulong(-1), c_ulong(0), byref(c_ulong(1))
    print(module.call("GetFunctionList", None), module.call("Initialize", None), module.call("Finalize", some))
    session, slot, one, eight = module.open(), c_ulong(module.slots()[0]), c_ulong(1), c_ulong(8)
    for name, *arguments in [
        ("GetInfo", None), ("GetSlotList", 1, None, None), ("OpenSession", slot, c_ulong(4), None, None, None),
        ("GetSessionInfo", session, None), ("Login", session, one, None, eight), ("Login", session, one, b"x", lie),
        ("FindObjectsInit", session, None, one), ("FindObjectsInit", session, some, lie),
        ("DigestInit", session, None), ("SignInit", session, None, none),
        ("GetAttributeValue", session, none, None, one),
        ("GenerateRandom", session, None, eight), ("GenerateRandom", session, some, lie),
        ("GenerateRandom", session, some, c_ulong(1 << 62)), ("GenerateRandom", session, some, c_ulong(1 << 25)),
    ]:
        assert module.call(name, *arguments) == "ARGUMENTS_BAD", name
    print(module.call("OpenSession", slot, none, None, None, some))
    print(module.call("OpenSession", c_ulong(5), c_ulong(4), None, None, some))
    """
    assert run(erin, body) == [
        "ARGUMENTS_BAD OK ARGUMENTS_BAD",
        "SESSION_PARALLEL_NOT_SUPPORTED",
        "SLOT_ID_INVALID",
    ]


def test_functions_that_are_not_there_say_so(erin: Host) -> None:
    """Every one of the 68 is exported."""
    body = """
    session = c_ulong(1)
    print(module.call("GetInfo", None), module.call("WrapKey", session, None, None, None, None, None))
    module.initialize()
    print(module.call("WrapKey", session, None, None, None, None, None), module.call("CancelFunction", session))
    print(module.call("WaitForSlotEvent", c_ulong(1), None, None), module.initialize(), module.call("Finalize", None))
    """
    assert run(erin, body) == [
        "CRYPTOKI_NOT_INITIALIZED CRYPTOKI_NOT_INITIALIZED",
        "FUNCTION_NOT_SUPPORTED FUNCTION_NOT_PARALLEL",
        "NO_EVENT CRYPTOKI_ALREADY_INITIALIZED OK",
    ]


def test_the_module_exports_pkcs11_and_nothing_else(module: Path) -> None:
    """No symbol of ours can meet one of the host's program."""
    answer = subprocess.run(["nm", "-D", "--defined-only", module], capture_output=True, text=True, check=True)
    names = [line.split()[-1] for line in answer.stdout.splitlines()]
    assert len(names) == 68 + 24 + 12
    assert all(name.startswith("C_") for name in names)


def test_a_missing_rule_is_refused_and_named_in_the_log(
    appliance: Appliance, erin: Host, new_host: Callable[..., Host]
) -> None:
    """A user who may only read the key."""
    appliance.add_user("ruth")
    appliance.add_rule("ruth", "errors-*", operations=["key:read"])
    host = new_host(appliance, user="ruth")
    assert run(host, f"{LOGGED_IN}\n    print(module.sign_with(session, 'errors-ec'))") == [
        "KEY_FUNCTION_NOT_PERMITTED"
    ]
    assert "privyseal rule create --user ruth --core 1 --operations key:sign --keys 'errors-ec'" in host.log.read_text()
    assert erin.directory != host.directory


def test_a_key_that_others_guard_waits_for_them(appliance: Appliance, erin: Host) -> None:
    """A quorum is no fault: the log names the request, and once it is approved the same data is signed."""
    appliance.add_user("grace")
    appliance.add_key("errors-guarded")
    quorum = {"operation": "key:sign", "core": 1, "key": "errors-guarded", "needed": 1, "approvers": ["grace"]}
    appliance.api("POST", "/quorums", quorum)
    body = f"""
    {LOGGED_IN}
    for _ in range(2):
        print(module.sign_with(session, "errors-guarded", ECDSA_SHA256))
        pause()
    """
    program = Program(erin, body)
    program.run_to_pause()
    waiting = appliance.api("GET", "/approvals?open=true").json()["approvals"]
    assert f"request {waiting[0]['number']}" in erin.log.read_text()
    appliance.api("POST", f"/approvals/{waiting[0]['number']}/approve", user="grace")
    program.go_on()
    program.run_to_pause()
    program.go_on()
    assert program.end() == ["KEY_FUNCTION_NOT_PERMITTED", "OK"]


@pytest.mark.parametrize(
    ("label", "how", "code"),
    [
        ("errors-gone", "?now=true", "KEY_HANDLE_INVALID"),
        ("errors-going", "", "KEY_FUNCTION_NOT_PERMITTED"),
    ],
)
def test_a_key_that_is_gone_or_going(appliance: Appliance, erin: Host, label: str, how: str, code: str) -> None:
    """It was there when the program looked."""
    appliance.add_key(label)
    appliance.api("PUT", "/cores/1", {"destroy_days": 0})
    body = f"""
    {LOGGED_IN}
    key = module.private(session, "{label}")
    pause()
    print(module.sign_init(session, key), module.sign(session)[0])
    """
    program = Program(erin, body)
    program.run_to_pause()
    appliance.api("DELETE", f"/cores/1/keys/{label}{how}")
    program.go_on()
    assert program.end() == [f"OK {code}"]


def test_a_password_that_changed_is_a_rejected_function(appliance: Appliance, new_host: Callable[..., Host]) -> None:
    """In the middle of a session."""
    appliance.add_user("paul")
    appliance.add_rule("paul", "errors-*")
    body = f"""
    {LOGGED_IN}
    key = module.private(session, "errors-ec")
    pause()
    print(module.sign_init(session, key), module.sign(session)[0])
    """
    program = Program(new_host(appliance, user="paul"), body)
    program.run_to_pause()
    appliance.api("PUT", "/users/paul", {"password": "another password of paul"})
    program.go_on()
    assert program.end() == ["OK FUNCTION_REJECTED"]


def test_too_many_wrong_pins_lock(appliance: Appliance, new_host: Callable[..., Host]) -> None:
    """Wait, says the module after the 5th, as long as that helps; the 10th locks, and then the right PIN does not help.

    In a core of their own, so that no other test's keys are locked with them.
    """
    core = appliance.api("POST", "/cores", {"name": "locking", "pin_required": True}).json()["number"]
    appliance.add_user("lea")
    appliance.add_rule("lea", core=core)
    appliance.add_key("locking", core=core)
    body = f"""
    module.initialize()
    session = module.open()
    print([module.login(session, "wrong-pin") for _ in range(6)])
    pause()
    print(module.login(session, "wrong-pin"), module.login(session, "wrong-pin"), module.login(session, "{PIN}"))
    """
    program = Program(new_host(appliance, user="lea", core=core), body)
    program.run_to_pause()
    with sqlite3.connect(appliance.data / "privyseal.db", timeout=30) as database:  # as if all waits were over
        moved = database.execute(
            "UPDATE attempts SET failures = 9, last = 0 WHERE subject = ?", (f"pin:user:lea:{core}",)
        )
        assert moved.rowcount == 1
    program.go_on()
    assert program.end() == [str(["PIN_INCORRECT"] * 5 + ["FUNCTION_FAILED"]), "PIN_INCORRECT PIN_LOCKED PIN_LOCKED"]


def test_an_appliance_that_stops_and_comes_back(
    new_appliance: Callable[..., Appliance], new_host: Callable[..., Host]
) -> None:
    """Nobody answers: a removed device. It is back: the same session signs again, with a login of its own."""
    appliance = new_appliance()
    appliance.add_user("erin")
    appliance.add_rule("erin")
    appliance.add_key("errors-ec")
    body = f"""
    {LOGGED_IN}
    key = module.private(session, "errors-ec")
    for _ in range(2):
        pause()
        print(module.sign_init(session, key), module.sign(session)[0])
    print(Module().slots() == module.slots() != [])
    """
    program = Program(new_host(appliance, user="erin"), body)
    program.run_to_pause()
    appliance.stop()
    program.go_on()
    program.run_to_pause()
    appliance.start()
    program.go_on()
    assert program.end() == ["OK DEVICE_REMOVED", "OK OK", "True"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"url": "https://127.0.0.1:9"}, "onnection refused"),
        ({"pass": "wrong"}, "unauthenticated"),
        ({"fingerprint": "sha256:" + "00" * 32}, "fingerprint"),
        ({"ca_file": "nowhere.pem"}, "nowhere.pem"),
        ({"core": "nowhere"}, "no core 'nowhere'"),
        ({"log_level": 10, "slots": "both"}, "'slots' must be"),
    ],
)
def test_a_host_without_a_usable_appliance_has_no_slots(
    appliance: Appliance, erin: Host, new_host: Callable[..., Host], settings: dict[str, str], words: str
) -> None:
    """Nobody there, a wrong password, somebody else there, no such core: quiet, at once, and the log says why."""
    appliance.add_user(name := f"nobody-{'-'.join(settings)}")
    host = new_host(appliance, user=name, **settings)
    started = time.monotonic()
    assert run(host, "print(module.initialize(), module.slots(), module.call('Finalize', None))") == ["OK [] OK"]
    assert time.monotonic() - started < 10
    assert words in host.log.read_text()
    assert erin.config.exists()


def test_a_host_without_a_configuration_has_no_slots(appliance: Appliance, new_host: Callable[..., Host]) -> None:
    """There is no place then where a reason could be written."""
    appliance.add_user("nobody")
    host = new_host(appliance, user="nobody")
    host.config.unlink()
    assert run(host, "print(module.initialize(), module.slots(), module.call('Finalize', None))") == ["OK [] OK"]
    assert not host.log.exists()


@pytest.mark.parametrize("damage", ["typographic", "cut"])
def test_a_configuration_that_is_no_json_is_explained_in_the_log_that_it_names(
    appliance: Appliance, new_host: Callable[..., Host], damage: str
) -> None:
    """Quotation marks of a word processor, or a file that was cut off at its end."""
    appliance.add_user(name := f"damaged-{damage}")
    host = new_host(appliance, user=name)
    text = host.config.read_text()
    host.config.write_text(text.replace('"', "\u201d") if damage == "typographic" else text.rstrip()[:-1])
    assert run(host, "print(module.initialize(), module.slots(), module.call('Finalize', None))") == ["OK [] OK"]
    told = host.log.read_text()
    assert ("typographic quotes in line 2" if damage == "typographic" else "not JSON") in told
    assert appliance.passwords[name] not in told


def test_a_configuration_that_others_can_read_is_a_warning(
    appliance: Appliance, erin: Host, new_host: Callable[..., Host]
) -> None:
    """It works, and the log says what to type."""
    host = new_host(appliance, user=erin.user)
    host.config.chmod(0o644)
    assert run(host, f"{LOGGED_IN}\n    print(module.sign_with(session, 'errors-ec'))") == ["OK"]
    assert f"chmod o-rwx {host.config}" in host.log.read_text()


def test_a_child_starts_anew_and_leaves_the_parent_alone(erin: Host) -> None:
    """Fork while another thread is in a call: the child initialises, signs and ends; the parent signs on."""
    body = f"""
    {LOGGED_IN}
    key = module.private(session, "errors-ec")
    busy = threading.Thread(target=lambda: [module.find(module.open(), "errors-ec") for _ in range(50)])
    busy.start()
    child = os.fork()
    if child == 0:
        assert module.call("GetSessionInfo", session, None) == "CRYPTOKI_NOT_INITIALIZED"
        assert module.initialize() == "OK"
        session = module.open()
        assert module.login(session, "{PIN}") == "OK"
        assert module.sign_with(session, "errors-ec") == "OK"
        assert module.call("Finalize", None) == "OK"
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    busy.join()
    print(module.sign_init(session, key), module.sign(session)[0])
    """
    assert run(erin, "import warnings\nwarnings.simplefilter('ignore')" + textwrap.dedent(body)) == ["7", "OK OK"]


def test_sixteen_threads_sign_at_once(erin: Host) -> None:
    """`C_Initialize(NULL)` promised a single thread; each signature is the right one all the same."""
    body = f"""
    {LOGGED_IN}
    key, results = module.private(session, "errors-ec"), []
    def work(number):
        own = module.open()
        for turn in range(5):
            data = f"{{number}} {{turn}}".encode()
            assert module.sign_init(own, key) == "OK"
            code, signature = module.sign(own, data)
            results.append((code, module.verify(own, key - 1, data, signature)))
        assert module.call("CloseSession", own) == "OK"
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(len(results), set(results))
    """
    assert run(erin, body) == ["80 {('OK', 'OK')}"]


def test_finalize_and_again(erin: Host) -> None:
    """Handles of the first life are invalid in the second."""
    body = f"""
    {LOGGED_IN}
    print(module.call("Finalize", None), module.call("Finalize", None), module.initialize())
    print(module.call("CloseSession", session))
    session = module.open()
    print(module.sign_with(session, "errors-ec"), module.login(session, "{PIN}"))
    print(module.sign_with(session, "errors-ec"))
    """
    assert run(erin, body) == [
        "OK CRYPTOKI_NOT_INITIALIZED OK",
        "SESSION_HANDLE_INVALID",
        "USER_NOT_LOGGED_IN OK",
        "OK",
    ]


@pytest.mark.parametrize("uri", ["object=errors-ec?pin-value=00000000", "object=errors-none?pin-value=" + PIN])
def test_openssl_ends_with_status_1_after_a_refusal(erin: Host, uri: str) -> None:
    """Its engine calls C_CloseAllSessions from exit handlers, when thread locals are gone."""
    sign = ["openssl", "dgst", "-sha256", "-engine", "pkcs11", "-keyform", "engine", "-sign", f"pkcs11:{uri}"]
    assert erin.run(*sign, "-out", "none.sig", erin.config, check=False).returncode == 1


def test_the_fullest_log_holds_no_secret(appliance: Appliance, erin: Host) -> None:
    """Level 10 has a line for every call, and neither password, PIN, header nor ticket."""
    run(erin, f"{LOGGED_IN}\n    print(module.sign_with(session, 'errors-ec'), module.login(session, '00000000'))")
    log = erin.log.read_text()
    assert "C_Sign: CKR_OK" in log
    password = json.loads(erin.config.read_text())["pass"]
    header = base64.b64encode(f"{erin.user}:{password}".encode()).decode()
    for secret in (PIN, OTHER_PIN, "00000000", password, header, "Basic ", "Authorization"):
        assert secret not in log
    ticket = appliance.api("POST", "/cores/1/login", {"pin": PIN}, user=erin.user).json()["ticket"]
    shape = rf"[A-Za-z0-9_+/=-]{{{len(ticket)}}}"
    assert re.fullmatch(shape, ticket)
    assert re.search(shape, log) is None


def test_level_0_writes_nothing(appliance: Appliance, erin: Host, new_host: Callable[..., Host]) -> None:
    """Not even an empty file."""
    appliance.add_user("quentin")
    appliance.add_rule("quentin", "errors-*")
    host = new_host(appliance, user="quentin", log_level=0)
    assert run(host, f"{LOGGED_IN}\n    print(module.sign_with(session, 'errors-other'))") == ["USER_NOT_LOGGED_IN"]
    assert not host.log.exists()
    assert erin.log != host.log
