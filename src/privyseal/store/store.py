"""The database: one engine, two kinds of transaction. Every failure of the database becomes UnavailableError.

A writing transaction takes its lock at its start (`BEGIN IMMEDIATE`), so that what it reads is still true when it
commits. On SQLite a commit is on the disk when it returns (WAL, `synchronous=FULL`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from privyseal.audit.tree import Edge, Kept
from privyseal.errors import ConfigurationError, ConflictError, UnavailableError
from privyseal.store import tables
from privyseal.store.turns import FileTurns, NoTurns, Turns

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
        self._turns = _turns(self._engine)

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
    def frozen(self) -> Iterator[Connection]:
        """Open a transaction that sees one state until its end, however many statements it has."""
        level = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with _translated(), self._engine.connect().execution_options(**level) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at its end, or changes nothing when it is left by an exception.

        Raises ConflictError when a name is taken or a thing still in use.
        """
        with (
            self._turns.mine(),
            _translated(),
            self._engine.connect().execution_options(**{_WRITE: True}) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def write_fast(self) -> Iterator["Cursor"]:
        """Open a writing transaction on the driver itself, for the few statements that every signature waits for."""
        with self._turns.mine(), self._write_fast() as cursor:
            yield cursor

    @contextmanager
    def _write_fast(self) -> Iterator["Cursor"]:
        pooled = None
        try:
            pooled = self._engine.raw_connection()
            cursor = Cursor(pooled.cursor(), self._engine.dialect.name)
            cursor.begin()
            yield cursor
            pooled.commit()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise UnavailableError("the database does not answer; try again") from error
        finally:
            if pooled is not None:
                pooled.close()  # back to the pool, which rolls back what was not committed

    def migrate(self) -> None:
        """Bring the tables up to this version.

        Raises ConfigurationError when a newer version has changed them: what it wrote would not be understood.
        """
        config = Config()
        config.set_main_option("script_location", "privyseal.store:migrations")
        with self.write() as connection:
            config.attributes["connection"] = connection
            _refuse_newer(connection, config)
            command.upgrade(config, "head")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def head_revision() -> str:
    """Give the revision of the tables that this version makes."""
    config = Config()
    config.set_main_option("script_location", "privyseal.store:migrations")
    return str(ScriptDirectory.from_config(config).get_current_head())


def _refuse_newer(connection: Connection, config: Config) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise ConfigurationError(
            f"the database has schema {', '.join(sorted(unknown))}, which a newer version of Privyseal made; this one "
            f"knows up to {max(known)}. Install that version again, or restore the copy from before the upgrade"
        )


def generation(connection: Connection) -> int:
    """Read the number that grows with every change to users, rules, cores, limits in force, or existing keys."""
    return int(connection.execute(_GENERATION).scalar_one())


def changed(connection: Connection) -> None:
    """Say that decisions made before this transaction have to be made again."""
    connection.execute(update(tables.appliance).values(generation=tables.appliance.c.generation + 1))


@dataclass(frozen=True, slots=True)
class Head:
    """What a writer of events has to know: the present generation, and the right edge of the tree over the record."""

    generation: int
    edge: Edge

    @property
    def last_event(self) -> int:
        """The number of the last event."""
        return self.edge.size


class Statement(NamedTuple):
    """One statement as each database wants it."""

    sqlite: str
    postgresql: str


class Cursor:
    """A driver's cursor with the few statements that every signature waits for, for either database."""

    def __init__(self, cursor: Any, dialect: str) -> None:
        self._cursor = cursor
        self._postgresql = dialect == "postgresql"

    def begin(self) -> None:
        """Begin a writing transaction; PostgreSQL's driver begins by itself."""
        if not self._postgresql:
            self._cursor.execute("BEGIN IMMEDIATE")

    def head(self) -> Head:
        """Read the head. From here on no other transaction numbers events until this one ends."""
        if self._postgresql:  # SQLite's write lock does that already
            self._cursor.execute(_ADVISORY_LOCK)
        present, size, roots = self._cursor.execute(_HEAD).fetchone() or (0, 0, b"")
        return Head(int(present), Edge.read(int(size), bytes(roots)))

    def extend_tree(self, edge: Edge, kept: Sequence[Kept]) -> None:
        """Write down where the tree over the record ends now, and the nodes that were completed on the way."""
        mark = "%s" if self._postgresql else "?"
        self._cursor.execute(f"UPDATE tree_edge SET size = {mark}, roots = {mark}", (edge.size, edge.write()))  # noqa: S608 - ours
        if kept:
            rows = [(node.level, node.place, node.hash) for node in kept]
            statement = f"INSERT INTO tree_nodes (level, place, hash) VALUES ({mark}, {mark}, {mark})"  # noqa: S608 - as above
            self._cursor.executemany(statement, rows)

    def insert(self, table: str, columns: Mapping[str, str], first: int, rows: bytes) -> None:
        """Write a JSON array of arrays into a table whose first column is `number`, counted from `first`."""
        statement = _insert_statement(table, tuple(columns.items()), postgresql=self._postgresql)
        self._cursor.execute(statement, (first, rows.decode()))

    def run(self, statement: "Statement", *values: object) -> Any:
        """Run a statement; gives the driver's cursor, for what it found."""
        return self._cursor.execute(statement.postgresql if self._postgresql else statement.sqlite, values)

    def close(self) -> None:
        """Give the cursor back."""
        self._cursor.close()


@cache
def _insert_statement(table: str, columns: tuple[tuple[str, str], ...], *, postgresql: bool) -> str:
    names = ", ".join(f'"{name}"' for name, _ in columns)
    if postgresql:
        values = ", ".join(f"(value->>{index})::{kind}" for index, (_, kind) in enumerate(columns))
        source = "json_array_elements(%s::json) WITH ORDINALITY AS given(value, place)"
        number = "%s::bigint + place - 1"
        return f'INSERT INTO {table} ("number", {names}) SELECT {number}, {values} FROM {source}'  # noqa: S608 - ours
    values = ", ".join(f"value->>{index}" for index in range(len(columns)))
    return f'INSERT INTO {table} ("number", {names}) SELECT ? + key, {values} FROM json_each(?)'  # noqa: S608 - ours


_HEAD = "SELECT coalesce((SELECT generation FROM appliance), 0), size, roots FROM tree_edge"
_GENERATION = select(tables.appliance.c.generation)
_ADVISORY_LOCK = f"SELECT pg_advisory_xact_lock({_RECORD_LOCK})"


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


def _turns(engine: Engine) -> Turns:
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or database == ":memory:":
        return NoTurns()
    return FileTurns(Path(database + "-turn"))


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we begin transactions ourselves: see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
