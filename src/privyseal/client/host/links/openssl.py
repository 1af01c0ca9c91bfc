"""OpenSSL on this host: engine or provider, openssl.cnf, p11-kit's module file, one signature and its verification.

What is always true here: the PIN goes to openssl through a pipe, and what it signs are random bytes of ours.
"""

import base64
import os
import re
import secrets
import shutil
import tempfile
from pathlib import Path

from privyseal.client import errors
from privyseal.client.host import openssl, openssl_cnf
from privyseal.client.host.chain import Broken, Patient, Skip
from privyseal.client.host.connect import signing_words
from privyseal.client.host.introduction import FOR_DIGESTS
from privyseal.client.host.openssl import ENGINE, PROVIDER, OpenSSL
from privyseal.client.records import Key

_P11_KIT_FOLDERS = (Path("/etc/pkcs11/modules"), Path("/usr/share/p11-kit/modules"))
_ERROR_CODE = re.compile(r"[0-9A-F]+:error:")
_PACKAGES = {ENGINE: "libengine-pkcs11-openssl", PROVIDER: "pkcs11-provider"}


def engine_or_provider(patient: Patient) -> str:
    """OpenSSL is here with what its configuration asks for: an engine, or a provider."""
    here = patient.openssl = openssl.find(patient.environment)
    if here is None:
        raise Broken("there is no openssl in PATH", "apt-get install openssl")
    patient.openssl_cnf = _cnf(patient, here)
    patient.reach = _reach(patient)
    if patient.reach is None:
        if here.way is None:
            raise Broken(f"OpenSSL {here.version} has neither PKCS#11 engine nor provider", _install(here.package))
        return f"OpenSSL {here.version}, {here.way} {here.provider if here.way == PROVIDER else here.engine}"
    way = patient.reach.way
    there = here.engine if way == ENGINE else here.provider
    library = patient.reach.library or there
    if library is None or not library.is_file():
        raise Broken(
            f"OpenSSL {here.version}: the {way} {library or 'pkcs11.so'} is not there", _install(_PACKAGES[way])
        )
    if there is None:
        raise Broken(f"OpenSSL {here.version} takes no {way}, which {patient.openssl_cnf} names", patient.connect_again)
    return f"OpenSSL {here.version}, {way} {library}"


def configuration(patient: Patient) -> str:
    """openssl.cnf can be read, names the module that is here, and OpenSSL starts with it."""
    try:
        found = openssl_cnf.reach(openssl_cnf.read(patient.openssl_cnf))
    except errors.ConfigurationError as error:
        raise Broken(error.detail, patient.connect_again, error) from None
    if found is None:
        raise Broken(f"{patient.openssl_cnf} names no PKCS#11 module", patient.connect_again)
    if not found.module.is_file():
        raise Broken(
            f"{patient.openssl_cnf} names the module {found.module}, which is not there", patient.connect_again
        )
    words = ["list", "-providers"] if found.way == PROVIDER else ["engine", "pkcs11"]
    done = _openssl(patient, words)
    if done.returncode or "pkcs11" not in done.stdout.lower():
        said = _said(done.stderr) or f"it does not list the {found.way}"
        raise Broken(f"with {patient.openssl_cnf} openssl says: {said}", patient.connect_again)
    return str(patient.openssl_cnf)


def p11_kit(patient: Patient) -> str:
    """p11-kit has a file that names the module."""
    files = _p11_kit_files(patient)
    module = patient.places.module if patient.places else patient.module
    for each in files:
        if each.is_file() and _names(each, module):
            return str(each)
    if patient.places is None and shutil.which("p11-kit") is None:
        raise Skip("p11-kit is not here")
    where = patient.places.p11_kit if patient.places else " or ".join(map(str, _folders(patient)))
    raise Broken(f"no module file of p11-kit names {module}: {where}", patient.connect_again)


def signature(patient: Patient) -> str:
    """Openssl signs with the key."""
    key, here = patient.key, patient.openssl
    assert key is not None  # noqa: S101  the access rule's link found it
    assert here is not None  # noqa: S101  the engine's link found it
    _skip_unless_signable(patient, key)
    patient.data = secrets.token_bytes(32)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.write_bytes(patient.data)
        words = [*signing_words(here, _uri(patient, key), key.type), "-out", str(data.with_suffix(".sig")), str(data)]
        passin = ["-passin", "stdin"] if patient.pin else []
        done = _openssl(patient, [words[0], *passin, *words[1:]], pin=patient.pin)
        if done.returncode == 0 and data.with_suffix(".sig").is_file():
            patient.signature = data.with_suffix(".sig").read_bytes()
            return f"{len(patient.signature)} bytes, by {' '.join(words[:2])}"
    said = _said(done.stderr) or f"exit status {done.returncode}"
    mend = f'write "log_level": 5, "log_output": "FILE" into {patient.file}, run doctor again and read FILE'
    raise Broken(f"openssl does not sign: {said}", mend)


def verification(patient: Patient) -> str:
    """Plain openssl, without anything of ours, finds the signature right."""
    if patient.signature is None:
        raise Skip("there is no signature")
    assert patient.key is not None  # noqa: S101  there is a signature by it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "key.pem").write_text(_pem(patient.key.public_key))
        (folder / "data").write_bytes(patient.data)
        (folder / "data.sig").write_bytes(patient.signature)
        words = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "data.sig", "data"]
        done = _openssl(patient, words, cnf=Path(os.devnull), folder=folder)
    if done.returncode or "Verified OK" not in done.stdout:
        saw = f"openssl says: {_said(done.stdout) or _said(done.stderr)}"
        mend = f"privyseal key public {patient.key.label}, to compare it with what the module shows"
        raise Broken(saw, mend, errors.InvalidSignatureError(saw))
    return "Verified OK"


def _skip_unless_signable(patient: Patient, key: Key) -> None:
    if not key.type.startswith(FOR_DIGESTS):
        raise Skip(f"doctor signs with EC and RSA keys, and this one is {key.type}")
    if key.wants_data:
        raise Skip(f"key {key.label} refuses digests that were made elsewhere, and OpenSSL sends no others")
    if key.pin and patient.pin is None:
        raise Skip("no PIN was given")


def _uri(patient: Patient, key: Key) -> str:
    """The key's URI; where each key is a token of its own, with that token's serial number for the core's."""
    if patient.configuration.slots == "core":
        return key.uri
    serial = next(str(slot["serial"]) for slot in patient.slots if slot["objects"])
    parts = key.uri.removeprefix("pkcs11:").split(";")
    return ";".join([f"pkcs11:serial={serial}", *(part for part in parts if part.startswith(("id=", "object=")))])


def _cnf(patient: Patient, here: OpenSSL) -> Path:
    """The openssl.cnf that this set-up uses."""
    named = patient.environment.get("OPENSSL_CONF")
    if named:
        return Path(named)
    if patient.places and (patient.places.openssl_cnf.exists() or openssl_cnf.BEGIN not in _text(here.configuration)):
        return patient.places.openssl_cnf
    return here.configuration


def _reach(patient: Patient) -> openssl_cnf.Reach | None:
    """As the configuration has it; a configuration that cannot be read is the next link's matter."""
    try:
        return openssl_cnf.reach(openssl_cnf.read(patient.openssl_cnf))
    except errors.ConfigurationError:
        return None


def _openssl(
    patient: Patient, words: list[str], *, pin: str | None = None, cnf: Path | None = None, folder: Path | None = None
) -> openssl.Done:
    assert patient.openssl is not None  # noqa: S101  the engine's link found it
    environment = {
        **patient.environment,
        "OPENSSL_CONF": str((cnf or patient.openssl_cnf).absolute()),
        "PRIVYSEAL_CONFIG": str(patient.file.absolute()),
    }
    return openssl.run(
        [str(patient.openssl.program), *words], environment, stdin=f"{pin}\n".encode() if pin else b"", folder=folder
    )


def _p11_kit_files(patient: Patient) -> list[Path]:
    if patient.places:
        return [patient.places.p11_kit]
    return [file for folder in _folders(patient) if folder.is_dir() for file in sorted(folder.glob("*.module"))]


def _folders(patient: Patient) -> list[Path]:
    home = patient.environment.get("HOME")
    own = patient.environment.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
    return [*([Path(own) / "pkcs11" / "modules"] if own else []), *_P11_KIT_FOLDERS]


def _names(file: Path, module: Path | None) -> bool:
    lines = [line.partition(":") for line in _text(file).splitlines()]
    return any(name.strip() == "module" and value.strip() == str(module) for name, _, value in lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _pem(public_key: bytes) -> str:
    return f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(public_key).decode()}-----END PUBLIC KEY-----\n"


def _install(package: str) -> str:
    return f"apt-get install {package}"


def _said(text: str) -> str:
    """What openssl says in words; its error codes only where there is nothing else."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith('Engine "')]
    return "; ".join([line for line in lines if not _ERROR_CODE.match(line)][:2] or lines[-1:])
