"""openssl.cnf as OpenSSL reads it (config(5)): what is in one, and what to add so that it reaches our module.

What is always true here: nothing that stands in the system's file is taken away. What we add opens its sections again
and says one thing more in each; of two lines with the same name in a section OpenSSL takes the last.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from privyseal.client.errors import ConfigurationError
from privyseal.client.host.openssl import ENGINE, PROVIDER, OpenSSL

DEFAULT = "default"
OURS = "privyseal_pkcs11"
_DEEPEST_INCLUDE = 20
_WAYS = (
    (ENGINE, "engines", "MODULE_PATH", "dynamic_path"),
    (PROVIDER, "providers", "pkcs11-module-path", "module"),
)
_YES = ("1", "yes", "true", "on")
_INCLUDE = re.compile(r"\.include(?:\s*=\s*|\s+)(\S+)")
BEGIN = "# Added by `privyseal connect`, which takes it back with --undo."
END = "# End of what `privyseal connect` added."


@dataclass
class Sections:
    """The sections of a file with what it includes; names that stand before any section are in `default`."""

    values: dict[str, dict[str, str]] = field(default_factory=lambda: {DEFAULT: {}})
    current: str = DEFAULT

    def get(self, section: str | None, name: str) -> str | None:
        """A value, or None."""
        return self.values.get(section or "", {}).get(name)


@dataclass(frozen=True, slots=True)
class Reach:
    """The way, the PKCS#11 module, and the engine's or provider's own file where it is named."""

    way: str
    module: Path
    library: Path | None


def read(path: Path) -> Sections:
    """Read a file and what it includes.

    Raises:
        ConfigurationError: OpenSSL could not read it either; the message names file and line.
    """
    return parse(_text(path), path)


def parse(text: str, path: Path) -> Sections:
    """Read the text of a file; errors as for `read`."""
    sections = Sections()
    _read_into(sections, text, path, 0)
    return sections


def reach(sections: Sections) -> Reach | None:
    """How this configuration reaches a PKCS#11 module; None where it does not."""
    start = sections.get(DEFAULT, "openssl_conf")
    for way, listed, module, library in _WAYS:
        for section in sections.values.get(sections.get(start, listed) or "", {}).values():
            if found := sections.get(section, module):
                file = sections.get(section, library)
                return Reach(way, Path(found), Path(file) if file else None)
    return None


def including(system: Path, here: OpenSSL, module: Path) -> str:
    """An openssl.cnf of our own: all of the system's, and our module."""
    if not system.is_file():
        return _bare() + addition(Sections(), here, module)
    return (
        f"# OpenSSL with the keys of a Privyseal appliance: set OPENSSL_CONF to this file.\n.include {system}\n\n"
        + (addition(read(system), here, module))
    )


def addition(system: Sections, here: OpenSSL, module: Path) -> str:
    """What makes the system's configuration reach our module, to stand behind it."""
    start = system.get(DEFAULT, "openssl_conf")
    lines = [BEGIN]
    if start is None:
        start = "privyseal_init"
        lines += [f"[{DEFAULT}]", f"openssl_conf = {start}"]
    lines += _engine(system, here, module, start) if here.way == ENGINE else _provider(system, here, module, start)
    return "\n".join([*lines, END, ""])


def _engine(system: Sections, here: OpenSSL, module: Path, start: str) -> list[str]:
    engines = system.get(start, "engines") or "privyseal_engines"
    return [
        *(f"[{start}]", f"engines = {engines}"),
        *(f"[{engines}]", f"pkcs11 = {OURS}"),
        *(f"[{OURS}]", "engine_id = pkcs11", f"dynamic_path = {here.engine}", f"MODULE_PATH = {module}", "init = 0"),
    ]


def _provider(system: Sections, here: OpenSSL, module: Path, start: str) -> list[str]:
    """For a provider. The first that is activated by name switches OpenSSL's default one off; so name that too."""
    providers = system.get(start, "providers") or "privyseal_providers"
    default = system.get(providers, "default") or "privyseal_default"
    named = any(system.get(section, "activate") in _YES for section in system.values.get(providers, {}).values())
    return [
        *(f"[{start}]", f"providers = {providers}"),
        f"[{providers}]",
        *([] if named else [f"default = {default}"]),
        f"pkcs11 = {OURS}",
        *([] if named else [f"[{default}]", "activate = 1"]),
        *(f"[{OURS}]", f"module = {here.provider}", f"pkcs11-module-path = {module}", "activate = 1"),
    ]


def _bare() -> str:
    """OpenSSL 4.0's `x509 -req` takes extensions from the default section; without the system's file, name some."""
    return "extensions = privyseal_extensions\n[privyseal_extensions]\nsubjectKeyIdentifier = hash\n"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {(error.strerror or '').lower()}") from None


def _read_into(sections: Sections, text: str, path: Path, depth: int) -> None:
    if depth > _DEEPEST_INCLUDE:
        raise ConfigurationError(f"{path}: included too deeply")
    for number, line in _lines(text):
        if included := _INCLUDE.fullmatch(line):
            for file in _included(Path(included[1])):
                _read_into(sections, _text(file), file, depth + 1)
        elif line.startswith("."):
            continue  # .pragma
        elif line.startswith("["):
            _open(sections, line, path, number)
        else:
            _assign(sections, line, path, number)


def _included(target: Path) -> list[Path]:
    """The files behind an `.include`: OpenSSL passes over one that is not there, and so do we."""
    if target.is_dir():
        return sorted(target.glob("*.cnf")) + sorted(target.glob("*.conf"))
    return [target] if target.exists() else []


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines with their numbers, without comments and with those joined that end in a backslash."""
    found: list[tuple[int, str]] = []
    begun, start = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        start = start or number
        if line.endswith("\\"):
            begun += line[:-1]
            continue
        if whole := begun + line:
            found.append((start, whole))
        begun, start = "", 0
    return found


def _open(sections: Sections, line: str, path: Path, number: int) -> None:
    if not line.endswith("]"):
        raise ConfigurationError(f"{path}: line {number}: the section's name has no closing bracket")
    sections.current = line[1:-1].strip()
    sections.values.setdefault(sections.current, {})


def _assign(sections: Sections, line: str, path: Path, number: int) -> None:
    name, equals, value = line.partition("=")
    if not equals:
        raise ConfigurationError(f"{path}: line {number}: there is no equal sign in {line!r}")
    section, double, inner = name.strip().partition("::")
    where, called = (section, inner) if double else (sections.current, section)
    sections.values.setdefault(where, {})[called.strip()] = value.strip().strip("\"'")
