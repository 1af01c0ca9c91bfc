"""What the tests of the module share: the module in this process, and the configuration that it reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.function_list import Cryptoki


@pytest.fixture(scope="session")
def cryptoki(module: Path) -> Cryptoki:
    """The module in this process."""
    return Cryptoki(module)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Points the module at a configuration file, from its next C_Initialize on."""

    def point(configuration: Path) -> None:
        monkeypatch.setenv("PRIVYSEAL_CONFIG", str(configuration))

    return point
