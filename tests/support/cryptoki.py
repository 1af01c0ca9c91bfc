"""The C functions of a PKCS#11 module as a Python program calls them through ctypes, without a library in between.

Always true: a call returns the name of its CKR code, so a test compares words; nothing here repairs an argument.
"""

import ctypes
import os
from collections.abc import Iterable, Sequence
from ctypes import POINTER, Structure, byref, c_ubyte, c_ulong, c_void_p, cast, create_string_buffer, sizeof
from pathlib import Path

CODES = {
    0x0: "OK", 0x5: "GENERAL_ERROR", 0x6: "FUNCTION_FAILED", 0x7: "ARGUMENTS_BAD", 0x8: "NO_EVENT",
    0x11: "ATTRIBUTE_SENSITIVE",
    0x12: "ATTRIBUTE_TYPE_INVALID", 0x21: "DATA_LEN_RANGE", 0x30: "DEVICE_ERROR", 0x32: "DEVICE_REMOVED",
    0x51: "FUNCTION_NOT_PARALLEL", 0x54: "FUNCTION_NOT_SUPPORTED", 0x60: "KEY_HANDLE_INVALID",
    0x63: "KEY_TYPE_INCONSISTENT", 0x68: "KEY_FUNCTION_NOT_PERMITTED", 0x70: "MECHANISM_INVALID",
    0x71: "MECHANISM_PARAM_INVALID", 0x82: "OBJECT_HANDLE_INVALID", 0x90: "OPERATION_ACTIVE",
    0x91: "OPERATION_NOT_INITIALIZED", 0xA0: "PIN_INCORRECT", 0xA2: "PIN_LEN_RANGE", 0xA4: "PIN_LOCKED",
    0xB3: "SESSION_HANDLE_INVALID", 0xB4: "SESSION_PARALLEL_NOT_SUPPORTED", 0xC0: "SIGNATURE_INVALID",
    0xC1: "SIGNATURE_LEN_RANGE", 0x3: "SLOT_ID_INVALID", 0x100: "USER_ALREADY_LOGGED_IN",
    0x101: "USER_NOT_LOGGED_IN", 0x103: "USER_TYPE_INVALID", 0x120: "RANDOM_SEED_NOT_SUPPORTED",
    0x150: "BUFFER_TOO_SMALL", 0x190: "CRYPTOKI_NOT_INITIALIZED", 0x191: "CRYPTOKI_ALREADY_INITIALIZED",
    0x200: "FUNCTION_REJECTED",
}  # fmt: skip
CKA_CLASS, CKA_LABEL, CKA_VALUE, CKA_SENSITIVE, CKA_MODULUS, CKA_ID = 0x0, 0x3, 0x11, 0x103, 0x120, 0x102
PUBLIC, PRIVATE = 2, 3
RSA_PKCS, SHA256, ECDSA, ECDSA_SHA256, EDDSA = 0x1, 0x250, 0x1041, 0x1044, 0x1057
SO, USER = 0, 1
UNAVAILABLE = c_ulong(-1).value


class Attribute(Structure):
    """CK_ATTRIBUTE."""

    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


class Mechanism(Structure):
    """CK_MECHANISM without a parameter."""

    _fields_ = (("type", c_ulong), ("parameter", c_void_p), ("length", c_ulong))


class Module:
    """A loaded module; every method is one C function, or the few that make a step."""

    def __init__(self, path: str | Path | None = None) -> None:
        self.library = ctypes.CDLL(str(path or os.environ["MODULE"]))

    def call(self, name: str, *arguments: object) -> str:
        """Call a function and name its answer."""
        code = getattr(self.library, f"C_{name}")(*arguments)
        return CODES.get(code, hex(code))

    def initialize(self) -> str:
        """C_Initialize with no arguments."""
        return self.call("Initialize", None)

    def slots(self) -> list[int]:
        """The slots, as a program asks: their number first."""
        count = c_ulong()
        assert self.call("GetSlotList", c_ubyte(1), None, byref(count)) == "OK"
        slots = (c_ulong * count.value)()
        assert self.call("GetSlotList", c_ubyte(1), slots, byref(count)) == "OK"
        return list(slots)

    def open(self, slot: int | None = None) -> c_ulong:
        """A read-only session with a slot, or with the first."""
        session = c_ulong()
        slot = self.slots()[0] if slot is None else slot
        assert self.call("OpenSession", c_ulong(slot), c_ulong(4), None, None, byref(session)) == "OK"
        return session

    def login(self, session: c_ulong, pin: str, user: int = USER) -> str:
        """C_Login."""
        return self.call("Login", session, c_ulong(user), pin.encode(), c_ulong(len(pin.encode())))

    def find(self, session: c_ulong, label: str | None = None, kind: int | None = None) -> list[int]:
        """The handles of the objects with a label and class."""
        wanted: list[tuple[int, bytes]] = []
        if label is not None:
            wanted.append((CKA_LABEL, label.encode()))
        if kind is not None:
            wanted.append((CKA_CLASS, kind.to_bytes(sizeof(c_ulong), "little")))
        template = (Attribute * len(wanted))()
        for one, (name, value) in zip(template, wanted, strict=True):
            one.type, one.value, one.length = name, cast(create_string_buffer(value), c_void_p), len(value)
        assert self.call("FindObjectsInit", session, template, c_ulong(len(wanted))) == "OK"
        handles, count = (c_ulong * 100)(), c_ulong()
        assert self.call("FindObjects", session, handles, c_ulong(100), byref(count)) == "OK"
        assert self.call("FindObjectsFinal", session) == "OK"
        return handles[: count.value]

    def private(self, session: c_ulong, label: str) -> int:
        """The handle of a private key, which a search of all classes finds also before login."""
        public, private = self.find(session, label)
        assert public + 1 == private
        return private

    def sign_init(self, session: c_ulong, key: int, mechanism: int = ECDSA_SHA256) -> str:
        """C_SignInit."""
        return self.call("SignInit", session, byref(Mechanism(mechanism, None, 0)), c_ulong(key))

    def sign(self, session: c_ulong, data: bytes = b"data", room: int = 1024) -> tuple[str, bytes]:
        """C_Sign into a buffer of some size."""
        signature, length = create_string_buffer(room), c_ulong(room)
        code = self.call("Sign", session, data, c_ulong(len(data)), signature, byref(length))
        return code, signature.raw[: length.value]

    def sign_with(self, session: c_ulong, label: str, mechanism: int = ECDSA_SHA256, data: bytes = b"data") -> str:
        """Sign with the key of that label; the first refusal, or OK."""
        code = self.sign_init(session, self.private(session, label), mechanism)
        return self.sign(session, data)[0] if code == "OK" else code

    def verify(self, session: c_ulong, key: int, data: bytes, signature: bytes, mechanism: int = ECDSA_SHA256) -> str:
        """C_VerifyInit and C_Verify."""
        code = self.call("VerifyInit", session, byref(Mechanism(mechanism, None, 0)), c_ulong(key))
        if code != "OK":
            return code
        return self.call("Verify", session, data, c_ulong(len(data)), signature, c_ulong(len(signature)))

    def attributes(
        self, session: c_ulong, key: int, kinds: Sequence[int], rooms: Iterable[int | None]
    ) -> tuple[str, list[int]]:
        """C_GetAttributeValue with a buffer of each size, None for no buffer; the lengths that it answers."""
        template = (Attribute * len(kinds))()
        for one, kind, room in zip(template, kinds, rooms, strict=True):
            buffer = None if room is None else cast(create_string_buffer(room), c_void_p)
            one.type, one.value, one.length = kind, buffer, room or 0
        code = self.call("GetAttributeValue", session, c_ulong(key), cast(template, POINTER(Attribute)), len(kinds))
        return code, [one.length for one in template]
