"""What OpenSSL is on this host, and by which way it can reach a PKCS#11 module.

An *engine* (libp11's, for OpenSSL 1.1.1 and 3) or a *provider* (`pkcs11-provider`, for OpenSSL 3 and 4, which has no
engines any more). Where both are there the provider is taken, but on OpenSSL 3.0 and 3.1 the engine: certificates for
EC keys that the provider makes there carry explicit curve parameters, which `openssl verify` refuses.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

ENGINE = "engine"
PROVIDER = "provider"
_FIRST_WITHOUT_ENGINES = (4, 0)
_FIRST_WITH_PROVIDERS = (3, 0)
_PROVIDER_IS_SOUND = (3, 2)
_PATIENCE = 30.0  # seconds
Done: TypeAlias = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class OpenSSL:
    """The `openssl` in PATH.

    Attributes:
        version: for example `3.0.19`.
        configuration: the system's openssl.cnf, as this OpenSSL was built to find it; it need not be there.
        engine: libp11's engine, None where it is missing or this OpenSSL takes none.
        provider: the PKCS#11 provider, likewise.
    """

    program: Path
    version: str
    configuration: Path
    engine: Path | None
    provider: Path | None

    @property
    def way(self) -> str | None:
        """`engine`, `provider`, or None where neither is there."""
        if self.provider and (self.release >= _PROVIDER_IS_SOUND or not self.engine):
            return PROVIDER
        return ENGINE if self.engine else None

    @property
    def release(self) -> tuple[int, int]:
        """The first two parts of the version."""
        first, second, *_ = self.version.split(".")
        return int(first), int(second)

    @property
    def package(self) -> str:
        """The Debian package with what is recommended for this version."""
        return "pkcs11-provider" if self.release >= _PROVIDER_IS_SOUND else "libengine-pkcs11-openssl"


def find(environment: Mapping[str, str] | None = None) -> OpenSSL | None:
    """The `openssl` in PATH; None where there is none, or one of another kind such as LibreSSL.

    `$OPENSSL_ENGINES` and `$OPENSSL_MODULES` are heard as OpenSSL itself hears them.
    """
    environment = os.environ if environment is None else environment
    program = shutil.which("openssl", path=environment.get("PATH"))
    if program is None:
        return None
    told = run([program, "version", "-a"], {**environment, "OPENSSL_CONF": os.devnull}).stdout
    version = re.match(r"OpenSSL (\d+\.\d+\.\d+)", told)
    if version is None:
        return None
    release = tuple(map(int, version[1].split(".")[:2]))
    engines = Path(environment.get("OPENSSL_ENGINES") or _folder(told, "ENGINESDIR"))
    modules = Path(environment.get("OPENSSL_MODULES") or _folder(told, "MODULESDIR"))
    return OpenSSL(
        program=Path(program),
        version=version[1],
        configuration=Path(_folder(told, "OPENSSLDIR")) / "openssl.cnf",
        engine=_library(engines) if release < _FIRST_WITHOUT_ENGINES else None,
        provider=_library(modules) if release >= _FIRST_WITH_PROVIDERS else None,
    )


def run(
    words: list[str],
    environment: Mapping[str, str],
    *,
    stdin: bytes = b"",
    folder: Path | None = None,
    timeout: float = _PATIENCE,
) -> Done:
    """Run a program without a terminal. One that does not end in time, or does not start, has the status 124 or 127."""
    try:
        done = subprocess.run(  # noqa: S603  openssl or our own probe, with words of our own
            words,
            env=dict(environment),
            cwd=folder,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return Done(words, 124, "", f"it did not end within {timeout:g} seconds")
    except OSError as error:
        return Done(words, 127, "", str(error.strerror))
    out, err = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
    return Done(words, done.returncode, out, err)


def _folder(told: str, name: str) -> str:
    found = re.search(rf'^{name}: "(.*)"$', told, re.MULTILINE)
    return found[1] if found else "/nonexistent"


def _library(folder: Path) -> Path | None:
    return next((path for name in ("pkcs11.so", "libpkcs11.so") if (path := folder / name).is_file()), None)
