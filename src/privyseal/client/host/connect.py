"""What a host's set-up consists of, file by file, and what to type once it is there.

What is always true here: the client configuration is for its owner alone, and its password is in it or in the file that
the user named, in no other. The system's openssl.cnf is changed only where that was asked for.
"""

import json
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from privyseal.client import configuration as configurations
from privyseal.client import lenient_json
from privyseal.client.errors import ConfigurationError
from privyseal.client.host import openssl_cnf
from privyseal.client.host.introduction import FOR_DIGESTS
from privyseal.client.host.journal import SECRET, File
from privyseal.client.host.openssl import PROVIDER, OpenSSL
from privyseal.client.host.places import Places
from privyseal.client.records import Key

_KEPT = ("log_level", "log_output", "timeout_ms", "retries", "slots", "pool")
_KEPT_FOR_THE_SAME = ("keygen_pin",)
_ANY_KEY = "pkcs11:object=LABEL"


@dataclass(frozen=True, slots=True)
class Wish:
    """What `privyseal connect` was told.

    Attributes:
        password: to be written into the configuration, None where `password_file` holds it.
        ca: the certificates to trust, PEM.
        module: the module to copy.
        system: whether to change the system's openssl.cnf instead of writing one of our own.
    """

    url: str
    user: str
    core: int | str | None
    password: str | None = field(repr=False)
    password_file: Path | None
    ca: bytes
    module: Path
    system: bool = False


def files(wish: Wish, there: Places, here: OpenSSL | None) -> list[File]:
    """The files to write.

    Raises:
        ConfigurationError: the system's openssl.cnf cannot be read.
        OSError: the module cannot be read.
    """
    written = [
        File(there.ca_file, wish.ca),
        File(there.configuration, _configuration(wish, there), SECRET),
        File(there.module, wish.module.read_bytes()),
        File(there.p11_kit, _p11_kit(there.module)),
    ]
    return [*written, _openssl(wish, there, here)] if here and here.way else written


def notes(wish: Wish, there: Places, here: OpenSSL | None, environment: Mapping[str, str]) -> list[str]:
    """What the user should know beside: each a sentence, with what to type."""
    found = []
    if here is None:
        found.append("there is no openssl in PATH, so no OpenSSL configuration was written: apt-get install openssl")
    elif here.way is None:
        found.append(
            f"OpenSSL {here.version} has neither PKCS#11 engine nor provider, so no OpenSSL configuration was written: "
            f"apt-get install {here.package}, then connect again"
        )
    elif wish.system and here.way != PROVIDER:
        found.append("an engine in the system's openssl.cnf can break other commands that use EC keys in files")
    if wish.password_file and wish.password_file.stat().st_mode & stat.S_IROTH:
        found.append(f"{wish.password_file} can be read by every user of this host: chmod o-r {wish.password_file}")
    if there.prefix:
        found.append(f"p11-kit does not look into {there.p11_kit.parent}: give programs {there.module} itself")
    else:
        found += _shadowed(there, environment)
    return found


def next_commands(there: Places, here: OpenSSL | None, key: Key | None, *, system: bool) -> list[str]:
    """What to type to sign a file and to check the signature."""
    if here is None or here.way is None:
        return [f"{_variables(there, openssl=False)}privyseal doctor"]
    uri = key.uri if key else _ANY_KEY
    sign = signing_words(here, uri, key.type if key else "ec:P-256")
    before = _variables(there, openssl=not system)
    public = f"{_variables(there, openssl=False)}privyseal key public {shlex.quote(key.label if key else 'LABEL')}"
    core = f" --core {key.core}" if key else ""
    return [
        f"{before}openssl {shlex.join([*sign, '-out', 'FILE.sig'])} {_last(key)}FILE",
        f"{public}{core} >key.pem",
        f"openssl {_verification(key)}",
    ]


def signing_words(here: OpenSSL, uri: str, key_type: str) -> list[str]:
    """The words behind `openssl` that sign with a key, up to the file names."""
    engine = [] if here.way == PROVIDER else ["-engine", "pkcs11"]
    uri = f"{uri};type=private" if here.way == PROVIDER else uri
    form = ["-keyform", "engine"] if engine else []
    if key_type.startswith(FOR_DIGESTS):
        return ["dgst", "-sha256", *engine, *form, "-sign", uri]
    return ["pkeyutl", "-sign", "-rawin", *engine, *form, "-inkey", uri]


def _last(key: Key | None) -> str:
    return "-in " if key and not key.type.startswith(FOR_DIGESTS) else ""


def _verification(key: Key | None) -> str:
    if _last(key):
        return "pkeyutl -verify -rawin -pubin -inkey key.pem -sigfile FILE.sig -in FILE"
    return "dgst -sha256 -verify key.pem -signature FILE.sig FILE"


def _variables(there: Places, *, openssl: bool) -> str:
    """What has to stand before a command so that it finds this set-up."""
    words = [f"PRIVYSEAL_CONFIG={shlex.quote(str(there.configuration))}"] if there.prefix else []
    words += [f"OPENSSL_CONF={shlex.quote(str(there.openssl_cnf))}"] if openssl else []
    return "".join(f"{word} " for word in words)


def _configuration(wish: Wish, there: Places) -> bytes:
    document: dict[str, Any] = {"url": wish.url, "user": wish.user}
    document |= {"pass_file": str(wish.password_file)} if wish.password_file else {"pass": wish.password}
    document |= {"core": wish.core} if wish.core is not None else {}
    document |= {"ca_file": str(there.ca_file)} | _kept(wish, there.configuration)
    return f"{json.dumps(document, indent=2, ensure_ascii=False)}\n".encode()


def _kept(wish: Wish, path: Path) -> dict[str, Any]:
    """What an earlier configuration says that has nothing to do with which appliance, or with who asks."""
    try:
        earlier = lenient_json.parse(path.read_text(encoding="utf-8"), str(path))
    except (OSError, ValueError, ConfigurationError):
        return {}
    same = (_origin(earlier.get("url")), earlier.get("user")) == (wish.url, wish.user)
    return {name: earlier[name] for name in (*_KEPT, *(_KEPT_FOR_THE_SAME if same else ())) if name in earlier}


def _origin(url: object) -> str | None:
    try:
        return configurations.origin(str(url))
    except ValueError:  # an earlier file that named no appliance, or none that can be meant
        return None


def _p11_kit(module: Path) -> bytes:
    said = "# Keys of a Privyseal appliance. Written by `privyseal connect`, which takes it back with --undo."
    return f"{said}\nmodule: {module}\n".encode()


def _openssl(wish: Wish, there: Places, here: OpenSSL) -> File:
    system = here.configuration
    if not wish.system:
        return File(there.openssl_cnf, openssl_cnf.including(system, here, there.module).encode())
    text = _without_ours(system.read_bytes()) if system.is_file() else b""
    sections = openssl_cnf.parse(text.decode(errors="replace"), system)
    block = f"\n{openssl_cnf.addition(sections, here, there.module)}".encode()
    return File(system, text + block, None, block)


def _without_ours(text: bytes) -> bytes:
    """The system's file without what an earlier `connect --system` added."""
    before, _, rest = text.partition(f"\n{openssl_cnf.BEGIN}\n".encode())
    _, ended, after = rest.partition(f"{openssl_cnf.END}\n".encode())
    return before + after if ended else text


def _shadowed(there: Places, environment: Mapping[str, str]) -> list[str]:
    """Whether another configuration goes before the one that was written."""
    named = environment.get("PRIVYSEAL_CONFIG")
    if named and Path(named) != there.configuration:
        return [f"PRIVYSEAL_CONFIG is set, so that {named} goes before {there.configuration}: unset PRIVYSEAL_CONFIG"]
    found = next((each for each in configurations.search_path(environment) if each.exists()), there.configuration)
    if found == there.configuration or found not in configurations.search_path(environment)[:1]:
        return []
    return [f"{found} goes before {there.configuration} for this user: mv {found} {found}.old"]
