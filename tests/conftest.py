"""Fixtures on the real programs: an appliance, the built module, a host that uses both, shims, a PostgreSQL server.

Always true: each pytest-xdist worker has its own, made when first asked for; an appliance that a file of tests started
for itself ends with that file, everything else with the session.
"""

import contextlib
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.appliance import Appliance
from support.host import Host
from support.postgresql import PostgreSQL
from support.processes import BIN

SHIMS = Path(__file__).parent / "support" / "shims"


def _starting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Appliance]]:
    """Gives what starts an appliance, and ends in the end all that were started."""
    started: list[Appliance] = []
    on_postgresql = os.environ.get("PRIVYSEAL_TEST_DATABASE") == "postgresql"

    def start(*arguments: str, **options: Any) -> Appliance:
        if on_postgresql and "--database" not in arguments:
            arguments += ("--database", request.getfixturevalue("postgresql").new_database())
        started.append(Appliance(tmp_path_factory.mktemp("appliance"), *arguments, **options))
        started[-1].start()
        return started[-1]

    try:
        yield start
    finally:
        for appliance in started:
            appliance.stop()


@pytest.fixture(scope="module")
def new_appliance(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Appliance]]:
    """Starts a further appliance for tests that need their own: `new_appliance("--workers", "2")`.

    It ends with the file that asked for it, so that no more of them are there than one file starts.
    With PRIVYSEAL_TEST_DATABASE=postgresql in the environment each has a PostgreSQL database.
    """
    yield from _starting(request, tmp_path_factory)


@pytest.fixture(scope="session")
def appliance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """The appliance that most tests share; they leave it running and name their own users and keys."""
    with contextlib.contextmanager(_starting)(request, tmp_path_factory) as start:
        yield start()


@pytest.fixture(scope="session")
def module() -> Path:
    """The PKCS#11 module as `scripts/build-module` made it."""
    answer = subprocess.run([BIN / "privyseal", "pkcs11", "path"], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip())


@pytest.fixture(scope="session")
def new_host(tmp_path_factory: pytest.TempPathFactory, module: Path) -> Iterator[Callable[..., Host]]:
    """Writes a further host's files: `new_host(appliance, user="bob", core=2)`."""
    written: list[Host] = []

    def write(appliance: Appliance, *, user: str, **settings: object) -> Host:
        written.append(Host(tmp_path_factory.mktemp("host"), appliance, module, user=user, **settings))
        return written[-1]

    yield write
    for host in written:
        host.remove()


@pytest.fixture(scope="session")
def host(appliance: Appliance, new_host: Callable[..., Host]) -> Host:
    """The walk-through's host: alice, who may sign with `release…`, and the P-256 key `release` with a PIN."""
    appliance.add_user("alice")
    appliance.add_rule("alice", "release*")
    appliance.add_key("release")
    host = new_host(appliance, user="alice")
    (host.directory / "mydata").write_text("The file to be signed.\n")
    return host


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`shim("cut")` is the library made from support/shims/cut.c: things go wrong at a chosen moment, by LD_PRELOAD."""
    folder = tmp_path_factory.mktemp("shim")

    def build(name: str) -> Path:
        library, source = folder / f"{name}.so", SHIMS / f"{name}.c"
        if not library.exists():
            words = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]
            subprocess.run(words, check=True)
        return library

    return build


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL server; `postgresql.new_database()` is the URL of an empty database."""
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left alone with it."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name != "test_postgresql.py", -tests[item.path], item.path))
