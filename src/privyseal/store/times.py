"""Times as the tables hold them: microseconds since the epoch."""

from datetime import UTC, datetime, timedelta
from time import time_ns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)


def now_micros() -> int:
    """Give the time as the tables hold it."""
    return time_ns() // 1000


def to_micros(time: datetime) -> int:
    """Write a time down."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Read a time."""
    return _EPOCH + timedelta(microseconds=micros)


def words(time: datetime) -> str:
    """Say a time to people, to the minute."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M UTC}"
