"""The PostgreSQL server of the test session is a real one, and its databases are empty and apart."""

import sqlalchemy

from support.postgresql import PostgreSQL


def test_each_database_is_new(postgresql: PostgreSQL) -> None:
    """A table made in one database is not in the next."""
    first, second = (sqlalchemy.create_engine(postgresql.new_database()) for _ in range(2))
    try:
        with first.begin() as connection:
            connection.execute(sqlalchemy.text("create table t (n integer)"))
        assert sqlalchemy.inspect(first).get_table_names() == ["t"]
        assert sqlalchemy.inspect(second).get_table_names() == []
    finally:
        first.dispose()
        second.dispose()
