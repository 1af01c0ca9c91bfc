"""What `encrypt` and `decrypt` have in common: options, mechanism of a key, the file, and where the result goes."""

import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from privyseal.cli import inputs, output, secrets
from privyseal.cli.commands import key_option, pin_file_option
from privyseal.cli.session import Session
from privyseal.client.cores import CoreClient, KeyClient
from privyseal.client.errors import InvalidInputError
from privyseal.client.files import HASHES
from privyseal.client.records import Key

AES = "aes:"
NONCE = 12
TAG = 16
_MAX = 1024 * 1024 + NONCE + TAG


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--key`, `--pin-file` and `--hash`."""
    hash_option = click.option(
        "--hash", "hash_name", type=click.Choice(list(HASHES)), help="RSA only; default: SHA-256."
    )
    return key_option(pin_file_option(hash_option(function)))


def opened(
    core: CoreClient, key: str, pin_file: str | None, file: str, *, public: bool = False
) -> tuple[KeyClient, Key]:
    """The key with its PIN, and its record; an RSA key's public half needs none."""
    if inputs.STDIN == file == pin_file:
        raise click.UsageError("file and PIN cannot both come from stdin")
    record = core.key(key).record()
    needless = public and not record.type.startswith(AES)
    return core.key(record.id, pin=None if needless else secrets.pin_of(record, pin_file)), record


def parameters(record: Key, hash_name: str | None) -> dict[str, Any]:
    """The mechanism for a key of this type.

    Raises:
        InvalidInputError: it does not encrypt.
        UsageError: a hash is named for an AES key.
    """
    if record.type.startswith(AES):
        if hash_name:
            raise click.UsageError("AES-GCM takes no hash: leave --hash out")
        return {"mechanism": "AES-GCM"}
    if not record.type.startswith("rsa:"):
        raise InvalidInputError(f"keys of type {record.type} do not encrypt files; aes and rsa keys do")
    return {"mechanism": "RSA-OAEP", "hash": hash_name}


def content(file: str) -> bytes:
    """What is in a file, or on stdin; raises InvalidInputError when it is too large."""
    whole = sys.stdin.buffer.read(_MAX + 1) if file == inputs.STDIN else Path(file).read_bytes()
    if len(whole) > _MAX:
        raise InvalidInputError("at most 1 MiB goes to the appliance; encrypt a key that encrypts the rest")
    return whole


def put(session: Session, target: str, whole: bytes, answer: Mapping[str, Any], done: str) -> None:
    """Write what was made to a file of mode 0600 and say so, or to stdout; with --json the answer is there instead."""
    if target != inputs.STDOUT:
        _write(target, whole)
    if not output.document(session, answer) and target == inputs.STDOUT:
        sys.stdout.buffer.write(whole)
        sys.stdout.buffer.flush()
    elif target != inputs.STDOUT:
        output.note(session, f"{target}: {done}")


def _write(target: str, whole: bytes) -> None:
    """Nobody else may read the file, also one that was there before; that is so before anything stands in it."""
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.fchmod(file.fileno(), 0o600)
            file.truncate()
        file.write(whole)
