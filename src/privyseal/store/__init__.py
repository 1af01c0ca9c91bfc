"""Tables, migrations and queries: SQLite by default, PostgreSQL by URL. No room above it writes SQL."""
