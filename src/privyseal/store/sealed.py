"""Every sealed record there is: the one list by which a rotation of the domain key finds them all.

What seals something else with the domain key has to be added here, or the next rotation would make it unopenable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select, update

from privyseal.store.tables import audit_key, key_counters, key_versions, keys
from privyseal.wire.frames import AUDIT_KEY, USE_COUNTER, SealedKey

_VERSIONS = 1 << 24  # more than a key will ever have; so a place is one number
Page = Sequence[tuple[int, SealedKey]]


@dataclass(frozen=True, slots=True)
class Source:
    """A table with sealed records.

    Attributes:
        count: how many there are.
        page: up to so many behind a number, in order, each with its number.
        replace: write a record's new seal, given the number, the old seal and the new one; False when the record is
            not what it was, so that what somebody changed or removed meanwhile stays as it is.
    """

    name: str
    count: Callable[[Connection], int]
    page: Callable[[Connection, int, int], Page]
    replace: Callable[[Connection, int, bytes, bytes], bool]


def _page_of_keys(connection: Connection, after: int, limit: int) -> Page:
    query = select(keys).where(keys.c.number > after).order_by(keys.c.number).limit(limit)
    return [
        (row.number, SealedKey(row.id, row.core, row.type, row.version, row.policy, row.sealed))
        for row in connection.execute(query)
    ]


def _replace_key(connection: Connection, number: int, old: bytes, new: bytes) -> bool:
    query = update(keys).where(keys.c.number == number, keys.c.sealed == old).values(sealed=new)
    return connection.execute(query).rowcount == 1


def _count_in(table: Table) -> Callable[[Connection], int]:
    return lambda connection: connection.execute(select(func.count()).select_from(table)).scalar_one()


def _page_of_versions(connection: Connection, after: int, limit: int) -> Page:
    query = _behind(select(key_versions, keys.c.number, keys.c.core, keys.c.type), key_versions, after, limit)
    return [
        (_place(row), SealedKey(row.key, row.core, row.type, row.version, row.policy, row.sealed))
        for row in connection.execute(query)
    ]


def _page_of_counters(connection: Connection, after: int, limit: int) -> Page:
    query = _behind(select(key_counters, keys.c.number, keys.c.core), key_counters, after, limit)
    return [
        (_place(row), SealedKey(row.key, row.core, USE_COUNTER, row.version, b"", row.sealed))
        for row in connection.execute(query)
    ]


def _behind(query: Any, table: Table, after: int, limit: int) -> Any:
    """Narrow to what stands behind a place, in the order of the keys and their versions."""
    number, version = divmod(after, _VERSIONS)
    behind = (keys.c.number > number) | ((keys.c.number == number) & (table.c.version > version))
    return (
        query.join(keys, keys.c.id == table.c.key).where(behind).order_by(keys.c.number, table.c.version).limit(limit)
    )


def _place(row: Row[Any]) -> int:
    return int(row.number * _VERSIONS + row.version)


def _replace_in(table: Table) -> Callable[[Connection, int, bytes, bytes], bool]:
    def replace(connection: Connection, place: int, old: bytes, new: bytes) -> bool:
        number, version = divmod(place, _VERSIONS)
        key = select(keys.c.id).where(keys.c.number == number).scalar_subquery()
        same = (table.c.key == key) & (table.c.version == version) & (table.c.sealed == old)
        return connection.execute(update(table).where(same).values(sealed=new)).rowcount == 1

    return replace


def _page_of_audit_keys(connection: Connection, after: int, _: int) -> Page:
    return [
        (row.number, SealedKey(row.id, 0, AUDIT_KEY, row.version, row.policy, row.sealed))
        for row in connection.execute(select(audit_key).where(audit_key.c.number > after))
    ]


def _replace_audit_key(connection: Connection, number: int, old: bytes, new: bytes) -> bool:
    query = update(audit_key).where(audit_key.c.number == number, audit_key.c.sealed == old).values(sealed=new)
    return connection.execute(query).rowcount == 1


SOURCES = (
    Source("key", _count_in(keys), _page_of_keys, _replace_key),
    Source("key version", _count_in(key_versions), _page_of_versions, _replace_in(key_versions)),
    Source("use counter", _count_in(key_counters), _page_of_counters, _replace_in(key_counters)),
    Source("audit key", _count_in(audit_key), _page_of_audit_keys, _replace_audit_key),
)


def count(connection: Connection) -> int:
    """Give how many sealed records there are."""
    return sum(source.count(connection) for source in SOURCES)
