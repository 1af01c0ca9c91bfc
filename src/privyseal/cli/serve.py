"""`privyseal serve`: the appliance itself. All decisions are in `privyseal.supervisor`."""

import importlib
import os
from pathlib import Path

import click

from privyseal.cli.commands import command as command_of
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import fail


class _Listen(click.ParamType[tuple[str, int]]):
    """HOST:PORT; an IPv6 address stands in brackets."""

    name = "HOST:PORT"

    def convert(
        self, value: tuple[str, int] | str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if not isinstance(value, str):
            return value
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdecimal() or int(port) > _LAST_PORT:
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.removeprefix("[").removesuffix("]"), int(port)


_LAST_PORT = 65535


@command_of(
    examples=[
        "privyseal serve --data /var/lib/privyseal",
        "privyseal serve --data appliance --listen 127.0.0.1:8443",
    ]
)
@click.option("--data", metavar="DIR", help="Where keys, record and certificates are kept.  [env var: PRIVYSEAL_DATA]")
@click.option(
    "--listen", type=_Listen(), default="0.0.0.0:8443", show_default=True, metavar="HOST:PORT", help="Where to answer."
)
@click.option("--database", metavar="URL", help="Of a PostgreSQL database; default: SQLite in the data folder.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes that answer; default: one a core.")
@pass_session
def command(
    session: Session, *, data: str | None, listen: tuple[str, int], database: str | None, workers: int | None
) -> int:
    """Run an appliance. The first start provisions it.

    The administrator's password comes from PRIVYSEAL_ADMIN_PASSWORD or PRIVYSEAL_ADMIN_PASSWORD_FILE, else it is
    generated and shown once.
    """
    folder = data or session.data or os.environ.get("PRIVYSEAL_DATA")
    if not folder:
        raise click.UsageError("say with --data DIR where the appliance keeps its data")
    supervisor = importlib.import_module("privyseal.supervisor")  # hosts have no use for what it brings along
    errors = importlib.import_module("privyseal.errors")
    host, port = listen
    count = workers or os.cpu_count() or 1
    try:
        options = supervisor.Options(data=Path(folder), host=host, port=port, database=database, workers=count)
        status: int = supervisor.serve(options)
    except errors.PrivysealError as error:
        return fail(str(error))
    return status
