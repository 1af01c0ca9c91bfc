"""Puts the built module into the wheel, and says for which processors and C libraries that is."""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModuleHook(BuildHookInterface[Any]):
    """Takes $PRIVYSEAL_MODULE, a module for $PRIVYSEAL_PROCESSOR that glibc 2.17 loads (`scripts/dist` sets both)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the platform; a wheel without a module is an error, not an empty wheel."""
        del version
        module, processor = Path(os.environ["PRIVYSEAL_MODULE"]), os.environ["PRIVYSEAL_PROCESSOR"]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_2_17_{processor}.manylinux2014_{processor}"
        build_data["force_include"][str(module)] = "privyseal_pkcs11/privyseal-pkcs11.so"
