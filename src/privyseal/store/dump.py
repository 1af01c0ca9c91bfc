"""All rows of the database as a stream of bytes, and back: what a backup holds. Sealed things travel sealed.

The stream is a sequence of pieces, each with its length in front (4 bytes, big endian): msgpack of `Rows` for up to a
thousand rows of one table, of `File`, and of `End` at the end. Tables come in the order
in which they refer to each other.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, text

from privyseal.store.tables import metadata, tree_edge

_ROWS_AT_ONCE = 1000
_LEFT_OUT = frozenset({"leases", "replays"})  # what is of interest for hours only, and only where it is
_TABLES = [table for table in metadata.sorted_tables if table.name not in _LEFT_OUT]


class DumpError(Exception):
    """The stream is not what this version writes; the message says where."""


class Rows(msgspec.Struct, frozen=True, array_like=True, tag="rows"):
    """Some rows of one table."""

    table: str
    columns: list[str]
    rows: list[list[Any]]


class File(msgspec.Struct, frozen=True, array_like=True, tag="file"):
    """A file beside the database."""

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"File({self.name!r}, …)"


class End(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The end, and how many rows there were."""

    rows: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Rows | File | End)


def estimate(connection: Connection) -> int:
    """Give roughly how many bytes will be written: what progress is measured against."""
    if connection.dialect.name == "postgresql":
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    return int(connection.execute(text(pages)).scalar_one())


def revision(connection: Connection) -> str:
    """Give the revision of the tables."""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def file(name: str, content: bytes) -> bytes:
    """Give the piece of a file that belongs to the appliance."""
    return _framed(File(name, content))


def write(connection: Connection) -> Iterator[bytes]:
    """Give the stream in pieces. The connection has to see one state until the end."""
    written = 0
    for table in _TABLES:
        names = [str(column.name) for column in table.columns]
        ordered = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=_ROWS_AT_ONCE)
        for part in connection.execute(ordered).partitions():
            yield _framed(Rows(str(table.name), names, [list(row) for row in part]))
            written += len(part)
    yield _framed(End(written))


def read(stream: Iterable[bytes]) -> Iterator[Rows | File]:
    """Give the rows and files of a stream that comes in pieces of any size. Raises DumpError when it is not whole."""
    seen = 0
    for piece in _pieces(stream):
        try:
            found = _decoder.decode(piece)
        except ValueError as error:
            raise DumpError("the rows cannot be read") from error
        if isinstance(found, End):
            if found.rows != seen:
                raise DumpError(f"{seen} rows were read of {found.rows}")
            return
        if isinstance(found, Rows):
            _check(found)
            seen += len(found.rows)
        yield found
    raise DumpError("the rows have no end")


def insert_rows(connection: Connection, found: Rows) -> None:
    """Write rows into their table as they are; the edge of the empty record gives way to the dump's."""
    table = metadata.tables[found.table]
    if table is tree_edge:
        connection.execute(delete(table))
    connection.execute(insert(table), [dict(zip(found.columns, row, strict=True)) for row in found.rows])


def count_on(connection: Connection) -> None:
    """Let PostgreSQL number new rows behind the inserted ones; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            highest = f"(SELECT max({column.name}) FROM {table.name})"  # noqa: S608 - our own names
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            connection.execute(text(f"SELECT setval({sequence}, {highest}) WHERE {highest} IS NOT NULL"))


def _check(found: Rows) -> None:
    table = metadata.tables.get(found.table)
    if table is None or not set(found.columns) <= set(table.columns.keys()):
        raise DumpError(f"table {found.table!r} is not as this version knows it")
    if any(len(row) != len(found.columns) for row in found.rows):
        raise DumpError(f"a row of table {found.table!r} has another length than its columns")


def _pieces(stream: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in stream:
        held += part
        while len(held) >= _HEAD and len(held) - _HEAD >= (size := int.from_bytes(held[:_HEAD], "big")):
            yield bytes(held[_HEAD : _HEAD + size])
            del held[: _HEAD + size]


_HEAD = 4


def _framed(piece: Rows | File | End) -> bytes:
    body = _encoder.encode(piece)
    return len(body).to_bytes(_HEAD, "big") + body
