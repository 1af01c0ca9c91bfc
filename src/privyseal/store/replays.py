"""Queries for answers that are kept so that a repeated request gets the same one (Idempotency-Key).

An answer is written in the transaction that it tells of, while no other transaction numbers events. So of two requests
with one key, whichever comes second finds the first one's answer, in whatever worker or node.
"""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection

from privyseal.errors import AnsweredBeforeError, IdempotencyKeyReusedError, PrivysealError
from privyseal.store.store import Cursor, Statement
from privyseal.store.times import now_micros

KEPT_MICROS = 24 * 3600 * 1_000_000
"""How long an answer is kept at least."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """An answer under its name.

    Attributes:
        id: hash of user and idempotency key, hexadecimal.
        content: hash of method, path and body under the idempotency key, hexadecimal.
        answer: the body, JSON or empty.
        expires: microseconds since the epoch.
    """

    id: str
    content: str
    status: int
    answer: str
    expires: int


def refusal(kept: Kept, content: str) -> PrivysealError:
    """Give what a request meets whose key has an answer: that answer, or a refusal if it asked for something else."""
    if kept.content != content:
        return IdempotencyKeyReusedError(
            "this Idempotency-Key came with another request before; use a new one for a new request"
        )
    return AnsweredBeforeError(kept.status, kept.answer.encode())


def find(cursor: Cursor, ids: Sequence[str]) -> dict[str, Kept]:
    """Give the answers that are there, by id."""
    rows = cursor.run(_FIND, msgspec.json.encode(ids).decode())
    return {row[0]: Kept(*row) for row in rows.fetchall()}


def write(cursor: Cursor, new: Sequence[Kept]) -> None:
    """Keep answers."""
    cursor.run(_INSERT, msgspec.json.encode(new).decode())


def clean(cursor: Cursor, limit: int) -> None:
    """Forget up to `limit` answers whose time is over."""
    cursor.run(_CLEAN, now_micros(), limit)


def get(connection: Connection, id_: str) -> Kept | None:
    """Give one answer."""
    cursor = _cursor(connection)
    try:
        return find(cursor, [id_]).get(id_)
    finally:
        cursor.close()


def claim(connection: Connection, id_: str) -> Kept | None:
    """Give one answer, and if there is none let nobody else write it until this transaction ends."""
    cursor = _cursor(connection)
    try:
        cursor.head()
        return find(cursor, [id_]).get(id_)
    finally:
        cursor.close()


def add(connection: Connection, new: Iterable[Kept]) -> None:
    """Keep answers in a transaction that does more."""
    cursor = _cursor(connection)
    try:
        write(cursor, list(new))
    finally:
        cursor.close()


def _cursor(connection: Connection) -> Cursor:
    return Cursor(connection.connection.cursor(), connection.dialect.name)


_COLUMNS = "id, content, status, answer, expires"
_FIND = Statement(
    f"SELECT {_COLUMNS} FROM replays WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608 - ours
    f"SELECT {_COLUMNS} FROM replays WHERE id IN (SELECT json_array_elements_text(%s::json))",  # noqa: S608 - ours
)
_INSERT = Statement(
    f"INSERT INTO replays ({_COLUMNS}) "  # noqa: S608 - ours
    "SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)",
    f"INSERT INTO replays ({_COLUMNS}) SELECT value->>0, value->>1, (value->>2)::integer, "  # noqa: S608 - ours
    "value->>3, (value->>4)::bigint FROM json_array_elements(%s::json) AS given(value)",
)
_CLEAN = Statement(
    "DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE expires < ? ORDER BY expires LIMIT ?)",
    "DELETE FROM replays WHERE id IN (SELECT id FROM replays WHERE expires < %s ORDER BY expires LIMIT %s)",
)
