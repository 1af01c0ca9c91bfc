"""The database: one engine, two kinds of transaction. Every failure of the database becomes UnavailableError.

A writing transaction takes its lock at its start (`BEGIN IMMEDIATE`), so that what it reads is still true when it
commits. On SQLite a commit is on the disk when it returns (WAL, `synchronous=FULL`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from privyseal.errors import ConfigurationError, ConflictError, UnavailableError
from privyseal.store import tables

_WRITE = "privyseal_write"
_BUSY_SECONDS = 10
_RECORD_LOCK = 0x50726976  # one writer of events at a time on PostgreSQL; any number that is ours alone


class Store:
    """The database of an appliance."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = _engine(url)
        except Exception as error:
            raise ConfigurationError(f"the database URL cannot be used: {type(error).__name__}") from error

    @classmethod
    def in_directory(cls, data: Path) -> "Store":
        """Use the SQLite file in a data directory."""
        return cls(f"sqlite:///{data / 'privyseal.db'}")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state and changes nothing."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at its end, or changes nothing when it is left by an exception.

        Raises ConflictError when a name is taken or a thing still in use.
        """
        with (
            _translated(),
            self._engine.connect().execution_options(**{_WRITE: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def migrate(self) -> None:
        """Bring the tables up to this version."""
        config = Config()
        config.set_main_option("script_location", "privyseal.store:migrations")
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def generation(connection: Connection) -> int:
    """Read the number that grows with every change to users, rules, cores, limits in force, or existing keys."""
    return int(connection.execute(_GENERATION).scalar_one())


def changed(connection: Connection) -> None:
    """Say that decisions made before this transaction have to be made again."""
    connection.execute(update(tables.appliance).values(generation=tables.appliance.c.generation + 1))


def lock_record(connection: Connection) -> None:
    """Let one transaction at a time number events; SQLite's write lock does that already."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ADVISORY_LOCK)


_GENERATION = select(tables.appliance.c.generation)
_ADVISORY_LOCK = text(f"SELECT pg_advisory_xact_lock({_RECORD_LOCK})")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise ConflictError("it is there already, or still in use") from error
    except DBAPIError as error:
        raise UnavailableError("the database does not answer; try again") from error


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    return create_engine(parsed, pool_pre_ping=True)


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves: see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
