"""Every sealed record there is: the one list by which a rotation of the domain key finds them all.

What seals something else with the domain key has to be added here, or the next rotation would make it unopenable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update

from privyseal.store.tables import keys
from privyseal.wire.frames import SealedKey

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


def _count_keys(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(keys)).scalar_one()


def _page_of_keys(connection: Connection, after: int, limit: int) -> Page:
    query = select(keys).where(keys.c.number > after).order_by(keys.c.number).limit(limit)
    return [
        (row.number, SealedKey(row.id, row.core, row.type, row.version, row.policy, row.sealed))
        for row in connection.execute(query)
    ]


def _replace_key(connection: Connection, number: int, old: bytes, new: bytes) -> bool:
    query = update(keys).where(keys.c.number == number, keys.c.sealed == old).values(sealed=new)
    return connection.execute(query).rowcount == 1


SOURCES = (Source("key", _count_keys, _page_of_keys, _replace_key),)


def count(connection: Connection) -> int:
    """Give how many sealed records there are."""
    return sum(source.count(connection) for source in SOURCES)
