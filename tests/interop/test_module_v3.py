"""What PKCS#11 v3.0 and v3.2 add: their function lists, and the functions of them that the module does.

Always true: the calls go through the lists that C_GetInterface gives, in this very process, to a real appliance.
"""

import ctypes
from collections.abc import Callable, Iterator
from ctypes import POINTER, byref, c_char, c_ubyte, c_ulong, c_void_p
from pathlib import Path
from typing import Any

import pytest

from support.appliance import PIN, Appliance
from support.function_list import (
    CKM,
    CKO_PUBLIC_KEY,
    CKU_USER,
    FUNCTIONS_3_2,
    CkInterface,
    Cryptoki,
    Rv,
    Session,
    mechanism,
)
from support.host import Host

ECDSA_SHA256 = CKM.ECDSA_SHA256
CKF_FIND_OBJECTS, CKF_SIGN = 0x40, 0x800
VERSIONS = [(3, 2), (3, 0), (2, 40)]


@pytest.fixture(scope="module")
def v3_host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user signs with `v3-key`."""
    appliance.add_user("v3-user")
    appliance.add_rule("v3-user", "v3-key")
    appliance.add_key("v3-key")
    return new_host(appliance, user="v3-user", timeout_ms=60_000)


@pytest.fixture
def running(newest: Cryptoki, v3_host: Host, configured: Callable[[Path], None]) -> Iterator[Cryptoki]:
    """The module through its newest interface, initialised."""
    configured(v3_host.config)
    with newest.initialized():
        yield newest


# -- interfaces -------------------------------------------------------------------------------------------------------


def test_each_version_has_its_list(module: Path) -> None:
    """Before C_Initialize; who names no version gets the newest, and another name, version or flag is not there."""
    library, count = ctypes.CDLL(str(module)), c_ulong(5)
    interfaces, found = (CkInterface * 5)(), POINTER(CkInterface)()
    assert library.C_GetInterfaceList(None, byref(count)) == Rv.CKR_OK
    assert count.value == 3
    assert library.C_GetInterfaceList(interfaces, byref(c_ulong(2))) == Rv.CKR_BUFFER_TOO_SMALL
    assert library.C_GetInterfaceList(interfaces, byref(count)) == Rv.CKR_OK
    versions = [tuple(ctypes.cast(one.functions, POINTER(c_ubyte))[:2]) for one in interfaces[:3]]
    assert versions == VERSIONS
    for name, version in ((None, None), (b"PKCS 11", None), (b"PKCS 11", bytes([3, 2]))):
        assert library.C_GetInterface(name, version, byref(found), c_ulong(0)) == Rv.CKR_OK
        assert found.contents.functions == interfaces[0].functions
    for name, version, flags in ((b"Vendor", None, 0), (None, bytes([3, 1]), 0), (None, None, 1)):
        answer = library.C_GetInterface(name, version, byref(found), c_ulong(flags))
        assert answer == Rv.CKR_FUNCTION_FAILED
        assert not found
    assert library.C_GetInterface(None, None, None, c_ulong(0)) == Rv.CKR_ARGUMENTS_BAD
    assert library.C_GetInterfaceList(interfaces, None) == Rv.CKR_ARGUMENTS_BAD


@pytest.mark.parametrize("version", VERSIONS)
def test_get_info_names_the_version_of_its_list(
    module: Path, v3_host: Host, configured: Callable[[Path], None], version: tuple[int, int]
) -> None:
    """A program can tell from it what it holds."""
    configured(v3_host.config)
    cryptoki, info = Cryptoki.of_interface(module, version), (c_ubyte * 128)()
    assert cryptoki.version == version
    with cryptoki.initialized():
        assert cryptoki.C_GetInfo(info) == Rv.CKR_OK
    assert tuple(info[:2]) == version


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS_3_2) - {"C_Initialize", "C_Finalize"}))
def test_no_function_of_the_newest_list_crashes_on_nothing(running: Cryptoki, name: str) -> None:
    """NULL for every pointer and 0 for every number is refused, one way or another."""
    assert getattr(running, name)(*[None] * 12) != Rv.CKR_OK


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        ("C_AsyncComplete C_AsyncGetID C_AsyncJoin", Rv.CKR_SESSION_ASYNC_NOT_SUPPORTED),
        ("C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated C_MessageEncryptInit", Rv.CKR_FUNCTION_NOT_SUPPORTED),
    ],
)
def test_what_is_not_done_says_so(session: Session, names: str, answer: Rv) -> None:
    """With the code that a program understands."""
    buffer = (c_char * 64)()
    for name in names.split():
        assert getattr(session.cryptoki, name)(session.handle, *[buffer] * 9) == answer, name


# -- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer"), [(b"", Rv.CKR_OK), (b"v3-user", Rv.CKR_OK), (b"somebody", Rv.CKR_PIN_INCORRECT)]
)
def test_a_login_may_name_the_user_of_the_configuration(session: Session, name: bytes, answer: Rv) -> None:
    """And nobody else."""
    done = session.cryptoki.C_LoginUser(session.handle, CKU_USER, PIN.encode(), len(PIN), name, len(name))
    assert done == answer
    assert session.state() == (3 if answer == Rv.CKR_OK else 2)


def test_a_cancelled_operation_is_none(logged_in: Session) -> None:
    """By C_SessionCancel, which leaves the others alone, or by an Init without a mechanism."""
    cryptoki, key = logged_in.cryptoki, logged_in.key("v3-key")
    assert logged_in.sign_init(mechanism(ECDSA_SHA256), key) == Rv.CKR_OK
    cryptoki.must("C_FindObjectsInit", logged_in.handle, None, 0)
    assert cryptoki.C_SessionCancel(logged_in.handle, CKF_SIGN) == Rv.CKR_OK
    assert cryptoki.C_SignUpdate(logged_in.handle, b"x", 1) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert cryptoki.C_FindObjectsFinal(logged_in.handle) == Rv.CKR_OK
    assert cryptoki.C_SessionCancel(logged_in.handle, CKF_SIGN | CKF_FIND_OBJECTS) == Rv.CKR_OK
    assert logged_in.sign_init(mechanism(ECDSA_SHA256), key) == Rv.CKR_OK
    assert logged_in.sign_init(None, key) == Rv.CKR_OK
    assert logged_in.sign_init(None, key) == Rv.CKR_ARGUMENTS_BAD
    assert logged_in.sign_init(mechanism(ECDSA_SHA256), key) == Rv.CKR_OK


def test_nothing_has_been_validated(session: Session) -> None:
    """The one kind of validation flags that v3.2 knows is 0, and another is a mistake."""
    flags = c_ulong(7)
    assert session.cryptoki.C_GetSessionValidationFlags(session.handle, 1, byref(flags)) == Rv.CKR_OK
    assert flags.value == 0
    assert session.cryptoki.C_GetSessionValidationFlags(session.handle, 9, byref(flags)) == Rv.CKR_ARGUMENTS_BAD


def test_a_token_is_not_set_up_by_programs(session: Session) -> None:
    """PINs belong to keys and cores to administrators; each refusal is the one that the specification has."""
    cryptoki, label, length = session.cryptoki, bytes(32), c_ulong(100)
    assert cryptoki.C_InitToken(12345, PIN.encode(), 8, label) == Rv.CKR_SLOT_ID_INVALID
    assert cryptoki.C_InitToken(session.slot, PIN.encode(), 8, label) == Rv.CKR_SESSION_EXISTS
    assert cryptoki.C_InitPIN(session.handle, PIN.encode(), 8) == Rv.CKR_USER_NOT_LOGGED_IN
    assert cryptoki.C_SetPIN(session.handle, PIN.encode(), 8, b"87654321", 8) == Rv.CKR_FUNCTION_NOT_SUPPORTED
    read_only = cryptoki.open(session.slot)
    assert cryptoki.C_SetPIN(read_only.handle, PIN.encode(), 8, b"87654321", 8) == Rv.CKR_SESSION_READ_ONLY
    cryptoki.must("C_CloseAllSessions", session.slot)
    assert cryptoki.C_InitToken(session.slot, PIN.encode(), 8, label) == Rv.CKR_PIN_INCORRECT
    again = cryptoki.open(session.slot)
    state = (c_char * 100)()
    answer = cryptoki.C_GetOperationState(again.handle, state, byref(length))
    assert answer == Rv.CKR_OPERATION_NOT_INITIALIZED
    cryptoki.must("C_DigestInit", again.handle, mechanism(CKM.SHA256))
    assert cryptoki.C_GetOperationState(again.handle, state, byref(length)) == Rv.CKR_STATE_UNSAVEABLE
    assert cryptoki.C_SetOperationState(again.handle, state, 100, 0, 0) == Rv.CKR_SAVED_STATE_INVALID


# -- messages ---------------------------------------------------------------------------------------------------------


def sign_message(session: Session, data: bytes, room: int = 64) -> tuple[Rv, bytes]:
    """C_SignMessage with a buffer of this size."""
    length, buffer = c_ulong(room), (c_char * max(room, 1))()
    answer = session.cryptoki.C_SignMessage(session.handle, None, 0, data, len(data), buffer, byref(length))
    return answer, bytes(buffer.raw[: min(length.value, room)])


def test_one_init_serves_many_messages(logged_in: Session) -> None:
    """Whole ones and ones in parts; C_VerifyMessage takes each, and no other message."""
    cryptoki, handle = logged_in.cryptoki, logged_in.handle
    public = logged_in.key("v3-key", CKO_PUBLIC_KEY)
    assert cryptoki.C_MessageSignInit(handle, mechanism(ECDSA_SHA256), logged_in.key("v3-key")) == Rv.CKR_OK
    answer, whole = sign_message(logged_in, b"one")
    assert (answer, len(whole)) == (Rv.CKR_OK, 64)
    parts = sign_in_parts(logged_in, [b"t", b"w"], b"o")
    assert cryptoki.C_MessageSignFinal(handle) == Rv.CKR_OK
    assert cryptoki.C_MessageSignFinal(handle) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert cryptoki.C_MessageVerifyInit(handle, mechanism(ECDSA_SHA256), public) == Rv.CKR_OK
    assert cryptoki.C_VerifyMessage(handle, None, 0, b"one", 3, whole, 64) == Rv.CKR_OK
    assert cryptoki.C_VerifyMessage(handle, None, 0, b"two", 3, whole, 64) == Rv.CKR_SIGNATURE_INVALID
    assert cryptoki.C_VerifyMessageBegin(handle, None, 0) == Rv.CKR_OK
    assert cryptoki.C_VerifyMessage(handle, None, 0, b"one", 3, whole, 64) == Rv.CKR_OPERATION_ACTIVE
    assert cryptoki.C_VerifyMessageNext(handle, None, 0, b"tw", 2, None, 0) == Rv.CKR_OK
    assert cryptoki.C_VerifyMessageNext(handle, None, 0, b"o", 1, parts, 64) == Rv.CKR_OK
    assert cryptoki.C_VerifyMessageNext(handle, None, 0, b"o", 1, parts, 64) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert cryptoki.C_MessageVerifyFinal(handle) == Rv.CKR_OK


def sign_in_parts(session: Session, parts: list[bytes], last: bytes) -> bytes:
    """C_SignMessageBegin and C_SignMessageNext, which is asked for the length first."""
    cryptoki, handle, length, buffer = session.cryptoki, session.handle, c_ulong(0), (c_char * 64)()
    assert cryptoki.C_SignMessageNext(handle, None, 0, b"x", 1, None, None) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert cryptoki.C_SignMessageBegin(handle, None, 0) == Rv.CKR_OK
    assert cryptoki.C_SignMessageBegin(handle, None, 0) == Rv.CKR_OPERATION_ACTIVE
    for part in parts:
        assert cryptoki.C_SignMessageNext(handle, None, 0, part, len(part), None, None) == Rv.CKR_OK
    assert cryptoki.C_SignMessageNext(handle, None, 0, last, len(last), None, byref(length)) == Rv.CKR_OK
    assert length.value == 64
    assert cryptoki.C_SignMessageNext(handle, None, 0, last, len(last), buffer, byref(length)) == Rv.CKR_OK
    return bytes(buffer.raw)


def test_a_message_that_fails_ends_itself_and_not_the_series(logged_in: Session) -> None:
    """Too little room, a parameter where none belongs, data that are not there."""
    cryptoki, handle, parameter = logged_in.cryptoki, logged_in.handle, (c_char * 8)()
    key = logged_in.key("v3-key")
    assert cryptoki.C_MessageSignInit(handle, mechanism(ECDSA_SHA256), key) == Rv.CKR_OK
    assert cryptoki.C_MessageSignInit(handle, mechanism(ECDSA_SHA256), key) == Rv.CKR_OPERATION_ACTIVE
    assert sign_message(logged_in, b"one", room=63)[0] == Rv.CKR_BUFFER_TOO_SMALL
    assert cryptoki.C_SignMessageBegin(handle, parameter, 8) == Rv.CKR_MECHANISM_PARAM_INVALID
    assert cryptoki.C_SignMessageBegin(handle, None, 8) == Rv.CKR_ARGUMENTS_BAD
    assert cryptoki.C_SignMessage(handle, None, 0, None, 5, parameter, byref(c_ulong(8))) == Rv.CKR_ARGUMENTS_BAD
    assert sign_message(logged_in, b"one")[0] == Rv.CKR_OK
    assert cryptoki.C_MessageSignInit(handle, None, key) == Rv.CKR_OK
    assert sign_message(logged_in, b"one")[0] == Rv.CKR_OPERATION_NOT_INITIALIZED


def test_messages_want_the_login_that_signatures_want(session: Session) -> None:
    """The key has a PIN."""
    cryptoki = session.cryptoki
    answer = cryptoki.C_MessageSignInit(session.handle, mechanism(ECDSA_SHA256), session.key("v3-key"))
    assert answer == Rv.CKR_USER_NOT_LOGGED_IN


# -- a signature given first ------------------------------------------------------------------------------------------


def test_a_signature_can_come_before_what_it_signs(logged_in: Session) -> None:
    """In one part and in many; a wrong one, a short one and a call out of order are refused."""
    cryptoki, handle, how = logged_in.cryptoki, logged_in.handle, mechanism(ECDSA_SHA256)
    public = logged_in.key("v3-key", CKO_PUBLIC_KEY)
    signature = logged_in.sign(how, logged_in.key("v3-key"), b"data")

    def begin(given: Any = signature, length: int = 64) -> Rv:
        answer: Rv = cryptoki.C_VerifySignatureInit(handle, how, public, given, length)
        return answer

    assert begin() == Rv.CKR_OK
    assert begin() == Rv.CKR_OPERATION_ACTIVE
    assert cryptoki.C_VerifySignature(handle, b"data", 4) == Rv.CKR_OK
    assert cryptoki.C_VerifySignature(handle, b"data", 4) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert begin() == Rv.CKR_OK
    assert cryptoki.C_VerifySignatureUpdate(handle, b"da", 2) == Rv.CKR_OK
    assert cryptoki.C_VerifySignatureUpdate(handle, b"ta", 2) == Rv.CKR_OK
    assert cryptoki.C_VerifySignatureFinal(handle) == Rv.CKR_OK
    assert begin() == Rv.CKR_OK
    assert cryptoki.C_VerifySignature(handle, b"date", 4) == Rv.CKR_SIGNATURE_INVALID
    assert begin(length=63) == Rv.CKR_SIGNATURE_LEN_RANGE
    assert begin(None) == Rv.CKR_ARGUMENTS_BAD
    assert cryptoki.C_VerifySignatureFinal(handle) == Rv.CKR_OPERATION_NOT_INITIALIZED
    assert begin() == Rv.CKR_OK
    assert cryptoki.C_VerifySignatureUpdate(handle, c_void_p(), 5) == Rv.CKR_ARGUMENTS_BAD
    assert cryptoki.C_VerifySignatureFinal(handle) == Rv.CKR_OPERATION_NOT_INITIALIZED
