"""Queries for attempts at PINs and passwords. An attempt is reserved before it is tried, so none is ever forgotten."""

from collections.abc import Sequence

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from privyseal.access.attempts import PIN_LIMITS, UNKNOWN, UNKNOWN_MAX, Attempts
from privyseal.store.store import changed
from privyseal.store.tables import attempts
from privyseal.store.times import now, to_micros

GUARDED_FROM = PIN_LIMITS.delay_from
"""From this many failures on a PIN's subject is part of what decisions rest on: no attempt may skip the counting.

Passwords are no part of it. Else whoever reaches the port could have every worker read its snapshot anew at will.
"""
_PINS = "pin:"
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))")
_IS_UNKNOWN = attempts.c.subject.startswith(UNKNOWN)
_COUNT_UNKNOWN = select(func.count()).select_from(attempts).where(_IS_UNKNOWN)


def hold(connection: Connection, subjects: Sequence[str]) -> None:
    """Let nobody else change these until this transaction ends; call it before any other change.

    SQLite has one writer at a time; on PostgreSQL two workers would count one attempt where there were two. The order
    is one for everybody, so that no two wait for each other.
    """
    if connection.dialect.name == "postgresql":
        for subject in sorted(subjects):
            connection.execute(_ALONE, {"subject": subject})


def get(connection: Connection, subject: str) -> Attempts:
    """Give what is known of a subject."""
    row = connection.execute(select(attempts).where(attempts.c.subject == subject)).one_or_none()
    return Attempts(subject) if row is None else _attempts(row)


def reserve(connection: Connection, known: Attempts) -> None:
    """Note that an attempt is being tried."""
    _put(connection, known.subject, known.failures, known.pending + 1, known.last)


def succeed(connection: Connection, subject: str) -> None:
    """Note that the attempt was right: the failures before it are forgotten."""
    known = get(connection, subject)
    _put(connection, subject, 0, max(known.pending - 1, 0), known.last)
    if known.failures >= GUARDED_FROM and subject.startswith(_PINS):
        changed(connection)


def release(connection: Connection, subject: str) -> None:
    """Give a reservation back that came to neither."""
    known = get(connection, subject)
    _put(connection, subject, known.failures, max(known.pending - 1, 0), known.last)


def fail(connection: Connection, subject: str) -> Attempts:
    """Note that the attempt was wrong."""
    known = get(connection, subject)
    _put(connection, subject, known.failures + 1, max(known.pending - 1, 0), to_micros(now()))
    if known.failures + 1 == GUARDED_FROM and subject.startswith(_PINS):
        changed(connection)
    return get(connection, subject)


def forgive(connection: Connection, prefix: str) -> None:
    """Forget the failures of every subject that begins like this: an administrator unlocks."""
    connection.execute(delete(attempts).where(attempts.c.subject.startswith(prefix, autoescape=True)))
    changed(connection)


def forgive_one(connection: Connection, subject: str) -> None:
    """Forget the failures of one subject."""
    connection.execute(delete(attempts).where(attempts.c.subject == subject))
    changed(connection)


def settle_crashed(connection: Connection) -> None:
    """Count every attempt that a crash interrupted as wrong. Called at start, before anybody can try."""
    values = {"failures": attempts.c.failures + attempts.c.pending, "pending": 0}
    connection.execute(update(attempts).where(attempts.c.pending > 0).values(**values))


def begin_now(connection: Connection, subjects: Sequence[str]) -> None:
    """Set the time of last failures to now where it lies in the future, because the clock was set back."""
    present = to_micros(now())
    future = attempts.c.subject.in_(subjects) & (attempts.c.last > present)
    connection.execute(update(attempts).where(future).values(last=present))


def above(connection: Connection, failures: int) -> Sequence[Attempts]:
    """Give the subjects of PINs with at least this many failures."""
    query = select(attempts).where(attempts.c.failures >= failures, attempts.c.subject.startswith(_PINS))
    return [_attempts(row) for row in connection.execute(query)]


def too_many_unknown(connection: Connection) -> int:
    """Say how many subjects of names that no user has there are beyond what is kept; 0 or less for none."""
    return int(connection.execute(_COUNT_UNKNOWN).scalar_one()) - UNKNOWN_MAX


def forget_unknown(connection: Connection, count: int) -> None:
    """Forget some of them: those with the fewest failures first, so that a flood of names washes away itself only."""
    order = (attempts.c.failures, attempts.c.last)
    least = select(attempts.c.subject).where(_IS_UNKNOWN, attempts.c.pending == 0).order_by(*order).limit(count)
    connection.execute(delete(attempts).where(attempts.c.subject.in_(least)))


def _put(connection: Connection, subject: str, failures: int, pending: int, last: int) -> None:
    connection.execute(delete(attempts).where(attempts.c.subject == subject))
    connection.execute(insert(attempts).values(subject=subject, failures=failures, pending=pending, last=last))


def _attempts(row: Row[tuple[object, ...]]) -> Attempts:
    return Attempts(row.subject, row.failures, row.pending, row.last)
