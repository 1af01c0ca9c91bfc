"""The PKCS#11 module of Privyseal as a file in a Python package: `python -m privyseal_pkcs11` prints its path."""

from pathlib import Path


def path() -> str:
    """Where the module is."""
    return str(Path(__file__).absolute().parent / "privyseal-pkcs11.so")
