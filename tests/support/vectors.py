"""Official test vectors from the package `cryptography_vectors`, as NIST's CAVS and the RFCs write them.

A response file has sections (`[P-256,SHA-256]`, `[mod = 2048]`) and fields (`Msg = 0f6b…`). Some fields stand once for
many vectors, so a field holds until it is given anew.
"""

import re
from collections.abc import Iterator
from importlib.resources import files

_FIELD = re.compile(r"(\w+) *= ?(.*)")


def lines(path: str, folder: str = "asymmetric") -> Iterator[str]:
    """The lines of a vector file, without comments and empty ones."""
    text = (files("cryptography_vectors") / folder / path).read_text()
    yield from (line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def vectors(path: str, last: str, folder: str = "asymmetric") -> Iterator[dict[str, str]]:
    """The vectors of a response file; each ends with the field `last`, and `section` is the heading above it."""
    known: dict[str, str] = {}
    for line in lines(path, folder):
        if line.startswith("["):
            known = {"section": line.strip("[]")}
        elif field := _FIELD.fullmatch(line):
            known[field[1]] = field[2]
            if field[1] == last:
                yield dict(known)
