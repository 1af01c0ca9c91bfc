"""Hashing where the file is."""

import hashlib
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.client.errors import InvalidInputError
from privyseal.client.files import HASHES, MAX_MESSAGE, hash_file, hash_stream, read_message

ABC = {  # of the message "abc", from the examples that NIST publishes for FIPS 180-4 and FIPS 202
    "SHA-256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "SHA-224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
    "SHA3-256": "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
}


@pytest.mark.parametrize("name", ABC)
def test_published_digests(name: str) -> None:
    assert hash_stream(io.BytesIO(b"abc"), name).hex() == ABC[name]


@given(st.binary(max_size=5000), st.sampled_from(sorted(HASHES)))
def test_all_hashes_are_those_of_hashlib(content: bytes, name: str) -> None:
    other = hashlib.new(name.lower().replace("sha3-", "sha3_").replace("sha-", "sha"), content)
    assert hash_stream(io.BytesIO(content), name) == other.digest()


def test_memory_stays_the_same(tmp_path: Path) -> None:
    """50 MiB are hashed in less than 4."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    seen: list[int] = []
    tracemalloc.start()
    digest = hash_file(path, "SHA-256", seen.append)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
    assert sum(seen) == 50 * 1024 * 1024
    assert digest == hashlib.sha256(bytes(50 * 1024 * 1024)).digest()


def test_unknown_hash() -> None:
    with pytest.raises(InvalidInputError, match="SHA-256"):
        hash_stream(io.BytesIO(b""), "MD5")


def test_message_limit() -> None:
    assert len(read_message(io.BytesIO(bytes(MAX_MESSAGE)))) == MAX_MESSAGE
    with pytest.raises(InvalidInputError, match="1 MiB"):
        read_message(io.BytesIO(bytes(MAX_MESSAGE + 1)))
