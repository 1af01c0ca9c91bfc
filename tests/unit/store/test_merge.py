"""What a merge takes out of a backup, row by row, on SQLite and on PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Table, select

from privyseal.store import cores, merge, tables
from privyseal.store.dump import Rows
from privyseal.store.merge import Missing, Row
from privyseal.store.store import Store
from privyseal.store.times import now, to_micros

CORE = {
    "number": 7, "name": "seventh", "pin_required": True, "pin_salt": b"salt", "serial": "77", "token_label": "",
    "manufacturer": "", "model": "", "revision": 1, "created": 0, "destroy_days": 30,
}  # fmt: skip
KEY = {
    "id": "a" * 16, "core": 7, "label": "release", "type": "ec:P-256", "public_key": b"p", "has_pin": False,
    "pin_tag": None, "sealed": b"s", "policy": b"o", "version": 2, "created": 0, "disabled": False, "destroy_at": None,
    "rotate_after": None, "rotate_at": None, "version_created": None, "tags": "", "object_id": "",
}  # fmt: skip
USER = {"name": "alice", "role": "operator", "password": "", "created": 0}
RULE = {"user": "alice", "group": None, "core": 7, "operations": "key:sign", "keys": "*", "created": 0}
QUORUM = {"operation": "key:sign", "core": 7, "key": None, "needed": 1, "approvers": "alice", "created": 0}
VERSION = {"key": KEY["id"], "version": 1, "public_key": b"p", "has_pin": False, "sealed": b"s", "policy": b"o"}
OBJECT = {
    "id": "d" * 16, "core": 7, "class": "data", "label": "note", "object_id": "", "value": b"v", "application": None,
    "oid": None, "created": 0,
}  # fmt: skip
COUNTER = {"key": KEY["id"], "version": 2, "uses": 1, "delivered": 1, "sealed": b"s"}

IN_A_CORE = (
    tables.keys, tables.key_versions, tables.key_counters, tables.rules, tables.quorums, tables.objects,
)  # fmt: skip


def missing_of(connection: Connection, found: dict[str, list[Row]]) -> Missing:
    """What is missing here of a backup with these rows, in the order of a backup."""
    missing = Missing()
    for table in tables.metadata.sorted_tables:
        rows = found.get(table.name, [])
        if rows:
            merge.find(connection, missing, Rows(table.name, list(rows[0]), [list(row.values()) for row in rows]))
    merge.settle(connection, missing)
    return missing


def whole(**other: list[Row]) -> dict[str, list[Row]]:
    """A core with a key, a rule, and a quorum; `other` stands for some of the tables."""
    rows: dict[str, list[Row]] = {
        "cores": [CORE], "users": [USER], "rules": [RULE], "keys": [KEY], "quorums": [QUORUM],
        "key_versions": [VERSION | {"created": 0}], "key_counters": [COUNTER],
        "objects": [OBJECT],
    }  # fmt: skip
    return rows | other


def put_back(store: Store, found: dict[str, list[Row]]) -> Missing:
    """Merge rows."""
    with store.write() as connection:
        missing = missing_of(connection, found)
        merge.put_back(connection, missing)
    return missing


def rows_of(store: Store, table: Table) -> list[Any]:
    """What is in a table."""
    with store.read() as connection:
        return list(connection.execute(select(table)))


def test_a_core_comes_back_with_what_guards_it(store: Store) -> None:
    """All of it, and a second time there is nothing to do."""
    assert put_back(store, whole()).conflicts == []
    for table in IN_A_CORE:
        assert len(rows_of(store, table)) == 1
    again = put_back(store, whole())
    assert (again.cores, again.keys, again.quorums, again.conflicts) == ({}, {}, [], [])


def test_without_its_approver_a_core_stays_away(store: Store) -> None:
    """With all in it, however often it is tried: a core that came alone would let its keys come unguarded later."""
    quorums = [QUORUM | {"operation": operation, "approvers": "alice,bob"} for operation in ("key:sign", "key:export")]
    for _ in range(2):
        missing = put_back(store, whole(quorums=[*quorums, QUORUM | {"operation": "key:policy"}]))
        assert missing.conflicts == [
            "core 7 'seventh' stays away: approver 'bob' of its quorum for key:sign is not here"
        ]
        for table in IN_A_CORE:
            assert rows_of(store, table) == []
    assert len(rows_of(store, tables.cores)) == 1


def test_without_its_approver_a_key_stays_away(store: Store) -> None:
    """The others of its core come back, until the approver is here again."""
    other = KEY | {"id": "b" * 16, "label": "other"}
    quorums = [
        QUORUM | {"key": KEY["id"]},
        QUORUM | {"key": KEY["id"], "operation": "key:export", "approvers": "bob"},
        QUORUM | {"key": other["id"]},
        QUORUM | {"key": "c" * 16, "approvers": "bob"},  # of a key that was destroyed before
    ]
    found = whole(keys=[KEY, other], quorums=quorums)
    missing = put_back(store, found)
    why = "stays away: approver 'bob' of its quorum for key:export is not here"
    assert missing.conflicts == [f"key 'release' in core 7 {why}"]
    assert [row.label for row in rows_of(store, tables.keys)] == ["other"]
    assert [row.key for row in rows_of(store, tables.quorums)] == [other["id"]]
    put_back(store, found | {"users": [USER, USER | {"name": "bob"}]})
    assert {row.label for row in rows_of(store, tables.keys)} == {"release", "other"}
    assert len(rows_of(store, tables.quorums)) == 3


def test_a_quorum_that_is_here_guards_again(store: Store) -> None:
    """That its approver in the backup is gone is of no matter: the one that is here holds."""
    put_back(store, whole(keys=[], key_versions=[], key_counters=[], quorums=[QUORUM | {"key": KEY["id"]}]))
    with store.write() as connection:
        connection.execute(tables.quorums.insert().values(QUORUM | {"key": KEY["id"]}))
    missing = put_back(store, whole(quorums=[QUORUM | {"key": KEY["id"], "approvers": "bob"}]))
    assert (list(missing.keys), missing.quorums, missing.conflicts) == ([KEY["id"]], [], [])


def test_stored_objects_come_back_with_their_core_alone(store: Store) -> None:
    """Of a core that is here they were taken away by somebody, perhaps on purpose."""
    put_back(store, whole(objects=[]))
    assert put_back(store, whole()).objects == []


def test_a_key_whose_end_has_come_stays_away(store: Store) -> None:
    """It would be destroyed at once; one whose end is still to come has it again."""
    coming = to_micros(now() + timedelta(days=1))
    over = KEY | {"destroy_at": to_micros(now()) - 1}
    later = KEY | {"id": "b" * 16, "label": "later", "destroy_at": coming}
    missing = put_back(store, whole(keys=[over, later], quorums=[]))
    assert missing.conflicts == ["key 'release' in core 7: the time for which its end was set has passed"]
    assert [(row.label, row.destroy_at) for row in rows_of(store, tables.keys)] == [("later", coming)]


def test_new_rows_get_new_numbers_after_a_merge(store: Store) -> None:
    """Not one that somebody else has taken and not written yet; SQLite has one writer at a time."""
    put_back(store, whole())
    numbers = []
    for _ in range(2):
        with store.write() as connection:
            made = connection.execute(tables.rules.insert().values(RULE)).inserted_primary_key
            numbers.append(made[0])
            if connection.dialect.name == "postgresql":
                connection.execute(tables.rules.delete().where(tables.rules.c.number == made[0]))
        put_back(store, whole())
    assert numbers[0] < numbers[1]
    with store.write() as connection:
        core = cores.add(connection, replace(cores.every(connection)[0], name="new", serial="88"))
    assert core.number == max(row.number for row in rows_of(store, tables.cores))
