"""`privyseal serve`: the appliance itself. All decisions are in `privyseal.app`."""

import importlib
import os
from pathlib import Path
from typing import Any

import click

from privyseal.cli.commands import command as command_of
from privyseal.cli.session import Session, pass_session


@command_of(
    examples=[
        "privyseal serve --data /var/lib/privyseal",
        "privyseal serve --data appliance --listen 127.0.0.1:8443",
    ]
)
@click.option("--data", metavar="DIR", help="Where keys, record and certificates are kept.  [env var: PRIVYSEAL_DATA]")
@click.option("--listen", default="0.0.0.0:8443", show_default=True, metavar="HOST:PORT", help="Where to answer.")
@click.option("--database", metavar="URL", help="Of a PostgreSQL database; default: SQLite in the data folder.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="How many processes answer.")
@click.option("--no-provision", is_flag=True, help="Leave a new appliance unprovisioned.")
@pass_session
def command(session: Session, /, data: str | None, **options: Any) -> int:
    """Run an appliance. The first start provisions it.

    The administrator's password comes from PRIVYSEAL_ADMIN_PASSWORD or PRIVYSEAL_ADMIN_PASSWORD_FILE, else it is
    generated and shown once.
    """
    provision = not options.pop("no_provision")
    serve = importlib.import_module("privyseal.app").serve  # its frameworks are for appliances, not for hosts
    status: int = serve(data=_folder(session, data), provision=provision, **options)
    return status


def _folder(session: Session, data: str | None) -> Path:
    folder = data or session.data or os.environ.get("PRIVYSEAL_DATA")
    if not folder:
        raise click.UsageError("say with --data DIR where the appliance keeps its data")
    return Path(folder)
