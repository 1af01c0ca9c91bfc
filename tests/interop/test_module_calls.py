"""Each of the C functions, called as no good program would: too early, with nothing, with lies, at odd addresses.

Always true: the calls go through the function list of the built module to a real appliance, and are made in this very
process, so that a crash is this test's; what the appliance's refusals become is test_module_errors' business.
"""

import base64
import ctypes
import hashlib
import time
from collections.abc import Callable, Iterator
from ctypes import byref, c_char, c_ulong, c_void_p
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from support.appliance import PIN, Appliance
from support.function_list import (
    CK_UNAVAILABLE,
    CKA,
    CKF_RW_SESSION,
    CKF_SERIAL_SESSION,
    CKM,
    CKO_CERTIFICATE,
    CKO_PRIVATE_KEY,
    CKO_PUBLIC_KEY,
    FUNCTIONS,
    CkAttribute,
    Cryptoki,
    Rv,
    Session,
    mechanism,
    pss_sha256,
    template,
)
from support.host import Host

DIGEST = bytes(range(32))
ECDSA = CKM.ECDSA
# What the module does; every other function of the list is there and says that it is not supported.
SUPPORTED_NAMES = """
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo
    C_GetMechanismList C_GetMechanismInfo C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_Login
    C_Logout C_GetObjectSize C_GetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_DigestInit
    C_Digest C_DigestUpdate C_DigestFinal C_InitToken C_InitPIN C_SetPIN
    C_EncryptInit C_Encrypt C_DecryptInit C_Decrypt C_DeriveKey C_GetOperationState C_SetOperationState C_GenerateKey
    C_GenerateKeyPair C_CreateObject C_CopyObject C_DestroyObject
    C_SetAttributeValue C_SignInit C_Sign C_SignUpdate C_SignFinal C_VerifyInit C_Verify
    C_VerifyUpdate C_VerifyFinal C_SeedRandom C_GenerateRandom C_GetFunctionStatus C_CancelFunction
    C_WaitForSlotEvent
"""
SUPPORTED = set(SUPPORTED_NAMES.split())


@pytest.fixture(scope="module")
def calls_host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user signs with `calls-…`, and only reads `calls-read`."""
    appliance.add_user("calls-user")
    for label in ("calls-pin", "calls-open", "calls-rsa"):
        appliance.add_rule("calls-user", label)
    appliance.add_rule("calls-user", "calls-read", operations=["key:read"])
    appliance.add_key("calls-pin")
    appliance.add_key("calls-read")
    appliance.add_key("calls-rsa", "rsa:2048")
    appliance.api("POST", "/cores", {"name": "calls-open", "pin_required": False})
    appliance.add_key("calls-open", pin=None, core=open_core(appliance))
    appliance.add_rule("calls-user", "calls-open", core=open_core(appliance))
    return new_host(appliance, user="calls-user")


def open_core(appliance: Appliance) -> int:
    """The number of the core whose keys need no PIN."""
    number: int = appliance.api("GET", "/cores/calls-open").json()["number"]
    return number


def serial_of(appliance: Appliance, core: int | str) -> int:
    """The slot id of a core."""
    return int(appliance.api("GET", f"/cores/{core}").json()["token"]["serial"])


@pytest.fixture
def running(cryptoki: Cryptoki, calls_host: Host, configured: Callable[[Path], None]) -> Iterator[Cryptoki]:
    """The module, initialised for the host of these tests."""
    configured(calls_host.config)
    with cryptoki.initialized():
        yield cryptoki


@pytest.fixture
def session(running: Cryptoki) -> Session:
    """A session before login."""
    return running.open(running.slots()[0])


# -- general ----------------------------------------------------------------------------------------------------------


def test_the_function_list_is_complete(cryptoki: Cryptoki) -> None:
    """Version 2.40 with an entry for each of its 68 functions."""
    assert cryptoki.version == (2, 40)
    assert len(cryptoki._functions) == len(FUNCTIONS) == 68
    assert all(cryptoki._functions.values())


@pytest.mark.parametrize("name", sorted(SUPPORTED - {"C_Initialize", "C_GetFunctionList"}))
def test_nothing_works_before_initialize(cryptoki: Cryptoki, name: str) -> None:
    """Version 2.40, section 5.4: only C_Initialize and C_GetFunctionList may be called before."""
    accepted = {Rv.CKR_CRYPTOKI_NOT_INITIALIZED}
    if name in ("C_GetFunctionStatus", "C_CancelFunction"):
        accepted.add(Rv.CKR_FUNCTION_NOT_PARALLEL)
    assert getattr(cryptoki, name)(*[None] * 8) in accepted


def test_initialize_once_and_finalize_once(cryptoki: Cryptoki) -> None:
    """Any number of times one after the other, and not twice at once."""
    for _ in range(3):
        assert cryptoki.C_Initialize(None) == Rv.CKR_OK
        assert cryptoki.C_Initialize(None) == Rv.CKR_CRYPTOKI_ALREADY_INITIALIZED
        assert cryptoki.C_Finalize(1) == Rv.CKR_ARGUMENTS_BAD
        assert cryptoki.C_Finalize(None) == Rv.CKR_OK
        assert cryptoki.C_Finalize(None) == Rv.CKR_CRYPTOKI_NOT_INITIALIZED


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - {"C_Initialize", "C_Finalize"}))
def test_no_function_crashes_on_nothing(running: Cryptoki, name: str) -> None:
    """NULL for every pointer and 0 for every number is refused, one way or another."""
    assert getattr(running, name)(*[None] * 10) != Rv.CKR_OK


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - SUPPORTED))
def test_what_is_not_supported_says_so(running: Cryptoki, session: Session, name: str) -> None:
    """A program that looks at the code can choose another way."""
    buffer = (c_char * 64)()
    assert getattr(running, name)(session.handle, *[buffer] * 7) == Rv.CKR_FUNCTION_NOT_SUPPORTED


# -- slots and sessions -----------------------------------------------------------------------------------------------


def test_a_slot_that_is_not_there(running: Cryptoki) -> None:
    """For every function that takes a slot."""
    buffer, count = (c_char * 512)(), c_ulong()
    assert running.slots()
    for name, *arguments in (
        ("C_GetSlotInfo", buffer),
        ("C_GetTokenInfo", buffer),
        ("C_GetMechanismList", None, byref(count)),
        ("C_GetMechanismInfo", ECDSA, buffer),
        ("C_OpenSession", CKF_SERIAL_SESSION, None, None, byref(count)),
        ("C_CloseAllSessions",),
    ):
        assert getattr(running, name)(12345, *arguments) == Rv.CKR_SLOT_ID_INVALID, name


def test_lists_tell_the_length_that_they_need(running: Cryptoki) -> None:
    """A NULL list asks for the length; a short one is refused and told it."""
    slot, count, room = running.slots()[0], c_ulong(), (c_ulong * 1)()
    assert running.C_GetMechanismList(slot, None, byref(count)) == Rv.CKR_OK
    needed = count.value
    assert needed > 20
    count.value = 1
    assert running.C_GetMechanismList(slot, room, byref(count)) == Rv.CKR_BUFFER_TOO_SMALL
    assert count.value == needed
    count.value = 0
    assert running.C_GetSlotList(1, room, byref(count)) == Rv.CKR_BUFFER_TOO_SMALL
    assert count.value == 1


def test_every_listed_mechanism_tells_what_it_does(running: Cryptoki) -> None:
    """And one that is not listed does not exist."""
    slot, count, info = running.slots()[0], c_ulong(), (c_ulong * 3)()
    running.must("C_GetMechanismList", slot, None, byref(count))
    kinds = (c_ulong * count.value)()
    running.must("C_GetMechanismList", slot, kinds, byref(count))
    for kind in kinds:
        assert running.C_GetMechanismInfo(slot, kind, info) == Rv.CKR_OK
        assert info[2] != 0, f"{kind:#x}"
    assert CKM.AES_GCM not in list(kinds)
    assert running.C_GetMechanismInfo(slot, CKM.AES_GCM, info) == Rv.CKR_MECHANISM_INVALID


def test_sessions_are_serial(running: Cryptoki) -> None:
    """CKF_SERIAL_SESSION is a relic that has to be set."""
    handle = c_ulong()
    answer = running.C_OpenSession(running.slots()[0], CKF_RW_SESSION, None, None, byref(handle))
    assert answer == Rv.CKR_SESSION_PARALLEL_NOT_SUPPORTED


def test_a_closed_session_is_none(session: Session) -> None:
    """Handles are not used again soon, so a program's mistake shows."""
    assert session.cryptoki.C_CloseSession(session.handle) == Rv.CKR_OK
    assert session.cryptoki.C_CloseSession(session.handle) == Rv.CKR_SESSION_HANDLE_INVALID
    assert session.login(PIN) == Rv.CKR_SESSION_HANDLE_INVALID
    assert session.sign_init(mechanism(ECDSA), 1) == Rv.CKR_SESSION_HANDLE_INVALID
    assert session.cryptoki.open(session.cryptoki.slots()[0]).handle != session.handle


# -- login ------------------------------------------------------------------------------------------------------------


def test_a_pin_that_is_no_text(session: Session) -> None:
    """PINs are UTF-8 (version 2.40, section 5.6)."""
    assert session.login(b"\xff" * 8) in {Rv.CKR_PIN_INCORRECT, Rv.CKR_ARGUMENTS_BAD}


def test_login_is_the_tokens_and_not_the_sessions(session: Session) -> None:
    """A second session is logged in by the first, and the last one to close logs out."""
    other = session.cryptoki.open(session.cryptoki.slots()[0], CKF_SERIAL_SESSION | CKF_RW_SESSION)
    assert session.login(PIN) == Rv.CKR_OK
    assert other.login(PIN) == Rv.CKR_USER_ALREADY_LOGGED_IN
    assert (session.state(), other.state()) == (1, 3)
    assert session.cryptoki.C_Logout(other.handle) == Rv.CKR_OK
    assert (session.state(), other.state()) == (0, 2)
    assert session.cryptoki.C_Logout(session.handle) == Rv.CKR_USER_NOT_LOGGED_IN
    assert session.login(PIN) == Rv.CKR_OK
    assert session.cryptoki.C_CloseAllSessions(session.cryptoki.slots()[0]) == Rv.CKR_OK
    assert session.cryptoki.open(session.cryptoki.slots()[0]).state() == 0


# -- objects ----------------------------------------------------------------------------------------------------------


def test_private_keys_are_found_before_login_and_show_nothing(session: Session) -> None:
    """One call answers for all attributes: what is there, what is secret and what does not exist."""
    handle = session.key("calls-pin")
    id_buffer, none = (c_char * 64)(), c_void_p()
    asked = (CkAttribute * 4)(
        CkAttribute(CKA.VALUE, none, 0),
        CkAttribute(CKA.ID, ctypes.cast(id_buffer, c_void_p), 64),
        CkAttribute(CKA.MODULUS, none, 0),
        CkAttribute(CKA.EC_POINT, ctypes.cast(id_buffer, c_void_p), 1),
    )
    answer = session.cryptoki.C_GetAttributeValue(session.handle, handle, asked, 4)
    reasons = {Rv.CKR_ATTRIBUTE_SENSITIVE, Rv.CKR_ATTRIBUTE_TYPE_INVALID, Rv.CKR_BUFFER_TOO_SMALL}
    assert answer in reasons
    assert [one.length for one in asked] == [CK_UNAVAILABLE, 8, CK_UNAVAILABLE, CK_UNAVAILABLE]
    for kind, value in (
        (CKA.PRIVATE, False),
        (CKA.ALWAYS_AUTHENTICATE, False),
        (CKA.EXTRACTABLE, False),
        (CKA.SENSITIVE, True),
        (CKA.SIGN, True),
        (CKA.TOKEN, True),
    ):
        assert session.attribute(handle, kind) == bytes([value]), kind


def test_objects_that_are_not_there(session: Session) -> None:
    """A handle that nobody gave out, and searches that find nothing."""
    asked = CkAttribute(CKA.LABEL)
    answer = session.cryptoki.C_GetAttributeValue(session.handle, 0, byref(asked), 1)
    assert answer == Rv.CKR_OBJECT_HANDLE_INVALID
    assert session.cryptoki.C_GetObjectSize(session.handle, 0, byref(c_ulong())) == Rv.CKR_OBJECT_HANDLE_INVALID
    assert session.find({CKA.LABEL: b"nobody's"}) == []
    assert session.find({CKA.CLASS: CKO_CERTIFICATE}) == []
    for wanted in (b"\x01", b"", bytes(64), bytes(65)):
        assert session.find({CKA.ID: wanted}) == []


def test_a_search_gives_each_object_once(session: Session) -> None:
    """One at a time, as OpenSSL's engine asks, or many."""
    everything = session.find({})
    assert sorted(everything) == sorted(session.find({}, at_a_time=1))
    assert len(set(everything)) == len(everything) == 6
    assert len(session.find({CKA.LABEL: b"calls-pin"})) == 2


@pytest.mark.parametrize("slots", ["core", "key"])
def test_keys_that_are_secret_alone_are_not_shown(
    cryptoki: Cryptoki,
    appliance: Appliance,
    new_host: Callable[..., Host],
    configured: Callable[[Path], None],
    slots: str,
) -> None:
    """AES and generic secrets have no public key; the pairs beside them are found all the same."""
    name, user = f"calls-mixed-{slots}", f"mixed-{slots}"
    core = appliance.api("POST", "/cores", {"name": name}).json()["number"]
    for key_type in ("aes:256", "ec:P-256", "secret:256"):
        appliance.add_key(f"mixed-{key_type.partition(':')[0]}", key_type, core=core)
    appliance.add_rule(appliance.add_user(user), core=core)
    configured(new_host(appliance, user=user, core=core, slots=slots, timeout_ms=60_000).config)
    with cryptoki.initialized():
        (slot,) = cryptoki.slots()
        session = cryptoki.open(slot)
        assert len(session.find({})) == 2
        assert session.find({CKA.LABEL: b"mixed-aes"}) == []
        assert session.login(PIN) == Rv.CKR_OK
        assert len(session.sign(mechanism(ECDSA), session.key("mixed-ec"), DIGEST)) == 64


def test_a_search_for_private_keys_passes_over_those_that_want_a_pin(session: Session) -> None:
    """OpenSSL's engine looks for private keys first and logs in only when it does not find the one it wants."""
    private = {CKA.CLASS: CKO_PRIVATE_KEY}
    assert session.find(private) == []
    assert session.login(PIN) == Rv.CKR_OK
    assert len(session.find(private)) == 3


def test_a_search_has_a_beginning_and_an_end(session: Session) -> None:
    """In this order, and one at a time in each session."""
    cryptoki, count = session.cryptoki, c_ulong()
    found = (c_ulong * 1)()
    assert cryptoki.C_FindObjects(session.handle, found, 1, byref(count)) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert cryptoki.C_FindObjectsFinal(session.handle) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert cryptoki.C_FindObjectsInit(session.handle, None, 0) == Rv.CKR_OK
    assert cryptoki.C_FindObjectsInit(session.handle, None, 0) == Rv.CKR_OPERATION_ACTIVE
    assert cryptoki.C_FindObjectsFinal(session.handle) == Rv.CKR_OK


def test_a_template_that_lies(session: Session) -> None:
    """More attributes than memory has, values longer than memory, values that are not there."""
    cryptoki, good = session.cryptoki, template({CKA.LABEL: b"x"})
    assert cryptoki.C_FindObjectsInit(session.handle, None, 1) == Rv.CKR_ARGUMENTS_BAD
    assert cryptoki.C_FindObjectsInit(session.handle, good, CK_UNAVAILABLE) == Rv.CKR_ARGUMENTS_BAD
    assert cryptoki.C_FindObjectsInit(session.handle, byref(CkAttribute(CKA.LABEL, None, 5)), 1) == Rv.CKR_ARGUMENTS_BAD
    long = (CkAttribute * 1)(CkAttribute(CKA.LABEL, good[0].value, CK_UNAVAILABLE))
    assert cryptoki.C_FindObjectsInit(session.handle, long, 1) == Rv.CKR_ARGUMENTS_BAD
    assert session.find({CKA.LABEL: b"calls-pin"})


# -- sign -------------------------------------------------------------------------------------------------------------


def test_a_key_without_a_pin_wants_none(
    cryptoki: Cryptoki, appliance: Appliance, calls_host: Host, new_host: Callable[..., Host], configured: Any
) -> None:
    """The user's password in the configuration is all there is."""
    host = new_host(appliance, user=calls_host.user, core="calls-open")
    configured(host.config)
    with cryptoki.initialized():
        assert cryptoki.slots() == [serial_of(appliance, "calls-open")]
        session = cryptoki.open(cryptoki.slots()[0])
        assert len(session.sign(mechanism(ECDSA), session.key("calls-open"), DIGEST)) == 64


@pytest.mark.parametrize(
    ("label", "how", "answer"),
    [
        ("calls-rsa", mechanism(CKM.RSA_PKCS_PSS), Rv.CKR_MECHANISM_PARAM_INVALID),
        ("calls-pin", mechanism(ECDSA, pss_sha256()), Rv.CKR_MECHANISM_PARAM_INVALID),
        ("calls-pin", None, Rv.CKR_ARGUMENTS_BAD),
    ],
)
def test_parameters_that_do_not_fit(logged_in: Session, label: str, how: Any, answer: Rv) -> None:
    """RSA-PSS wants its own, ECDSA wants none, and no mechanism at all is a mistake."""
    assert logged_in.sign_init(how, logged_in.key(label)) == answer


def test_keys_that_cannot_sign(logged_in: Session) -> None:
    """One that nobody has, a public one, and one without a rule for it."""
    how = mechanism(ECDSA)
    assert logged_in.sign_init(how, 0) == Rv.CKR_KEY_HANDLE_INVALID
    public = logged_in.key("calls-pin", CKO_PUBLIC_KEY)
    wrong = {Rv.CKR_KEY_FUNCTION_NOT_PERMITTED, Rv.CKR_KEY_TYPE_INCONSISTENT, Rv.CKR_KEY_HANDLE_INVALID}
    assert logged_in.sign_init(how, public) in wrong
    read_only = logged_in.key("calls-read")
    assert logged_in.attribute(read_only, CKA.SIGN) == b"\0"
    assert logged_in.refusal(how, read_only, DIGEST) == Rv.CKR_KEY_FUNCTION_NOT_PERMITTED


def test_data_that_do_not_fit_the_key(logged_in: Session) -> None:
    """RSA: PKCS#1 wants eleven bytes of its own, PSS a digest of its hash."""
    key = logged_in.key("calls-rsa")
    assert len(logged_in.sign(mechanism(CKM.RSA_PKCS), key, bytes(245))) == 256
    assert logged_in.refusal(mechanism(CKM.RSA_PKCS), key, bytes(246)) == Rv.CKR_DATA_LEN_RANGE
    assert logged_in.refusal(mechanism(CKM.RSA_PKCS_PSS, pss_sha256()), key, bytes(31)) == Rv.CKR_DATA_LEN_RANGE


def test_lengths_that_lie(logged_in: Session) -> None:
    """Data longer than any memory, no data behind a length, no room for the answer's length."""
    cryptoki, key = logged_in.cryptoki, logged_in.key("calls-pin")
    length, buffer = c_ulong(64), (c_char * 64)()
    for arguments in (
        (DIGEST, CK_UNAVAILABLE, buffer, byref(length)),
        (DIGEST, 1 << 63, buffer, byref(length)),
        (None, 32, buffer, byref(length)),
        (DIGEST, 32, buffer, None),
    ):
        logged_in.sign_init(mechanism(ECDSA), key)
        assert cryptoki.C_Sign(logged_in.handle, *arguments) == Rv.CKR_ARGUMENTS_BAD
    assert len(logged_in.sign(mechanism(ECDSA), key, DIGEST)) == 64


def test_pointers_at_odd_addresses(logged_in: Session) -> None:
    """A mechanism and a length in the middle of nowhere are read byte by byte, or refused."""
    room = (c_char * 200)()
    odd = ctypes.addressof(room) + 1
    ctypes.memmove(odd, bytes(mechanism(CKM.ECDSA_SHA256).contents), 24)
    ctypes.memmove(odd + 32, bytes(c_ulong(64)), 8)
    answer = logged_in.sign_init(c_void_p(odd), logged_in.key("calls-pin"))
    assert answer in {Rv.CKR_OK, Rv.CKR_ARGUMENTS_BAD}
    if answer == Rv.CKR_OK:
        data = c_void_p(odd + 120)
        answer = logged_in.cryptoki.C_Sign(logged_in.handle, data, 7, c_void_p(odd + 48), c_void_p(odd + 32))
        assert answer in {Rv.CKR_OK, Rv.CKR_ARGUMENTS_BAD}


def test_parts_make_the_same_operation(logged_in: Session, appliance: Appliance) -> None:
    """C_SignUpdate any number of times; C_SignFinal's length query leaves it alive."""
    cryptoki, how, key = logged_in.cryptoki, mechanism(CKM.SHA256_RSA_PKCS), logged_in.key("calls-rsa")
    whole = logged_in.sign(how, key, b"one and two")
    length, buffer = c_ulong(), (c_char * 256)()
    assert logged_in.sign_init(how, key) == Rv.CKR_OK
    for part in (b"one ", b"", b"and two"):
        assert cryptoki.C_SignUpdate(logged_in.handle, part, len(part)) == Rv.CKR_OK
    assert cryptoki.C_SignFinal(logged_in.handle, None, byref(length)) == Rv.CKR_OK
    assert length.value == 256
    assert cryptoki.C_SignFinal(logged_in.handle, buffer, byref(length)) == Rv.CKR_OK
    assert bytes(buffer.raw) == whole
    assert cryptoki.C_SignUpdate(logged_in.handle, b"x", 1) == Rv.CKR_OPERATION_NOT_INITIALIZED
    record = appliance.api("GET", "/cores/1/keys/calls-rsa").json()
    public = load_der_public_key(base64.b64decode(record["public_key"]))
    assert isinstance(public, RSAPublicKey)
    public.verify(whole, b"one and two", PKCS1v15(), SHA256())


# -- digest and random ------------------------------------------------------------------------------------------------


def test_digests_are_made_here(session: Session) -> None:
    """In one part and in many; the answers are hashlib's."""
    for kind, name in ((CKM.SHA256, "sha256"), (CKM.SHA3_256, "sha3_256")):
        wanted = hashlib.new(name, b"some data").digest()
        assert session.digest(kind, [b"some data"]) == session.digest(kind, [b"some ", b"", b"data"]) == wanted
    assert session.cryptoki.C_DigestInit(session.handle, mechanism(ECDSA)) == Rv.CKR_MECHANISM_INVALID
    assert session.cryptoki.C_DigestUpdate(session.handle, b"x", 1) == Rv.CKR_OPERATION_NOT_INITIALIZED


def test_random_bytes_come_from_the_appliance(session: Session) -> None:
    """Any number of them; nobody can add to where they come from."""
    buffer = (c_char * 10_000)()
    assert session.cryptoki.C_GenerateRandom(session.handle, buffer, 10_000) == Rv.CKR_OK
    assert len(set(buffer.raw)) == 256
    assert session.cryptoki.C_GenerateRandom(session.handle, None, 10) == Rv.CKR_ARGUMENTS_BAD
    assert session.cryptoki.C_SeedRandom(session.handle, b"seed", 4) == Rv.CKR_RANDOM_SEED_NOT_SUPPORTED


# -- the appliance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["", "{", '{"url": "https://127.0.0.1:1", \u201cuser\u201d: "x"}'], ids=["empty", "cut", "typographic"]
)
def test_a_configuration_that_cannot_be_read_makes_no_slots(
    cryptoki: Cryptoki, configured: Callable[[Path], None], tmp_path: Path, content: str
) -> None:
    """At once and quietly, because p11-kit loads the module into programs that never heard of it."""
    (tmp_path / "client.json").write_text(content)
    configured(tmp_path / "client.json")
    began = time.monotonic()
    with cryptoki.initialized():
        assert cryptoki.slots() == []
    assert time.monotonic() - began < 9  # it waits for no time-out: the shortest is 10 s


def test_a_configuration_that_makes_no_sense_is_explained_in_its_log(
    cryptoki: Cryptoki,
    calls_host: Host,
    new_host: Callable[..., Host],
    configured: Callable[[Path], None],
    appliance: Appliance,
) -> None:
    """JSON, but with a value that cannot be: the log that it names says which."""
    host = new_host(appliance, user=calls_host.user, slots="both", log_level=1)
    configured(host.config)
    with cryptoki.initialized():
        assert cryptoki.slots() == []
    assert "'slots' must be" in host.log.read_text()


@pytest.fixture(scope="module")
def own_appliance(new_appliance: Callable[..., Appliance]) -> Appliance:
    """An appliance that these tests stop and start."""
    appliance = new_appliance()
    appliance.add_user("alice")
    appliance.add_rule("alice")
    return appliance


def own_session(cryptoki: Cryptoki, label: str) -> tuple[Session, int]:
    """A session that is logged in, with a key that has signed already."""
    session = cryptoki.open(cryptoki.slots()[0])
    assert session.login(PIN) == Rv.CKR_OK
    key = session.key(label)
    assert len(session.sign(mechanism(ECDSA), key, DIGEST)) == 64
    return session, key


def test_an_appliance_that_hangs(
    cryptoki: Cryptoki, own_appliance: Appliance, new_host: Callable[..., Host], configured: Any
) -> None:
    """The time-out of the configuration is kept, not the usual 10 s, and ends in CKR_DEVICE_REMOVED."""
    own_appliance.add_key("hanging")
    configured(new_host(own_appliance, user="alice", timeout_ms=4000, retries=0).config)
    with cryptoki.initialized():
        session, key = own_session(cryptoki, "hanging")
        assert own_appliance.process
        with own_appliance.process.frozen():
            began = time.monotonic()
            assert session.refusal(mechanism(ECDSA), key, DIGEST) == Rv.CKR_DEVICE_REMOVED
            assert 3.9 < time.monotonic() - began < 9.5
        assert len(session.sign(mechanism(ECDSA), key, DIGEST)) == 64
