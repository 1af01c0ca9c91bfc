"""Which files a host's set-up has, and where: root sets up the host, everybody else a home folder, `--prefix` a folder.

What is always true here: with a prefix nothing lies outside it; without one the client configuration is where module,
SDK and command line look for it by themselves.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from privyseal.client.errors import ConfigurationError

MODULE_FILE = "privyseal-pkcs11.so"
SSH_AGENT_ALLOWS = Path("/usr/local/lib")  # ssh-agent loads modules from /usr/lib* and /usr/local/lib* only


@dataclass(frozen=True, slots=True)
class Places:
    """Where each file is.

    Attributes:
        journal: folder that remembers what each `connect` changed.
        private: whether folders made on the way are for their owner alone.
        prefix: the folder that all of it is in, None without one.
    """

    configuration: Path
    ca_file: Path
    openssl_cnf: Path
    module: Path
    p11_kit: Path
    journal: Path
    private: bool
    prefix: Path | None = None


def places(
    environment: Mapping[str, str] | None = None, *, uid: int | None = None, prefix: Path | None = None
) -> Places:
    """Where this user's set-up is.

    Args:
        environment: None means the process's own.
        uid: of who sets up; None means the process's own.
        prefix: the folder to stay in.

    Raises:
        ConfigurationError: there is no home folder to set up.
    """
    environment = os.environ if environment is None else environment
    if prefix is not None:
        prefix = prefix.absolute()
        return _at(prefix / "etc", prefix / "lib" / "privyseal", prefix / "etc", private=False, prefix=prefix)
    if (os.geteuid() if uid is None else uid) == 0:
        return _at(Path("/etc"), SSH_AGENT_ALLOWS / "privyseal", Path("/etc"), private=False)
    if not environment.get("HOME"):
        raise ConfigurationError("there is no home folder: HOME is not set")
    home = Path(environment["HOME"])
    own = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return _at(home / ".config", home / ".local" / "lib" / "privyseal", own, private=True)


def beside(configuration: Path) -> Places | None:
    """The set-up that a client configuration is part of, by its journal; None where `connect` did not write it."""
    there = _written_as(configuration.absolute())
    return there if there and there.journal.is_dir() else None


def _written_as(configuration: Path) -> Places | None:
    """The set-up that has its configuration there: the host's, which is everybody's, the user's own, or a prefix's."""
    own = [places()] if os.environ.get("HOME") else []
    prefix = configuration.parent.parent.parent
    known = (places(uid=0), *own, places(prefix=prefix))
    return next((there for there in known if there.configuration == configuration), None)


def _at(settings: Path, library: Path, p11_kit: Path, *, private: bool, prefix: Path | None = None) -> Places:
    ours = settings / "privyseal"
    return Places(
        configuration=ours / "client.json",
        ca_file=ours / "ca.pem",
        openssl_cnf=ours / "openssl.cnf",
        module=library / MODULE_FILE,
        p11_kit=p11_kit / "pkcs11" / "modules" / "privyseal.module",
        journal=ours / "connect",
        private=private,
        prefix=prefix,
    )
