"""Project Wycheproof's signatures: what is right verifies, and of what implementations have got wrong nothing does."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from privyseal.errors import InvalidSignatureError
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme
from privyseal.wire import primitives

FOLDER = Path(__file__).parents[2] / "vectors" / "wycheproof"
FILES = sorted(FOLDER.glob("*.json.gz"))
ACCEPTABLE = {
    # RFC 8017, section A.2.4: the parameters of a hash in DigestInfo should be NULL, and whoever leaves them out is not
    # wrong. OpenSSL compares with the encoding that has NULL, so we refuse them.
    "MissingNull": False,
}


def scheme_of(file: Path, group: dict[str, Any]) -> Scheme:
    """What the name of a file and the fields of a group say."""
    if file.name.startswith("ed"):
        return Scheme(Mechanism.EDDSA)
    hash_ = Hash(group["sha"])
    if file.name.startswith("ecdsa"):
        return Scheme(Mechanism.ECDSA, hash_, encoding=Encoding.RAW if "p1363" in file.name else Encoding.DER)
    if file.name.startswith("rsa_pss"):
        return Scheme(Mechanism.RSA_PSS, hash_, salt_length=group["sLen"], mgf_hash=Hash(group["mgfSha"]))
    return Scheme(Mechanism.RSA_PKCS1, hash_)


def verifies(public_key: str, scheme: Scheme, test: dict[str, Any]) -> bool:
    """What we say of a signature."""
    message = bytes.fromhex(test["msg"])
    value = hashlib.new(scheme.hash.python_name, message).digest() if scheme.hash else message
    try:
        primitives.verify(primitives.load_public(bytes.fromhex(public_key)), scheme, value, bytes.fromhex(test["sig"]))
    except InvalidSignatureError:
        return False
    return True


def expected(test: dict[str, Any]) -> bool:
    """What is right to say."""
    if test["result"] == "acceptable":
        return all(ACCEPTABLE[flag] for flag in test["flags"])
    return bool(test["result"] == "valid")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix("_test.json.gz"))
def test_signatures(file: Path) -> None:
    """Every vector of a file; none is left out."""
    document = json.loads(gzip.decompress(file.read_bytes()))
    wrong, seen = [], 0
    for group in document["testGroups"]:
        scheme = scheme_of(file, group)
        for test in group["tests"]:
            seen += 1
            if verifies(group["publicKeyDer"], scheme, test) != expected(test):
                wrong.append((test["tcId"], test["comment"], test["flags"], test["result"]))
    assert wrong == []
    assert seen == document["numberOfTests"]


def test_the_vectors_are_there() -> None:
    """A folder without files would show nothing."""
    assert len(FILES) == 12
