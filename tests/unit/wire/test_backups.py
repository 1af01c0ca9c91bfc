"""A backup comes back as it was written, or not at all."""

import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis.strategies import binary, integers, lists

from privyseal.wire import backups
from privyseal.wire.backups import CHUNK, MAGIC, BackupError, Header, Recipient, read, read_header, write

KEY = bytes(range(32))
HEADER = Header("node", 1, "0001", 7, (Recipient("passphrase", "safe", bytes(32), bytes(16), b"sealed"),))


def written(*pieces: bytes) -> bytes:
    """A whole file."""
    return b"".join(write(HEADER, KEY, pieces))


def opened(file: bytes, key: bytes = KEY) -> Iterator[bytes]:
    """Its plain chunks."""
    stream = io.BytesIO(file)
    header, place = read_header(stream)
    assert header == HEADER
    yield from read(stream, key, place)


@settings(max_examples=50, deadline=None)
@given(lists(binary(max_size=3000), max_size=5))
def test_it_comes_back_as_it_went(pieces: list[bytes]) -> None:
    """However it is cut into pieces, nothing at all included."""
    assert b"".join(opened(written(*pieces))) == b"".join(pieces)


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5])
def test_around_the_length_of_a_chunk(length: int) -> None:
    """The last chunk is never lost and never doubled."""
    plain = bytes(length)
    assert b"".join(opened(written(plain))) == plain


@settings(max_examples=200, deadline=None)
@given(integers(min_value=0), integers(min_value=0, max_value=7))
def test_one_flipped_bit_is_found(place: int, bit: int) -> None:
    """Anywhere: in the magic, a length, the header or a chunk."""
    file = bytearray(written(b"plain " * 50))
    file[place % len(file)] ^= 1 << bit
    with pytest.raises((BackupError, AssertionError)):
        list(opened(bytes(file)))


@settings(max_examples=100, deadline=None)
@given(integers(min_value=0))
def test_a_cut_off_end_is_found(length: int) -> None:
    """At every place, the borders of chunks included."""
    file = written(bytes(CHUNK), bytes(CHUNK), b"end")
    with pytest.raises(BackupError):
        list(opened(file[: length % len(file)]))


def test_chunks_cannot_be_moved() -> None:
    """Two chunks exchanged, one left out at its border, one doubled, and one more behind the last."""
    file = written(bytes(CHUNK), b"1" * CHUNK, b"end")
    stream = io.BytesIO(file)
    read_header(stream)
    head, size = file[: stream.tell()], 4 + CHUNK + 16
    first, second, last = (file[len(head) :][at:to] for at, to in ((0, size), (size, 2 * size), (2 * size, None)))
    assert head + first + second + last == file
    for altered in ((second, first, last), (first, last), (first, second), (first, first, second, last)):
        with pytest.raises(BackupError):
            list(opened(head + b"".join(altered)))
    with pytest.raises(BackupError):
        list(opened(file + last))


def test_another_key_or_header_opens_nothing() -> None:
    """The chunks belong to their key and to what stands before them."""
    with pytest.raises(BackupError, match="chunk 1"):
        list(opened(written(b"plain"), bytes(32)))
    other = b"".join(write(Header("other", 1, "0001", 7, ()), KEY, [b"plain"]))
    stream = io.BytesIO(other)
    read_header(stream)
    start = written(b"plain")
    mine = io.BytesIO(start)
    read_header(mine)
    with pytest.raises(BackupError, match="chunk 1"):
        list(opened(start[: mine.tell()] + other[stream.tell() :]))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "no backup"),
        (b"PK\x03\x04 something else", "no backup"),
        (MAGIC, "header"),
        (MAGIC + b"\xff\xff\xff\xff", "header"),
        (MAGIC + b"\x00\x00\x00\x02\x90\x90", "header"),
    ],
)
def test_a_foreign_file_is_named(file: bytes, words: str) -> None:
    """What it is, before anything is opened."""
    with pytest.raises(BackupError, match=words):
        read_header(io.BytesIO(file))


def test_a_file_without_chunks_is_cut_off() -> None:
    """A header alone is no backup."""
    start = next(iter(write(HEADER, KEY, [])))
    with pytest.raises(BackupError, match="cut off"):
        list(opened(start))
    with pytest.raises(BackupError, match="cut off"):
        list(opened(start + b"\x00\x00"))


def test_no_chunk_is_longer_than_it_may_be() -> None:
    """Nobody makes a reader take gigabytes at once."""
    start = next(iter(write(HEADER, KEY, [])))
    with pytest.raises(BackupError):
        list(opened(start + (backups.CHUNK + 17).to_bytes(4, "big") + bytes(backups.CHUNK + 17)))
