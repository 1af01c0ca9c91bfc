"""Loads a PKCS#11 module and prints what it shows, as JSON: `python -I probe.py MODULE [LABEL]`.

A process of its own, because a module that crashes takes the process along that loaded it. It runs isolated, as a
script, and therefore imports nothing of ours.
"""

import ctypes
import json
import sys
from ctypes import POINTER, Structure, byref, c_char, c_ubyte, c_ulong, c_void_p, cast, create_string_buffer
from typing import Any

_CKF_SERIAL_SESSION = 4
_CKA_LABEL = 3
_MOST_OBJECTS = 16
_FUNCTIONS = {  # position in CK_FUNCTION_LIST, PKCS #11 v2.40, behind the version
    "C_Initialize": 0,
    "C_Finalize": 1,
    "C_GetSlotList": 4,
    "C_GetTokenInfo": 6,
    "C_OpenSession": 12,
    "C_CloseSession": 13,
    "C_FindObjectsInit": 26,
    "C_FindObjects": 27,
    "C_FindObjectsFinal": 28,
}


class _FunctionList(Structure):
    _fields_ = (("version", c_ubyte * 2), ("functions", c_void_p * 68))


class _TokenInfo(Structure):
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


class _Attribute(Structure):
    _fields_ = (("type", c_ulong), ("value", c_void_p), ("length", c_ulong))


class Module:
    """A module that is loaded; a call that is refused raises OSError with the CKR code."""

    def __init__(self, path: str) -> None:
        pointer = POINTER(_FunctionList)()
        code = ctypes.CDLL(path).C_GetFunctionList(byref(pointer))
        if code:
            raise OSError(f"C_GetFunctionList answers 0x{code:x}")
        self._functions = pointer.contents.functions

    def call(self, name: str, *arguments: object) -> None:
        """Call a function by its place in the list."""
        code = ctypes.CFUNCTYPE(c_ulong)(self._functions[_FUNCTIONS[name]])(*arguments)
        if code:
            raise OSError(f"{name} answers 0x{code:x}")

    def slots(self) -> list[int]:
        """The slots that hold a token."""
        count = c_ulong()
        self.call("C_GetSlotList", c_ubyte(1), None, byref(count))
        slots = (c_ulong * count.value)()
        self.call("C_GetSlotList", c_ubyte(1), slots, byref(count))
        return list(slots)

    def token(self, slot: int) -> dict[str, Any]:
        """What a token says of itself."""
        told = _TokenInfo()
        self.call("C_GetTokenInfo", c_ulong(slot), byref(told))
        return {"label": told.label.decode(errors="replace").rstrip(), "serial": told.serial.decode().rstrip()}

    def count(self, slot: int, label: str) -> int:
        """How many objects of this label a token shows without a login, at most sixteen."""
        session, found = c_ulong(), c_ulong()
        value = label.encode()
        template = _Attribute(_CKA_LABEL, cast(create_string_buffer(value), c_void_p), len(value))
        self.call("C_OpenSession", c_ulong(slot), c_ulong(_CKF_SERIAL_SESSION), None, None, byref(session))
        self.call("C_FindObjectsInit", session, byref(template), c_ulong(1))
        self.call("C_FindObjects", session, (c_ulong * _MOST_OBJECTS)(), c_ulong(_MOST_OBJECTS), byref(found))
        self.call("C_FindObjectsFinal", session)
        self.call("C_CloseSession", session)
        return found.value


def look(path: str, label: str | None) -> list[dict[str, Any]]:
    """The tokens of a module, each with how many objects have the label.

    Raises:
        OSError: it cannot be loaded, or a call is refused.
    """
    module = Module(path)
    module.call("C_Initialize", None)
    tokens = [{**module.token(slot), "objects": module.count(slot, label) if label else 0} for slot in module.slots()]
    module.call("C_Finalize", None)
    return tokens


def main(arguments: list[str]) -> int:
    """Print the tokens, or on stderr why there are none to print."""
    path, label = [*arguments, None][:2]
    try:
        tokens = look(str(path), label)
    except (OSError, AttributeError) as error:
        print(error, file=sys.stderr)  # noqa: T201  that is what this program is for
        return 1
    print(json.dumps(tokens))  # noqa: T201  as above
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
