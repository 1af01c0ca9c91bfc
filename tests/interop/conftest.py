"""What `make interop` adds to `make test`: all of these tests, SoftHSM2 as the baseline, and the table in the docs.

Always true: without PRIVYSEAL_INTEROP only the core runs, on our own token; a test that SoftHSM2 does not pass fails
nothing, but stands in the table; the table is written from what ran and from nothing else.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import interop_table
from support.appliance import PIN, Appliance
from support.function_list import CKF_RW_SESSION, CKF_SERIAL_SESSION, Cryptoki, Rv, Session
from support.tokens import SOFTHSM2, Token, of_softhsm2, on_appliance

EVERYTHING = "PRIVYSEAL_INTEROP" in os.environ
TABLE = os.environ.get("PRIVYSEAL_INTEROP_TABLE")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is for `make interop` alone out of `make test`; mark what fails, and what hangs in C."""
    for item in items:
        interop_table.expect_failure(item)
        if item.path.name.startswith("test_module_"):  # a call that hangs in the module hears no signal
            item.add_marker(pytest.mark.timeout(method="thread"))
    if EVERYTHING:
        return
    left_out = [item for item in items if item.get_closest_marker("interop") or interop_table.is_baseline(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say with the test's result which row of the table it is."""
    if row := interop_table.row_of(item):
        item.user_properties.append((interop_table.PROPERTY, row))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Iterator[None]:
    """What SoftHSM2 fails is known of it from then on, and is not our failure."""
    report: pytest.TestReport = yield  # type: ignore[misc,assignment]
    if interop_table.is_baseline(item) and report.failed:
        report.outcome = "skipped"
        report.wasxfail = "SoftHSM2: " + interop_table.last_line(report.longreprtext)
    return report  # type: ignore[return-value]


def pytest_configure(config: pytest.Config) -> None:
    """Collect the results in the process that hears them all."""
    if TABLE and not hasattr(config, "workerinput"):
        config.pluginmanager.register(interop_table.Writer(Path(TABLE)))


@pytest.fixture(scope="session")
def our_token(appliance: Appliance, module: Path, tmp_path_factory: pytest.TempPathFactory) -> Token:
    """The token on the appliance."""
    return on_appliance(tmp_path_factory.mktemp("privyseal"), appliance, module)


@pytest.fixture(scope="session", params=["privyseal", "softhsm2"])
def token(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Token:
    """Our token, then SoftHSM2's, with the same keys."""
    if request.param == "privyseal":
        ours: Token = request.getfixturevalue("our_token")
        return ours
    if not SOFTHSM2.exists():
        pytest.skip("SoftHSM2 is not installed")
    return of_softhsm2(tmp_path_factory.mktemp("softhsm2"))


@pytest.fixture(scope="session", params=["ec", "rsa"])
def key(request: pytest.FixtureRequest) -> str:
    """The label of a key: P-256, then RSA of 2048 bits."""
    label: str = request.param
    return label


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skips a test where a program is not installed: `needs("nginx")`."""
    return interop_table.needs


@pytest.fixture(scope="session")
def cryptoki(module: Path) -> Cryptoki:
    """The module in this process."""
    return Cryptoki(module)


@pytest.fixture
def newest(module: Path) -> Cryptoki:
    """The module in this process, through its newest interface."""
    return Cryptoki.of_interface(module, (3, 2))


@pytest.fixture
def session(running: Cryptoki) -> Session:
    """A read-write session before login; a file says which host the module is `running` for."""
    return running.open(running.slots()[0], CKF_SERIAL_SESSION | CKF_RW_SESSION)


@pytest.fixture
def logged_in(session: Session) -> Session:
    """A session after login."""
    assert session.login(PIN) == Rv.CKR_OK
    return session


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Points the module at a configuration file, from its next C_Initialize on."""

    def point(configuration: Path) -> None:
        monkeypatch.setenv("PRIVYSEAL_CONFIG", str(configuration))

    return point
