"""Databases of every released version are brought up to this one with all that is in them; newer ones are refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select, text

from privyseal.errors import ConfigurationError
from privyseal.store import events, keys, users
from privyseal.store.store import Store
from privyseal.store.tables import metadata
from support import schemas

Rows = dict[str, list[dict[str, object]]]


@pytest.fixture
def empty(url: str) -> Iterator[Store]:
    """A store without tables."""
    opened = Store(url)
    yield opened
    opened.close()


def rows(connection: Connection) -> Rows:
    """All that is in the database."""
    there = MetaData()
    there.reflect(connection)
    return {
        table.name: [dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))]
        for table in there.sorted_tables
    }


@pytest.mark.parametrize("schema", schemas.RELEASED)
def test_a_released_database_is_brought_up(empty: Store, url: str, schema: str) -> None:
    """Every row and column of it has the value that it had, the tables are today's, and our queries read it."""
    schemas.load(url, schema)
    with empty.read() as connection:
        before = rows(connection)
    empty.migrate()
    with empty.read() as connection:
        after = rows(connection)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert [user.name for user in users.every(connection)] == ["admin", "alice", "carla"]
        assert len(events.page(connection, 0, 1000)) == len(before["events"])
        release = keys.by_label(connection, 1, "release")
        assert release is not None
        assert release.has_pin
        if connection.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    for table in set(before) - {"alembic_version"}:
        assert len(after[table]) >= len(before[table])
        for old, new in zip(before[table], after[table], strict=False):
            shared = {name: value for name, value in old.items() if name in new}
            assert {name: new[name] for name in shared} == shared
    assert all(before[table] for table in ("keys", "users", "rules", "events", "attempts", "ended_tickets"))


@pytest.mark.parametrize("schema", schemas.RELEASED)
def test_an_upgraded_database_is_like_a_new_one(
    empty: Store, url: str, schema: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The same columns, indices and constraints, whichever way it came about."""
    schemas.load(url, schema)
    empty.migrate()
    fresh_url = f"sqlite:///{tmp_path / 'fresh.db'}"
    if url.startswith("postgresql"):
        fresh_url = request.getfixturevalue("postgresql").new_database()
    fresh = Store(fresh_url)
    fresh.migrate()
    with empty.read() as upgraded, fresh.read() as new:
        assert _shape(upgraded) == _shape(new)
    fresh.close()


def _shape(connection: Connection) -> dict[str, object]:
    found = inspect(connection)
    return {
        table: (
            sorted((one["name"], str(one["type"]), one["nullable"]) for one in found.get_columns(table)),
            sorted((str(one["name"]), one["column_names"], one["unique"]) for one in found.get_indexes(table)),
            sorted((str(one["name"]), one["column_names"]) for one in found.get_unique_constraints(table)),
            sorted((str(one["name"]), one["referred_table"]) for one in found.get_foreign_keys(table)),
        )
        for table in sorted(found.get_table_names())
    }


def test_a_second_time_changes_nothing(empty: Store) -> None:
    """Every start does it."""
    empty.migrate()
    with empty.read() as connection:
        before = rows(connection)
    empty.migrate()
    with empty.read() as connection:
        assert rows(connection) == before


def test_a_newer_database_is_refused(empty: Store) -> None:
    """In words that say what to do, and it stays as it is."""
    empty.migrate()
    with empty.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"schema 9999, which a newer version .* Install that version again"):
        empty.migrate()
    with empty.read() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_migrations_are_one_line() -> None:
    """Each follows another, and there is one last."""
    config = Config()
    config.set_main_option("script_location", "privyseal.store:migrations")
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1
