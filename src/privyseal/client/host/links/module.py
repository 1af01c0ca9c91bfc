"""The PKCS#11 module on this host: its file, whether it loads, and whether it shows the core and the key in it."""

import json
import signal
import sys
from pathlib import Path

from privyseal.client.host import elf, probe
from privyseal.client.host.chain import Broken, Patient, Skip
from privyseal.client.host.openssl import run

_PATIENCE = 60.0  # seconds; the module's own time-outs are shorter


def file(patient: Patient) -> str:
    """The file is there, and can be read."""
    path = _path(patient)
    if not path.is_file():
        raise Broken(f"there is no {path}", patient.connect_again)
    with path.open("rb"):
        return str(path)


def architecture(patient: Patient) -> str:
    """It is made for this processor, by its ELF header."""
    path = _path(patient)
    made_for, here = elf.machine_of(path), elf.this_machine()
    if made_for is None:
        raise Broken(f"{path} is no shared object", patient.connect_again)
    if made_for != here:
        raise Broken(f"{path} is for {made_for}, and this is {here}", patient.connect_again)
    return made_for


def loads(patient: Patient) -> str:
    """A process loads it, initialises it and asks for its tokens; a process of its own, in case it crashes."""
    # -I: with -m alone whoever may write to the current folder could put a module of his there, and it would be loaded.
    words = [sys.executable, "-I", probe.__file__, str(_path(patient))]
    words += [patient.key.label] if patient.key else []
    environment = {**patient.environment, "PRIVYSEAL_CONFIG": str(patient.file.absolute())}
    done = run(words, environment, timeout=_PATIENCE)
    if done.returncode < 0:
        raise Broken(f"it crashes: {signal.Signals(-done.returncode).name}", patient.connect_again)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise Broken(f"it does not load: {last}", patient.connect_again)
    patient.slots = json.loads(done.stdout)
    return f"{len(patient.slots)} tokens"


def token(patient: Patient) -> str:
    """The core is among its tokens."""
    if patient.core is None:
        raise Skip("the core says nothing of its token to this user")
    if patient.configuration.slots == "key":
        raise Skip("each key is a token of its own here")
    if not _slot(patient):
        seen = ", ".join(str(slot["label"]) for slot in patient.slots) or "none"
        raise Broken(f"no token has the serial number {patient.core.serial}; there are: {seen}", _log(patient))
    return f"{patient.core.token_label}, serial number {patient.core.serial}"


def key(patient: Patient) -> str:
    """The key is in the token, seen without a login."""
    assert patient.key is not None  # noqa: S101  the access rule's link found it
    slots = [_slot(patient)] if patient.configuration.slots == "core" else patient.slots
    count = sum(int(str(slot["objects"])) for slot in slots if slot)
    if not count:
        raise Broken(f"the token shows no object with the label {patient.key.label}", _log(patient))
    return f"{patient.key.label}, {count} objects"


def _path(patient: Patient) -> Path:
    if patient.places:
        return patient.places.module
    if patient.module is None:
        raise Broken("no PKCS#11 module is configured on this host", patient.connect_again)
    return patient.module


def _slot(patient: Patient) -> dict[str, object] | None:
    serial = patient.core.serial if patient.core else None
    return next((dict(slot) for slot in patient.slots if slot["serial"] == serial), None)


def _log(patient: Patient) -> str:
    return f'write "log_level": 5, "log_output": "FILE" into {patient.file}, run doctor again and read FILE'
