"""One table of all functions that take a session, and what each answers to arguments that no good program passes.

Always true: of the arguments one alone is wrong, so that the answer is about that one; pointers that are right lead to
memory that is there, at odd addresses too.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_char, c_void_p
from pathlib import Path
from typing import Any

import pytest

from support.appliance import Appliance
from support.function_list import (
    CK_UNAVAILABLE,
    CKM,
    FUNCTIONS_3_2,
    Cryptoki,
    Rv,
    Session,
)
from support.host import Host

# Arguments after the session: number n, handle h, mechanism M, template T with its count, bytes B with their length,
# room for bytes O with its length's place, place for a number P, pointer that may be NULL *.
TABLE = {
    "C_InitPIN": "B",
    "C_SetPIN": "BB",
    "C_CloseSession": "",
    "C_GetSessionInfo": "P",
    "C_GetOperationState": "O",
    "C_SetOperationState": "Bhh",
    "C_Login": "nB",
    "C_Logout": "",
    "C_CreateObject": "TP",
    "C_CopyObject": "hTP",
    "C_DestroyObject": "h",
    "C_GetObjectSize": "hP",
    "C_GetAttributeValue": "hT",
    "C_SetAttributeValue": "hT",
    "C_FindObjectsInit": "T",
    "C_FindObjects": "PnP",
    "C_FindObjectsFinal": "",
    "C_EncryptInit": "Mh",
    "C_Encrypt": "BO",
    "C_DecryptInit": "Mh",
    "C_Decrypt": "BO",
    "C_DigestInit": "M",
    "C_Digest": "BO",
    "C_DigestUpdate": "B",
    "C_DigestFinal": "O",
    "C_SignInit": "Mh",
    "C_Sign": "BO",
    "C_SignUpdate": "B",
    "C_SignFinal": "O",
    "C_VerifyInit": "Mh",
    "C_Verify": "BB",
    "C_VerifyUpdate": "B",
    "C_VerifyFinal": "B",
    "C_GenerateKey": "MTP",
    "C_GenerateKeyPair": "MTTPP",
    "C_DeriveKey": "MhTP",
    "C_SeedRandom": "*n",
    "C_GenerateRandom": "B",
    "C_LoginUser": "nBB",
    "C_SessionCancel": "n",
    "C_MessageSignInit": "Mh",
    "C_SignMessage": "**BO",
    "C_SignMessageBegin": "**",
    "C_SignMessageNext": "**BO",
    "C_MessageSignFinal": "",
    "C_MessageVerifyInit": "Mh",
    "C_VerifyMessage": "**BB",
    "C_VerifyMessageBegin": "**",
    "C_VerifyMessageNext": "**BB",
    "C_MessageVerifyFinal": "",
    "C_EncapsulateKey": "MhTOP",
    "C_DecapsulateKey": "MhTBP",
    "C_VerifySignatureInit": "MhB",
    "C_VerifySignature": "B",
    "C_VerifySignatureUpdate": "B",
    "C_VerifySignatureFinal": "",
    "C_GetSessionValidationFlags": "nP",
}
NOT_DONE_NAMES = """
    C_EncryptUpdate C_EncryptFinal C_DecryptUpdate C_DecryptFinal C_DigestKey C_SignRecoverInit C_SignRecover
    C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate
    C_DecryptVerifyUpdate C_WrapKey C_UnwrapKey C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin
    C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin
    C_DecryptMessageNext C_MessageDecryptFinal C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated C_AsyncComplete
    C_AsyncGetID C_AsyncJoin C_GetFunctionStatus C_CancelFunction
"""
WITHOUT_SESSION_NAMES = """
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_OpenSession C_CloseAllSessions C_WaitForSlotEvent C_GetInterfaceList
    C_GetInterface
"""
NOT_DONE, WITHOUT_SESSION = NOT_DONE_NAMES.split(), WITHOUT_SESSION_NAMES.split()
OUT_OF_ORDER = [name for name in TABLE if name.endswith(("Update", "Final", "Next", "Begin", "Message"))] + [
    "C_Encrypt",
    "C_Decrypt",
    "C_Digest",
    "C_Sign",
    "C_Verify",
    "C_FindObjects",
    "C_VerifySignature",
]
WIDTHS = {"M": 1, "T": 2, "B": 2, "O": 2, "P": 1, "n": 1, "h": 1, "*": 1}


@pytest.fixture(scope="module")
def bad_host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """A host whose user may read a key."""
    appliance.add_user("bad-user")
    appliance.add_rule("bad-user", "bad-key")
    appliance.add_key("bad-key")
    return new_host(appliance, user="bad-user", timeout_ms=60_000)


@pytest.fixture
def running(newest: Cryptoki, bad_host: Host, configured: Callable[[Path], None]) -> Iterator[Cryptoki]:
    """The module through its newest interface, initialised."""
    configured(bad_host.config)
    with newest.initialized():
        yield newest


class Memory:
    """Arguments that are right, each in memory of its own that begins at an odd address if that is asked for."""

    def __init__(self, *, odd: bool = False) -> None:
        self.odd = odd
        self.kept: list[Any] = []

    def place(self, content: bytes) -> c_void_p:
        """A copy of some bytes, with a little room behind."""
        room = (c_char * (len(content) + 65))()
        self.kept.append(room)
        address = ctypes.addressof(room) + int(self.odd)
        ctypes.memmove(address, content, len(content))
        return c_void_p(address)

    def arguments(self, letter: str) -> list[Any]:
        """The arguments that a letter of the table stands for."""
        number = (32).to_bytes(8, "little")
        made: dict[str, Callable[[], list[Any]]] = {
            "M": lambda: [self.place(CKM.SHA256.to_bytes(8, "little") + bytes(16))],
            "T": lambda: [self.place(bytes(24)), 0],
            "B": lambda: [self.place(bytes(32)), 32],
            "O": lambda: [self.place(bytes(64)), self.place(number)],
            "P": lambda: [self.place(bytes(64))],
            "*": lambda: [None],
        }
        return made.get(letter, lambda: [0])()

    def all(self, letters: str) -> list[Any]:
        """All arguments of a function."""
        return [argument for letter in letters for argument in self.arguments(letter)]


def places(letters: str, wanted: str) -> Iterator[int]:
    """Where the arguments of some letters begin."""
    at = 0
    for letter in letters:
        if letter in wanted:
            yield at
        at += WIDTHS[letter]


def call(session: Session, name: str, arguments: Sequence[Any], handle: int | None = None) -> Rv:
    """The function, in the session unless another handle is given."""
    answer: Rv = getattr(session.cryptoki, name)(session.handle if handle is None else handle, *arguments)
    return answer


def test_the_table_is_complete() -> None:
    """Every function of v3.2 is in one of the three lists."""
    assert sorted([*TABLE, *NOT_DONE, *WITHOUT_SESSION]) == sorted(FUNCTIONS_3_2)


@pytest.mark.parametrize("odd", [False, True], ids=["aligned", "odd"])
@pytest.mark.parametrize("name", TABLE)
def test_a_session_that_is_not_there(session: Session, name: str, *, odd: bool) -> None:
    """Whatever else is passed, and at whatever address."""
    for handle in (0, session.handle + 1, CK_UNAVAILABLE):
        memory = Memory(odd=odd)
        answer = call(session, name, memory.all(TABLE[name]), handle)
        assert answer == Rv.CKR_SESSION_HANDLE_INVALID, hex(handle)


@pytest.mark.parametrize("name", [name for name in TABLE if set("BT") & set(TABLE[name])])
def test_a_length_that_lies(session: Session, name: str) -> None:
    """Bytes and templates longer than any memory, and lengths with nothing behind them."""
    for at in places(TABLE[name], "BT"):
        for pointer, length in ((True, CK_UNAVAILABLE), (True, 1 << 63), (False, 1)):
            memory = Memory()
            arguments = memory.all(TABLE[name])
            arguments[at + 1] = length
            if not pointer:
                arguments[at] = None
            assert call(session, name, arguments) == Rv.CKR_ARGUMENTS_BAD, (at, length)


@pytest.mark.parametrize(
    "name", sorted({name for name in TABLE if set("PO") & set(TABLE[name])} - {"C_SignMessageNext"})
)
def test_an_answer_that_has_no_place(session: Session, name: str) -> None:
    """NULL where a number is to be written, or the length of an answer to be read, but for C_SignMessageNext."""
    letters = TABLE[name]
    for at in [*places(letters, "P"), *(at + 1 for at in places(letters, "O"))]:
        memory = Memory()
        arguments = memory.all(letters)
        arguments[at] = None
        assert call(session, name, arguments) == Rv.CKR_ARGUMENTS_BAD, at


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_an_operation_that_has_not_begun(session: Session, name: str) -> None:
    """Nothing goes on, and nothing ends."""
    memory = Memory()
    assert call(session, name, memory.all(TABLE[name])) == Rv.CKR_OPERATION_NOT_INITIALIZED


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name].startswith("M")])
def test_a_mechanism_whose_parameter_lies(session: Session, name: str) -> None:
    """No parameter behind a length, and one longer than any memory."""
    for length in (8, CK_UNAVAILABLE):
        memory = Memory()
        arguments = memory.all(TABLE[name])
        arguments[0] = memory.place(CKM.ECDSA.to_bytes(8, "little") + bytes(8) + length.to_bytes(8, "little"))
        assert call(session, name, arguments) == Rv.CKR_ARGUMENTS_BAD
