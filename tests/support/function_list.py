"""The PKCS#11 module as a C program sees it: the function list, raw pointers and raw return values.

Always true: nothing here is clever. Every call goes through the pointers of C_GetFunctionList, the way programs do it,
and gives back the CK_RV as it is, so that a test can ask for any wrong call. Structures are PKCS#11 v2.40's, on Linux.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_ubyte, c_ulong, c_void_p
from enum import IntEnum
from pathlib import Path
from typing import Any

CK_UNAVAILABLE = c_ulong(-1).value
CKF_RW_SESSION, CKF_SERIAL_SESSION = 2, 4
CKU_SO, CKU_USER = 0, 1
CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY = range(5)
CKK_RSA, CKK_EC, CKK_GENERIC_SECRET, CKK_AES, CKK_EC_EDWARDS = 0, 3, 0x10, 0x1F, 0x40

# The order is that of CK_FUNCTION_LIST.
_NAMES = """
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo
    C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession
    C_CloseAllSessions C_GetSessionInfo C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject
    C_CopyObject C_DestroyObject C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit
    C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt
    C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign
    C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal
    C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate
    C_DecryptVerifyUpdate C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom
    C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
"""
FUNCTIONS = _NAMES.split()
_NAMES_OF_3_0 = """
    C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit C_EncryptMessage
    C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage
    C_DecryptMessageBegin C_DecryptMessageNext C_MessageDecryptFinal C_MessageSignInit C_SignMessage
    C_SignMessageBegin C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin
    C_VerifyMessageNext C_MessageVerifyFinal
"""
FUNCTIONS_3_0 = FUNCTIONS + _NAMES_OF_3_0.split()
_NAMES_OF_3_2 = """
    C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate
    C_VerifySignatureFinal C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin
    C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated
"""
FUNCTIONS_3_2 = FUNCTIONS_3_0 + _NAMES_OF_3_2.split()


class Rv(IntEnum):
    """The return values that the tests name."""

    CKR_OK = 0x0
    CKR_SLOT_ID_INVALID = 0x3
    CKR_GENERAL_ERROR = 0x5
    CKR_FUNCTION_FAILED = 0x6
    CKR_ARGUMENTS_BAD = 0x7
    CKR_ATTRIBUTE_READ_ONLY = 0x10
    CKR_ATTRIBUTE_SENSITIVE = 0x11
    CKR_ATTRIBUTE_TYPE_INVALID = 0x12
    CKR_ATTRIBUTE_VALUE_INVALID = 0x13
    CKR_ACTION_PROHIBITED = 0x1B
    CKR_DATA_INVALID = 0x20
    CKR_DATA_LEN_RANGE = 0x21
    CKR_DEVICE_ERROR = 0x30
    CKR_DEVICE_REMOVED = 0x32
    CKR_ENCRYPTED_DATA_INVALID = 0x40
    CKR_ENCRYPTED_DATA_LEN_RANGE = 0x41
    CKR_FUNCTION_NOT_PARALLEL = 0x51
    CKR_FUNCTION_NOT_SUPPORTED = 0x54
    CKR_KEY_HANDLE_INVALID = 0x60
    CKR_KEY_SIZE_RANGE = 0x62
    CKR_KEY_TYPE_INCONSISTENT = 0x63
    CKR_KEY_INDIGESTIBLE = 0x67
    CKR_KEY_FUNCTION_NOT_PERMITTED = 0x68
    CKR_KEY_NOT_WRAPPABLE = 0x69
    CKR_KEY_UNEXTRACTABLE = 0x6A
    CKR_MECHANISM_INVALID = 0x70
    CKR_MECHANISM_PARAM_INVALID = 0x71
    CKR_OBJECT_HANDLE_INVALID = 0x82
    CKR_OPERATION_ACTIVE = 0x90
    CKR_OPERATION_NOT_INITIALIZED = 0x91
    CKR_PIN_INCORRECT = 0xA0
    CKR_PIN_LEN_RANGE = 0xA2
    CKR_PIN_LOCKED = 0xA4
    CKR_SESSION_HANDLE_INVALID = 0xB3
    CKR_SESSION_PARALLEL_NOT_SUPPORTED = 0xB4
    CKR_SESSION_READ_ONLY = 0xB5
    CKR_SESSION_EXISTS = 0xB6
    CKR_SIGNATURE_INVALID = 0xC0
    CKR_SIGNATURE_LEN_RANGE = 0xC1
    CKR_TEMPLATE_INCOMPLETE = 0xD0
    CKR_TEMPLATE_INCONSISTENT = 0xD1
    CKR_USER_ALREADY_LOGGED_IN = 0x100
    CKR_USER_NOT_LOGGED_IN = 0x101
    CKR_USER_TYPE_INVALID = 0x103
    CKR_RANDOM_SEED_NOT_SUPPORTED = 0x120
    CKR_CURVE_NOT_SUPPORTED = 0x140
    CKR_BUFFER_TOO_SMALL = 0x150
    CKR_SAVED_STATE_INVALID = 0x160
    CKR_STATE_UNSAVEABLE = 0x180
    CKR_CRYPTOKI_NOT_INITIALIZED = 0x190
    CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191
    CKR_FUNCTION_REJECTED = 0x200
    CKR_SESSION_ASYNC_NOT_SUPPORTED = 0x205


_KNOWN = frozenset(Rv)


class CKA(IntEnum):
    """The attributes that the tests name."""

    CLASS = 0x0
    TOKEN = 0x1
    PRIVATE = 0x2
    LABEL = 0x3
    APPLICATION = 0x10
    VALUE = 0x11
    CERTIFICATE_TYPE = 0x80
    TRUSTED = 0x86
    KEY_TYPE = 0x100
    SUBJECT = 0x101
    ID = 0x102
    SENSITIVE = 0x103
    DECRYPT = 0x105
    SIGN = 0x108
    VERIFY = 0x10A
    MODULUS = 0x120
    MODULUS_BITS = 0x121
    PUBLIC_EXPONENT = 0x122
    PUBLIC_KEY_INFO = 0x129
    VALUE_LEN = 0x161
    EXTRACTABLE = 0x162
    LOCAL = 0x163
    MODIFIABLE = 0x170
    COPYABLE = 0x171
    DESTROYABLE = 0x172
    EC_PARAMS = 0x180
    EC_POINT = 0x181
    ALWAYS_AUTHENTICATE = 0x202
    PARAMETER_SET = 0x61D


class CKM(IntEnum):
    """The mechanisms that the tests name."""

    RSA_PKCS_KEY_PAIR_GEN = 0x0
    RSA_PKCS = 0x1
    RSA_X_509 = 0x3
    RSA_PKCS_OAEP = 0x9
    RSA_PKCS_PSS = 0xD
    ML_KEM = 0x17
    ML_DSA_KEY_PAIR_GEN = 0x1C
    ML_DSA = 0x1D
    HASH_ML_DSA_SHA512 = 0x26
    SHA256_RSA_PKCS = 0x40
    SHA256_RSA_PKCS_PSS = 0x43
    SHA256 = 0x250
    SHA3_256 = 0x2B0
    EC_KEY_PAIR_GEN = 0x1040
    ECDSA = 0x1041
    ECDSA_SHA256 = 0x1044
    ECDH1_DERIVE = 0x1050
    ECDSA_SHA3_256 = 0x1048
    EC_EDWARDS_KEY_PAIR_GEN = 0x1055
    EDDSA = 0x1057
    AES_GCM = 0x1087


class CkMechanism(Structure):
    """CK_MECHANISM."""

    _fields_ = (("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong))


class CkAttribute(Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


class CkSessionInfo(Structure):
    """CK_SESSION_INFO."""

    _fields_ = (("slot", c_ulong), ("state", c_ulong), ("flags", c_ulong), ("device_error", c_ulong))


class CkPssParams(Structure):
    """CK_RSA_PKCS_PSS_PARAMS."""

    _fields_ = (("hash", c_ulong), ("mgf", c_ulong), ("salt_length", c_ulong))


class CkOaepParams(Structure):
    """CK_RSA_PKCS_OAEP_PARAMS."""

    _fields_ = (
        ("hash", c_ulong),
        ("mgf", c_ulong),
        ("source", c_ulong),
        ("label", c_char_p),
        ("label_length", c_ulong),
    )


class CkEcdhParams(Structure):
    """CK_ECDH1_DERIVE_PARAMS."""

    _fields_ = (
        ("kdf", c_ulong),
        ("shared_length", c_ulong),
        ("shared", c_char_p),
        ("public_length", c_ulong),
        ("public", c_char_p),
    )


class CkContext(Structure):
    """CK_SIGN_ADDITIONAL_CONTEXT."""

    _fields_ = (("hedge", c_ulong), ("context", c_char_p), ("length", c_ulong))


class CkTokenInfo(Structure):
    """CK_TOKEN_INFO; its ten numbers from ulMaxSessionCount on are one field."""

    _fields_ = (
        ("label", c_char * 32),
        ("manufacturer", c_char * 32),
        ("model", c_char * 16),
        ("serial", c_char * 16),
        ("flags", c_ulong),
        ("numbers", c_ulong * 10),
        ("versions", c_ubyte * 4),
        ("time", c_char * 16),
    )


class CkInterface(Structure):
    """CK_INTERFACE of v3.0."""

    _fields_ = (("name", c_char_p), ("functions", c_void_p), ("flags", c_ulong))


class _FunctionList(Structure):
    _fields_ = (("version", c_ubyte * 2), ("functions", c_void_p * len(FUNCTIONS_3_2)))


class CallError(Exception):
    """A call that a test takes for granted was refused; the text names the call and the code."""


class Cryptoki:
    """A loaded module. `cryptoki.C_Sign(...)` is the raw call; arguments are integers, pointers, bytes or None."""

    def __init__(self, module: Path) -> None:
        self.library = ctypes.CDLL(str(module))
        pointer = POINTER(_FunctionList)()
        assert self.library.C_GetFunctionList(byref(pointer)) == Rv.CKR_OK
        self._read_list(pointer, FUNCTIONS)

    def _read_list(self, pointer: Any, names: Sequence[str]) -> None:
        self.version = tuple(pointer.contents.version)
        prototype = ctypes.CFUNCTYPE(c_ulong)
        self._functions = {name: prototype(pointer.contents.functions[at]) for at, name in enumerate(names)}

    @classmethod
    def of_interface(cls, module: Path, version: tuple[int, int]) -> "Cryptoki":
        """The same library as a program of v3.0 or v3.2 uses it."""
        made = cls(module)
        found = POINTER(CkInterface)()
        assert made.library.C_GetInterface(b"PKCS 11", bytes(version), byref(found), c_ulong(0)) == Rv.CKR_OK
        names = {(2, 40): FUNCTIONS, (3, 0): FUNCTIONS_3_0, (3, 2): FUNCTIONS_3_2}[version]
        made._read_list(ctypes.cast(found.contents.functions, POINTER(_FunctionList)), names)
        return made

    def __getattr__(self, name: str) -> Any:
        function = self._functions[name]

        def call(*arguments: Any) -> Rv | int:
            # An int would travel as a 32-bit one.
            wide = [c_ulong(given & CK_UNAVAILABLE) if isinstance(given, int) else given for given in arguments]
            answer: int = function(*wide)
            return Rv(answer) if answer in _KNOWN else answer

        return call

    def must(self, name: str, *arguments: Any) -> None:
        """Call a function that has to say CKR_OK; CallError when it does not."""
        answer = getattr(self, name)(*arguments)
        if answer != Rv.CKR_OK:
            raise CallError(f"{name}: {answer!r}")

    @contextmanager
    def initialized(self) -> Iterator[None]:
        """C_Initialize(NULL) before and C_Finalize after."""
        self.must("C_Initialize", None)
        try:
            yield
        finally:
            self.must("C_Finalize", None)

    def slots(self) -> list[int]:
        """The ids of the slots with a token."""
        count = c_ulong()
        self.must("C_GetSlotList", 1, None, byref(count))
        ids = (c_ulong * max(count.value, 1))()
        self.must("C_GetSlotList", 1, ids, byref(count))
        return list(ids)[: count.value]

    def open(self, slot: int, flags: int = CKF_SERIAL_SESSION) -> "Session":
        """A session on a slot."""
        handle = c_ulong()
        self.must("C_OpenSession", slot, flags, None, None, byref(handle))
        return Session(self, handle.value, slot)


def mechanism(kind: int, parameter: Structure | None = None) -> Any:
    """A pointer to a CK_MECHANISM, which keeps its parameter alive."""
    found = CkMechanism(kind, None, 0)
    if parameter is not None:
        found.parameter = ctypes.cast(ctypes.pointer(parameter), c_void_p)
        found.length = ctypes.sizeof(parameter)
    pointer = ctypes.pointer(found)
    pointer._kept = parameter  # type: ignore[attr-defined]
    return pointer


def pss_sha256() -> CkPssParams:
    """RSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes."""
    return CkPssParams(CKM.SHA256, 2, 32)


def template(attributes: Mapping[int, bytes | int]) -> Any:
    """An array of CK_ATTRIBUTE, which keeps its values alive."""
    values = [_value(value) for value in attributes.values()]
    pairs = zip(attributes, values, strict=True)
    array = (CkAttribute * len(values))(
        *(CkAttribute(kind, ctypes.cast(value, c_void_p), len(value)) for kind, value in pairs)
    )
    array._kept = values  # type: ignore[attr-defined]
    return array


def _value(value: bytes | int) -> Any:
    if isinstance(value, bool):
        content = bytes([value])
    elif isinstance(value, int):
        content = bytes(c_ulong(value))
    else:
        content = value
    return (c_char * len(content)).from_buffer_copy(content) if content else (c_char * 0)()


class Session:
    """A session's handle with the calls that take several steps."""

    def __init__(self, cryptoki: Cryptoki, handle: int, slot: int) -> None:
        self.cryptoki = cryptoki
        self.handle = handle
        self.slot = slot

    def login(self, pin: str | bytes, user: int = CKU_USER) -> Rv:
        """C_Login, as it answers."""
        content = pin.encode() if isinstance(pin, str) else pin
        answer: Rv = self.cryptoki.C_Login(self.handle, user, content, len(content))
        return answer

    def state(self) -> int:
        """CK_SESSION_INFO's state: 0 and 1 read-only before and after login, 2 and 3 read-write."""
        found = CkSessionInfo()
        self.cryptoki.must("C_GetSessionInfo", self.handle, byref(found))
        state: int = found.state
        return state

    def find(self, attributes: Mapping[int, bytes | int], *, at_a_time: int = 8) -> list[int]:
        """The handles of all objects that fit."""
        self.cryptoki.must("C_FindObjectsInit", self.handle, template(attributes), len(attributes))
        found: list[int] = []
        count, handles = c_ulong(1), (c_ulong * at_a_time)()
        while count.value:
            self.cryptoki.must("C_FindObjects", self.handle, handles, at_a_time, byref(count))
            found += list(handles)[: count.value]
        self.cryptoki.must("C_FindObjectsFinal", self.handle)
        return found

    def key(self, label: str, kind: int = CKO_PRIVATE_KEY) -> int:
        """The handle of the one object with this class and label.

        The search names the label alone: one for private keys finds none with a PIN before login.
        """
        found = self.find({CKA.LABEL: label.encode()})
        (handle,) = (one for one in found if int.from_bytes(self.attribute(one, CKA.CLASS), "little") == kind)
        return handle

    def generate_pair(
        self, kind: int, public: Mapping[int, bytes | int], private: Mapping[int, bytes | int]
    ) -> tuple[Rv, int, int]:
        """C_GenerateKeyPair's answer and the handles of the public and the private object."""
        handles = c_ulong(), c_ulong()
        answer = self.cryptoki.C_GenerateKeyPair(
            self.handle,
            mechanism(kind),
            template(public),
            len(public),
            template(private),
            len(private),
            byref(handles[0]),
            byref(handles[1]),
        )
        return answer, handles[0].value, handles[1].value

    def create(self, attributes: Mapping[int, bytes | int]) -> tuple[Rv, int]:
        """C_CreateObject's answer and the handle."""
        handle = c_ulong()
        given = template(attributes)
        answer = self.cryptoki.C_CreateObject(self.handle, given, len(attributes), byref(handle))
        return answer, handle.value

    def copy(self, handle: int, attributes: Mapping[int, bytes | int]) -> tuple[Rv, int]:
        """C_CopyObject's answer and the copy's handle."""
        copied = c_ulong()
        given = template(attributes)
        answer = self.cryptoki.C_CopyObject(self.handle, handle, given, len(attributes), byref(copied))
        return answer, copied.value

    def change(self, handle: int, attributes: Mapping[int, bytes | int]) -> Rv:
        """C_SetAttributeValue, as it answers."""
        given = template(attributes)
        answer: Rv = self.cryptoki.C_SetAttributeValue(self.handle, handle, given, len(attributes))
        return answer

    def attribute(self, handle: int, kind: int) -> bytes:
        """One attribute's value, by the usual two calls."""
        asked = CkAttribute(kind)
        self.cryptoki.must("C_GetAttributeValue", self.handle, handle, byref(asked), 1)
        buffer = (c_char * asked.length)()
        asked.value = ctypes.cast(buffer, c_void_p)
        self.cryptoki.must("C_GetAttributeValue", self.handle, handle, byref(asked), 1)
        return bytes(buffer.raw[: asked.length])

    def sign_init(self, how: Any, key: int) -> Rv:
        """C_SignInit, as it answers."""
        answer: Rv = self.cryptoki.C_SignInit(self.handle, how, key)
        return answer

    def sign(self, how: Any, key: int, data: bytes) -> bytes:
        """C_SignInit and C_Sign with a buffer that is large enough; CallError names the one that refused."""
        self.cryptoki.must("C_SignInit", self.handle, how, key)
        length, buffer = c_ulong(1024), (c_char * 1024)()
        self.cryptoki.must("C_Sign", self.handle, data, len(data), buffer, byref(length))
        return bytes(buffer.raw[: length.value])

    def refusal(self, how: Any, key: int, data: bytes) -> Rv:
        """What C_SignInit or, when that accepts, C_Sign answers."""
        answer = self.sign_init(how, key)
        length, buffer = c_ulong(1024), (c_char * 1024)()
        if answer == Rv.CKR_OK:
            answer = self.cryptoki.C_Sign(self.handle, data, len(data), buffer, byref(length))
        return answer

    def verify(self, how: Any, key: int, data: bytes, signature: bytes) -> Rv:
        """What C_VerifyInit or, when that accepts, C_Verify answers."""
        answer: Rv = self.cryptoki.C_VerifyInit(self.handle, how, key)
        if answer == Rv.CKR_OK:
            answer = self.cryptoki.C_Verify(self.handle, data, len(data), signature, len(signature))
        return answer

    def digest(self, kind: int, parts: Sequence[bytes]) -> bytes:
        """A digest in one call for one part, and by C_DigestUpdate for any other number."""
        length, buffer = c_ulong(64), (c_char * 64)()
        self.cryptoki.must("C_DigestInit", self.handle, mechanism(kind))
        if len(parts) == 1:
            self.cryptoki.must("C_Digest", self.handle, parts[0], len(parts[0]), buffer, byref(length))
        else:
            for part in parts:
                self.cryptoki.must("C_DigestUpdate", self.handle, part, len(part))
            self.cryptoki.must("C_DigestFinal", self.handle, buffer, byref(length))
        return bytes(buffer.raw[: length.value])
