"""Databases as released versions left them, to be upgraded: see tests/vectors/schemas/README.md."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

FOLDER = Path(__file__).parents[1] / "vectors" / "schemas"
RELEASED = sorted(file.name.partition(".")[0] for file in FOLDER.glob("*.json"))


def load(url: str, schema: str) -> dict[str, Any]:
    """Fill an empty database with what a released version left; gives what else is known of it."""
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    dump = (FOLDER / f"{schema}.{kind}.sql").read_text()
    if kind == "sqlite":
        with sqlite3.connect(str(parsed.database)) as connection:
            connection.executescript(dump)
        connection.close()
    else:
        with psycopg.connect(parsed.set(drivername="postgresql").render_as_string(hide_password=False)) as server:
            server.execute(dump.encode())
    known: dict[str, Any] = json.loads((FOLDER / f"{schema}.json").read_text())[kind]
    return known
