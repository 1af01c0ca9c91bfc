"""Every row of every table goes into a dump and comes back, between the two databases as well."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, func, insert, select

from privyseal.model.access import AccessRule, Operation, Role
from privyseal.model.certificates import ClientCertificate
from privyseal.model.event import Event, Outcome
from privyseal.operations.manage_cores import blank_core
from privyseal.store import client_certificates, cores, dump, events, tables, users
from privyseal.store.dump import DumpError, End, File, Rows
from privyseal.store.store import Store
from privyseal.store.tables import attempts, metadata
from privyseal.store.times import now


def fill(store: Store) -> None:
    """Some rows in many tables, more than fit into one piece in one of them."""
    with store.write() as connection:
        cores.add(connection, blank_core("second", pin_required=False))
        users.add(connection, "alice", Role.OPERATOR, "stored")
        users.add_rule(connection, AccessRule(0, "alice", 1, frozenset({Operation.KEY_SIGN}), "*", now()))
        made = ClientCertificate("ab" * 32, "alice", "CN=host", now(), now(), now())
        client_certificates.add(connection, made, b"der")
        event = Event(time=1, node="node", user="alice", operation="key:sign", outcome=Outcome.DONE, reason="ü\n")
        events.append(connection, [event] * 3)
        rows = [{"subject": f"s {n}", "failures": n, "pending": 0, "last": n} for n in range(2500)]
        connection.execute(insert(attempts), rows)


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    with store.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in metadata.sorted_tables
        }


def insert_all(connection: Connection, stream: list[bytes]) -> None:
    """Write all rows of a stream."""
    for found in dump.read(stream):
        assert isinstance(found, Rows)
        dump.insert_rows(connection, found)


def test_it_comes_back_in_either_database(store: Store, tmp_path: Path) -> None:
    """From SQLite or PostgreSQL into an empty SQLite, row for row, and numbers go on behind the old ones."""
    fill(store)
    with store.read() as connection:
        stream = list(dump.write(connection))
        assert dump.estimate(connection) > 1000
    other = Store(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()
    with other.write() as connection:
        insert_all(connection, stream)
    assert content(other) == content(store)
    other.close()


def test_it_comes_back_into_the_database_it_came_from(store: Store) -> None:
    """Also into PostgreSQL; and a new row gets a new number there."""
    fill(store)
    with store.read() as connection:
        stream = list(dump.write(connection))
    before = content(store)
    with store.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        insert_all(connection, stream)
        dump.count_on(connection)
    assert content(store) == before
    with store.write() as connection:
        assert cores.add(connection, blank_core("third", pin_required=True)).number == 3
        assert connection.execute(select(func.max(tables.events.c.number))).scalar_one() == 3


def framed(*pieces: object) -> Iterator[bytes]:
    """A stream of one's own making."""
    for piece in pieces:
        body = msgspec.msgpack.encode(piece)
        yield len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([], "no end"),
        ([Rows("attempts", ["subject"], [["a"]])], "no end"),
        ([End(1)], "0 rows were read of 1"),
        (["something else"], "cannot be read"),
        ([Rows("secrets", ["subject"], [["a"]]), End(1)], "'secrets'"),
        ([Rows("attempts", ["colour"], [["a"]]), End(1)], "'attempts'"),
        ([Rows("attempts", ["subject"], [["a", 1]]), End(1)], "another length"),
    ],
)
def test_a_stream_of_another_kind_is_refused(pieces: list[object], words: str) -> None:
    """What is not as this version writes it says so, before a row of it is used."""
    with pytest.raises(DumpError, match=words):
        list(dump.read(framed(*pieces)))


def test_files_travel_along() -> None:
    """A file comes back, and its content shows in no log."""
    stream = [dump.file("ca.key", b"secret"), *framed(End(0))]
    assert list(dump.read(stream)) == [File("ca.key", b"secret")]
    assert "secret" not in repr(next(iter(dump.read(stream))))


def test_pieces_may_come_in_any_size() -> None:
    """The stream is cut anywhere on its way."""
    whole = b"".join(framed(Rows("attempts", ["subject"], [["a"]]), End(1)))
    assert len(list(dump.read(whole[at : at + 1] for at in range(len(whole))))) == 1
