"""The tree over the record grows with it, in the same transaction, and proofs are made from what is stored."""

import asyncio
import json

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from privyseal.audit import tree
from privyseal.audit.recorder import Recorder
from privyseal.errors import ConflictError
from privyseal.model.event import Event, Outcome, encode, leaf
from privyseal.operations.manage_cores import blank_core
from privyseal.store import cores, events, record
from privyseal.store.record import AuditKey, StoredNodes
from privyseal.store.store import Store
from privyseal.store.times import now_micros

TEXTS = st.none() | st.text(st.characters(codec="utf-8"))


def event(**more: object) -> Event:
    """An event that has something in every field, among it what JSON has to escape."""
    fields = {"core": 1, "key": 'a"\\/\x7f ü 🗝', "mechanism": "EdDSA", "input": "00ff", "reason": "because"}
    fields |= {"keeper": "0123456789abcdef", "use": 7}
    base = {"time": now_micros(), "node": "node", "user": "alice", "operation": "key:sign", "outcome": Outcome.DONE}
    return Event(**{**base, **fields, **more})  # type: ignore[arg-type]  # names and types are Event's own


@given(key=TEXTS, reason=TEXTS, number=st.integers(1, 2**53), core=st.none() | st.integers(0, 2**53))
def test_a_leaf_is_what_any_json_library_writes(key: str | None, reason: str | None, number: int, core: int) -> None:
    """No spaces, UTF-8 as it is, short escapes: a third party can write the same bytes."""
    one = event(key=key, reason=reason, core=core)
    fields = [number, *(getattr(one, name) for name in Event.__struct_fields__)]
    values = [value.value if isinstance(value, Outcome) else value for value in fields]
    expected = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
    assert leaf(number, encode(one)) == expected


def fill(store: Store, count: int) -> None:
    """Write so many events in two ways."""
    with store.write() as connection:
        assert events.append(connection, [event()]) == 1
    recorder = Recorder(store)
    asyncio.run(recorder.record([event(user=f"user {number}", core=None) for number in range(count - 1)], None))
    recorder.close()


def test_the_tree_is_that_of_the_events(store: Store) -> None:
    """Whoever hashes what the database gives comes to the same edge; each proof from it holds."""
    fill(store, 600)
    with store.read() as connection:
        edge, nodes = record.edge(connection), StoredNodes(connection)
        hashes = [tree.leaf_hash(each) for each in events.leaves(connection, 1, 600)]
        assert (edge.size, edge.root()) == (600, tree.root_of(hashes))
        for place in (0, 255, 256, 511, 512, 599):
            proof = tree.inclusion_proof(nodes, place, 600)
            tree.check_inclusion(hashes[place], place, 600, proof, edge.root())
        for old in (1, 256, 300, 512, 599):
            proof = tree.consistency_proof(nodes, old, 600)
            tree.check_consistency(old, 600, proof, tree.root_of(hashes[:old]), edge.root())


def test_a_hole_makes_no_proof(store: Store) -> None:
    """Where rows are missing there is nothing to prove with."""
    fill(store, 300)
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE number = 7")
        connection.exec_driver_sql("DELETE FROM tree_nodes")
    with store.read() as connection:
        with pytest.raises(tree.ProofError, match="1 of its entries"):
            tree.inclusion_proof(StoredNodes(connection), 0, 300)
        with pytest.raises(tree.ProofError):
            tree.inclusion_proof(StoredNodes(connection), 299, 300)


def test_what_fails_leaves_the_tree_alone(store: Store) -> None:
    """Events and tree are one transaction."""
    fill(store, 3)

    def work() -> None:
        with store.write() as connection:
            events.append(connection, [event()])
            cores.add(connection, blank_core("core1", pin_required=True))

    with pytest.raises(ConflictError):
        work()
    with store.read() as connection:
        assert record.edge(connection).size == 3
        assert events.get(connection, 3) is not None
        assert events.get(connection, 4) is None


def test_an_older_database_gets_its_tree(url: str) -> None:
    """The migration hashes the events that are there already."""
    store = Store(url)
    config = Config()
    config.set_main_option("script_location", "privyseal.store:migrations")
    with store.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        rows = ", ".join(f"({number}, {number}, 'node', 'ü', 'key:sign', 'done')" for number in range(1, 1301))
        columns = '(number, time, node, "user", operation, outcome)'
        connection.exec_driver_sql(f"INSERT INTO events {columns} VALUES {rows}")  # noqa: S608 - numbers of ours
    store.migrate()
    with store.read() as connection:
        hashes = [tree.leaf_hash(each) for each in events.leaves(connection, 1, 1300)]
        edge = record.edge(connection)
        assert (edge.size, edge.root()) == (1300, tree.root_of(hashes))
        proof = tree.inclusion_proof(StoredNodes(connection), 1299, 1300)
        tree.check_inclusion(hashes[1299], 1299, 1300, proof, edge.root())
    with store.write() as connection:
        assert events.append(connection, [event()]) == 1301
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    store.close()


def test_there_is_one_audit_key(store: Store) -> None:
    """The first that was made stays."""
    made = AuditKey("0123456789abcdef", bytes(32), b"sealed", b"policy", 1)
    with store.write() as connection:
        assert record.key(connection) is None
        record.keep_key(connection, made)
        assert record.key(connection) == made
    with pytest.raises(ConflictError), store.write() as connection:
        record.keep_key(connection, made)


def test_a_signature_is_recorded_once(store: Store) -> None:
    """What is among the newest events of that keeper is left out; another keeper's number is another signature."""
    one, other = "01" * 8, "02" * 8

    def uses() -> list[tuple[str | None, int | None]]:
        with store.read() as connection:
            return [(found.event.keeper, found.event.use) for found in events.page(connection, 0, 100)]

    with store.write() as connection:
        events.append(connection, [event(keeper=one, use=use) for use in (1, 3)])
        events.append_missing(connection, one, [event(keeper=one, use=use) for use in (1, 2, 3)])
        events.append_missing(connection, one, [event(keeper=one, use=3)])
        events.append_missing(connection, other, [event(keeper=other, use=3)])
    assert uses() == [(one, 1), (one, 3), (one, 2), (other, 3)]
