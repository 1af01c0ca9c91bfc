"""osslsigncode: signs a Windows program with a key on the token."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from support.tokens import Token

pytestmark = [pytest.mark.interop, pytest.mark.program("osslsigncode", "osslsigncode")]


def smallest_program() -> bytes:
    """A PE file of 1 KiB: headers, one empty section, nothing that would run."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20B, 1, 0, 512, 0, 0, 0x1000, 0x1000)
    optional += struct.pack("<QIIHHHHHHIIIIHH", 0x140000000, 0x1000, 512, 6, 0, 0, 0, 6, 0, 0, 0x2000, 512, 0, 3, 0)
    optional += struct.pack("<QQQQII", 0x100000, 0x1000, 0x100000, 0x1000, 0, 16) + bytes(128)
    section = b".text\0\0\0" + struct.pack("<IIIIIIHHI", 1, 0x1000, 512, 512, 0, 0, 0, 0, 0x60000020)
    headers = dos + b"PE\0\0" + coff + optional + section
    return headers.ljust(512, b"\0") + bytes(512)


def test_signs_a_program(token: Token, key: str, needs: Callable[..., None]) -> None:
    """Sign and verify of a PE file."""
    needs("osslsigncode")
    (token.directory / "program.exe").write_bytes(smallest_program())
    (token.directory / "signed.exe").unlink(missing_ok=True)
    (engine,) = Path("/usr/lib").glob("*/engines-3/pkcs11.so")
    with_key = ["-pkcs11engine", engine, "-pkcs11module", token.module, "-key", token.uri(key, pin=False)]
    files = ["-readpass", "pin", "-certs", token.certificate(key), "-in", "program.exe", "-out", "signed.exe"]
    token.run("osslsigncode", "sign", *with_key, *files)
    verified = token.run("osslsigncode", "verify", "-CAfile", token.certificate(key), "-in", "signed.exe", status=None)
    assert "Signature verification: ok" in verified.stdout, verified.stdout
