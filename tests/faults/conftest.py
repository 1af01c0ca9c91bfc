"""Libraries that let things go wrong at a chosen moment, compiled from the C files beside this one."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`shim("cut")` is the path of the library made from cut.c, for LD_PRELOAD."""
    folder = tmp_path_factory.mktemp("shim")

    def build(name: str) -> Path:
        library, source = folder / f"{name}.so", Path(__file__).with_name(f"{name}.c")
        if not library.exists():
            words = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]
            subprocess.run(words, check=True)
        return library

    return build
