"""From the words before a command to an `Appliance`.

What wins over what: an option, then the environment, then the file. `--data` names an appliance on this host; then the
host's configuration file is not read at all, because it speaks of another one. It gives way to a URL and to a
configuration file that somebody named.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from privyseal.cli import secrets
from privyseal.cli.session import Session
from privyseal.cli.words import Failure, warn
from privyseal.client import configuration as configurations
from privyseal.client import lenient_json
from privyseal.client.appliance import Appliance
from privyseal.client.configuration import Configuration
from privyseal.client.errors import ConfigurationError

ENDPOINT_FILE = "endpoint.json"


def appliance(session: Session, *, anonymous: bool = False) -> Appliance:
    """The appliance that the options, the environment and the configuration name.

    Args:
        session: the options before the command.
        anonymous: go without a user where none is named.

    Raises:
        Failure: no appliance or no user is named.
        ConfigurationError: the configuration cannot be used.
    """
    found = configuration(session)
    if not session.quiet:
        for warning in found.warnings:
            warn(warning)
    return Appliance(found if anonymous else _authenticated(found))


def configuration(session: Session) -> Configuration:
    """The configuration with the environment and the options laid over it; errors as for `appliance`."""
    meant = environment(session)
    found = configurations.override(_base(meant), meant)
    if not found.urls:
        raise Failure("no appliance is configured", "privyseal --url https://HOST:8443 …, or set PRIVYSEAL_URL")
    return found


def environment(session: Session) -> dict[str, str]:
    """The process's environment as it would be if the options had been given in it; a password from stdin is read.

    Raises:
        ConfigurationError: stdin does not hold one line.
    """
    given = dict(os.environ)
    if session.user and session.user != given.get("PRIVYSEAL_USER", session.user):
        given.pop("PRIVYSEAL_PASSWORD", None)
        given.pop("PRIVYSEAL_PASSWORD_FILE", None)
    if session.user or session.password_file:  # who is named on the command line is meant, not the credential
        given.pop("PRIVYSEAL_CREDENTIAL_FILE", None)
    if session.password_file:
        given.pop("PRIVYSEAL_PASSWORD", None)
    if session.password_file == secrets.STDIN:
        return environment(dataclasses.replace(session, password_file=None)) | {
            "PRIVYSEAL_PASSWORD": secrets.from_file(secrets.STDIN)
        }
    options = {
        "PRIVYSEAL_URL": session.url,
        "PRIVYSEAL_USER": session.user,
        "PRIVYSEAL_PASSWORD_FILE": session.password_file,
        "PRIVYSEAL_CA_FILE": session.ca_file,
        "PRIVYSEAL_CONFIG": session.config,
        "PRIVYSEAL_DATA": session.data,
    }
    return given | {name: value for name, value in options.items() if value}


def _base(given: Mapping[str, str]) -> Configuration:
    data, named = given.get("PRIVYSEAL_DATA"), given.get("PRIVYSEAL_CONFIG")
    if data and not named and not given.get("PRIVYSEAL_URL"):
        return endpoint(Path(data))
    path = configurations.find(given)
    return configurations.read(path) if path else Configuration()


def endpoint(data: Path) -> Configuration:
    """Where the appliance with this data folder is, as `privyseal serve` wrote it down when it was ready.

    Raises:
        Failure: no appliance has run there yet.
        ConfigurationError: the file is not what `serve` writes.
    """
    path = data / ENDPOINT_FILE
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise Failure(f"no appliance runs with its data in {data}", f"privyseal serve --data {data}") from None
    document = lenient_json.parse(text, str(path))
    url, ca_file = document.get("url"), document.get("ca_file")
    if not isinstance(url, str) or not isinstance(ca_file, str):
        raise ConfigurationError(f"{path}: must hold url and ca_file")
    return configurations.with_url(Configuration(ca_file=data / ca_file), url)


def _authenticated(found: Configuration) -> Configuration:
    """The same configuration with a password, asked for at the terminal where none is configured."""
    if found.credential_file or found.client_cert:
        return found
    if not found.user:
        raise Failure("no user is named", "privyseal --user NAME …, or set PRIVYSEAL_USER")
    if found.password is not None or found.password_file is not None:
        return found
    password = secrets.ask(f"Password of {found.user}")
    if password is None:
        raise Failure(f"there is no password for {found.user}", "privyseal --password-file FILE …, or - for stdin")
    return dataclasses.replace(found, password=password)
