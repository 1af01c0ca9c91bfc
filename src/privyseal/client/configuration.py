"""The configuration of a host: which appliance, which user, which core.

The same JSON file serves the PKCS#11 module, this package and the command line; docs/reference/client-configuration.md
describes it for users. What is always true here:

- The environment wins over the file, and an argument wins over both.
- Whoever names another appliance does not inherit the file's fail-over URLs or fingerprint, and whoever names another
  user does not inherit the file's password: a secret never goes where the file did not send it.
- A password shows in no `repr`, error or warning.
"""

import dataclasses
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from privyseal.client import lenient_json
from privyseal.client.errors import ConfigurationError

SYSTEM_FILES = (Path("/etc/privyseal/client.json"), Path("/etc/n200.conf"))
API_PATH = "/api/v1"
_ACCEPTED_PATHS = ("", "/", API_PATH, "/n200/web/postv1")  # the last one is what the original appliance was called at
_MAX_FILE = 1024 * 1024
_MAX_SECRET = 64 * 1024
_SHA256_DIGITS = 64
_MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Configuration:
    """How to reach an appliance, and as whom.

    Attributes:
        urls: origins such as `https://hsm:8443`, tried in this order; never empty once `load` returned it.
        user: name of the appliance user.
        password: that user's password.
        password_file: file with that password, read when it is needed; `password` goes first.
        core: number or name of the core that is meant when none is named.
        keygen_pin: PIN of keys that the PKCS#11 module makes; used by nobody else.
        ca_file: PEM file with the certificates to trust; None means the system's.
        fingerprint: `sha256:` and the hexadecimal SHA-256 of the DER of the appliance's CA certificate.
        client_cert: PEM file with this host's certificate; client_key: PEM file with its private key.
        credential_file: file with a bearer credential.
        timeout_ms: longest wait for one answer, in milliseconds.
        retries: how often a request is repeated after the network failed.
        slots: `core` or `key`, for the PKCS#11 module.
        pool: most connections kept open at a time.
        log_level, log_output: for the PKCS#11 module.
        warnings: what is wrong but does not stop anything, one sentence each.
    """

    urls: tuple[str, ...] = ()
    user: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    password_file: Path | None = None
    core: int | str = 1
    keygen_pin: str | None = dataclasses.field(default=None, repr=False)
    log_level: int = 0
    log_output: str | None = None
    ca_file: Path | None = None
    fingerprint: str | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    credential_file: Path | None = None
    timeout_ms: int = 10_000
    retries: int = 2
    slots: str = "core"
    pool: int = 8
    warnings: tuple[str, ...] = ()

    def read_password(self) -> str | None:
        """The user's password, None where none is configured.

        Raises:
            ConfigurationError: the password file cannot be read or does not hold one line.
        """
        if self.password is None and self.password_file is not None:
            return read_secret(self.password_file)
        return self.password


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Configuration:
    """Find and read the configuration, then let the environment override it.

    Args:
        path: the file to read; None means $PRIVYSEAL_CONFIG or else the first of `search_path` that exists. Without
            any file the environment alone is the configuration.
        environment: None means the process's own.

    Raises:
        ConfigurationError: the file cannot be read or used, or no appliance is named at all.
    """
    environment = os.environ if environment is None else environment
    path = path or find(environment)
    configuration = override(read(path) if path else Configuration(), environment)
    if not configuration.urls:
        raise ConfigurationError("no appliance is configured: set PRIVYSEAL_URL or write a configuration file")
    return configuration


def search_path(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where a configuration is looked for when $PRIVYSEAL_CONFIG names none; the first that exists is used."""
    home = environment.get("HOME")
    own = (Path(home) / ".config" / "privyseal" / "client.json",) if home else ()
    return (*own, *SYSTEM_FILES)


def find(environment: Mapping[str, str]) -> Path | None:
    """The configuration file in use. A file that $PRIVYSEAL_CONFIG names is in use even if it is not there."""
    named = environment.get("PRIVYSEAL_CONFIG")
    if named:
        return Path(named)
    return next((path for path in search_path(environment) if path.exists()), None)


def read(path: Path) -> Configuration:
    """Read one configuration file.

    Raises:
        ConfigurationError: it cannot be read, is not JSON or holds a value that cannot be right.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {reason(error)}") from None
    if len(content) > _MAX_FILE:
        raise ConfigurationError(f"{path}: larger than 1 MiB, which is no configuration")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8 at byte {error.start}") from None
    configuration = parse(text, path)
    if mode & stat.S_IROTH:
        warning = f"{path} can be read by every user of this host; type: chmod o-rwx {path}"
        return dataclasses.replace(configuration, warnings=(*configuration.warnings, warning))
    return configuration


def parse(text: str, path: Path) -> Configuration:
    """Read the text of a configuration file.

    Args:
        text: the content.
        path: where it stood; relative file names in it are meant from its folder.

    Raises:
        ConfigurationError: it is not JSON or holds a value that cannot be right.
    """
    document = lenient_json.parse(text, str(path))
    values: dict[str, Any] = {}
    for name, reader in _READERS.items():
        if name in document:
            try:
                values[name] = reader(document[name])
            except ValueError as error:
                raise ConfigurationError(f"{path}: {name!r} {error}") from None
    unknown = tuple(f"{path}: {name!r} is not a known key" for name in document if name not in _READERS)
    return _assemble(values, path.parent, unknown)


def override(configuration: Configuration, environment: Mapping[str, str]) -> Configuration:
    """Let PRIVYSEAL_URL, _USER, _PASSWORD, _PASSWORD_FILE, _CREDENTIAL_FILE and _CA_FILE have their say.

    Empty ones count as unset. A credential goes before a password.

    Raises:
        ConfigurationError: one of them cannot be used.
    """
    if url := environment.get("PRIVYSEAL_URL"):
        configuration = with_url(configuration, url)
    if ca_file := environment.get("PRIVYSEAL_CA_FILE"):
        configuration = dataclasses.replace(configuration, ca_file=Path(ca_file), fingerprint=None)
    if user := environment.get("PRIVYSEAL_USER"):
        configuration = with_user(configuration, user)
    if credential_file := environment.get("PRIVYSEAL_CREDENTIAL_FILE"):
        return dataclasses.replace(configuration, credential_file=Path(credential_file))
    if password := environment.get("PRIVYSEAL_PASSWORD"):
        return dataclasses.replace(configuration, password=password, credential_file=None)
    if password_file := environment.get("PRIVYSEAL_PASSWORD_FILE"):
        return dataclasses.replace(
            configuration, password=None, password_file=Path(password_file), credential_file=None
        )
    return configuration


def with_url(configuration: Configuration, url: str) -> Configuration:
    """The same configuration for another appliance; what the file said about its own appliance is dropped.

    Raises:
        ConfigurationError: `url` is not an https URL with one of the known paths.
    """
    try:
        url = origin(url)
    except ValueError as error:
        raise ConfigurationError(f"the URL {error}") from None
    fingerprint = configuration.fingerprint if url in configuration.urls else None
    return dataclasses.replace(configuration, urls=(url,), fingerprint=fingerprint)


def with_user(configuration: Configuration, user: str) -> Configuration:
    """The same configuration for another user; the password and the credential of the first one are dropped."""
    if user == configuration.user:
        return configuration
    return dataclasses.replace(
        configuration,
        user=user,
        password=None,
        password_file=None,
        credential_file=None,
        client_cert=None,
        client_key=None,
    )


def read_secret(path: Path) -> str:
    """Read a password or PIN from a file: its content without the line's end.

    Raises:
        ConfigurationError: it cannot be read, is empty or is not one line of UTF-8. The message has no content.
    """
    try:
        return one_line(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {reason(error)}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def one_line(content: bytes) -> str:
    """A secret as a file or a pipe delivers it, without the line's end.

    Raises:
        ValueError: it is empty, too long or is not one line of UTF-8. The message has no content.
    """
    if len(content) > _MAX_SECRET:
        raise ValueError("must be one short line, and is too long")
    try:
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("must be UTF-8 text") from None
    if not secret:
        raise ValueError("is empty")
    if "\n" in secret or "\r" in secret or "\0" in secret:
        raise ValueError("must be one line")
    return secret


def origin(url: str) -> str:
    """The origin of an appliance's URL, for example `https://hsm:8443`.

    Raises:
        ValueError: it is not https, has no host, or a path, query or user name that cannot be meant.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme != "https":
        raise ValueError("must begin with https://")
    if not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("has no host name")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must be https://HOST:PORT without user name, query or fragment")
    if parts.path.rstrip("/") not in _ACCEPTED_PATHS:
        raise ValueError(f"ends in {parts.path!r}; it must end after the port or in {API_PATH}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}" if port in {None, 443} else f"https://{host}:{port}"


def normalised_fingerprint(text: str) -> str:
    """A fingerprint as `sha256:` and 64 small hexadecimal digits; colons between the bytes are accepted.

    Raises:
        ValueError: it is anything else.
    """
    algorithm, _, digits = text.partition(":")
    digits = digits.replace(":", "").lower()
    if algorithm.lower() != "sha256" or len(digits) != _SHA256_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise ValueError("must be sha256: and 64 hexadecimal digits")
    return f"sha256:{digits}"


def _assemble(values: dict[str, Any], folder: Path, warnings: tuple[str, ...]) -> Configuration:
    """Turn the file's keys into the attributes: `url` and `urls` become one, `pass` and `pass_file` too."""
    first = (values.pop("url"),) if "url" in values else ()
    others = values.pop("urls", ())
    files = {name: folder / values.pop(name) for name in _FILES if name in values}
    password_file = files.pop("pass_file", None)
    password = values.pop("pass", None)
    urls = tuple(dict.fromkeys((*first, *others)))
    return Configuration(
        urls=urls, password=password, password_file=password_file, warnings=warnings, **files, **values
    )


def reason(error: OSError) -> str:
    """What the system says about a file or a connection, without the number."""
    return (error.strerror or str(error)).lower()


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in value):
        raise ValueError("holds a character that is none")
    return value


def _file(value: object) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError:
        raise ValueError("names a home folder that is not there") from None


def _url(value: object) -> str:
    return origin(_text(value))


def _urls(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of URLs")  # noqa: TRY004
    return tuple(_url(entry) for entry in value)


def _core(value: object) -> int | str:
    if isinstance(value, str) and not value.isdecimal():
        return _text(value)
    return _number(1)(int(value) if isinstance(value, str) else value)


def _slots(value: object) -> str:
    if not isinstance(value, str) or value not in {"core", "key"}:
        raise ValueError('must be "core" or "key"')
    return value


def _number(least: int) -> Callable[[object], int]:
    def reader(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MAX_NUMBER:
            raise ValueError(f"must be a whole number from {least} to {_MAX_NUMBER}")
        return value

    return reader


_FILES = ("ca_file", "client_cert", "client_key", "credential_file", "pass_file")
_READERS: dict[str, Callable[[Any], Any]] = {
    "url": _url,
    "user": _text,
    "pass": _text,
    "core": _core,
    "keygen_pin": _text,
    "log_level": _number(0),
    "log_output": _text,
    "urls": _urls,
    "ca_file": _file,
    "fingerprint": lambda value: normalised_fingerprint(_text(value)),
    "client_cert": _file,
    "client_key": _file,
    "credential_file": _file,
    "pass_file": _file,
    "timeout_ms": _number(1),
    "retries": _number(0),
    "slots": _slots,
    "pool": _number(1),
}
