"""`privyseal serve`: the appliance itself. All decisions are in `privyseal.supervisor`."""

import os
from pathlib import Path

import click

from privyseal.cli.commands import command as command_of
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import fail

_LAST_PORT = 65535


@command_of(
    examples=[
        "privyseal serve --data /var/lib/privyseal",
        "privyseal serve --data appliance --listen 127.0.0.1:8443",
    ]
)
@click.option("--data", metavar="DIR", help="Where keys, record and certificates are kept.  [env var: PRIVYSEAL_DATA]")
@click.option("--listen", default="0.0.0.0:8443", show_default=True, metavar="HOST:PORT", help="Where to answer.")
@click.option("--database", metavar="URL", help="Of a PostgreSQL database; default: SQLite in the data folder.")
@click.option("--provision/--no-provision", default=True, help="Whether the first start provisions; default: it does.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="How many processes answer.")
@pass_session
def command(
    session: Session,
    /,
    data: str | None,
    listen: str,
    database: str | None,
    workers: int | None,
    *,
    provision: bool,
) -> int:
    """Run an appliance. The first start provisions it, unless it is told to leave that to `privyseal provision`.

    The administrator's password comes from PRIVYSEAL_ADMIN_PASSWORD or PRIVYSEAL_ADMIN_PASSWORD_FILE, else it is
    generated and shown once.
    """
    from privyseal.errors import PrivysealError  # noqa: PLC0415 - as the next line
    from privyseal.supervisor import Options, serve  # noqa: PLC0415 - its libraries are for appliances, not for hosts

    host, port = _address(listen)
    folder = _folder(session, data)
    try:
        return serve(Options(folder, host, port, database, workers or os.cpu_count() or 1, provision))
    except PrivysealError as error:
        return fail(str(error))


def _address(listen: str) -> tuple[str, int]:
    """HOST:PORT in two; an IPv6 address stands in brackets."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise click.UsageError("say with --listen HOST:PORT where to answer")
    return host.strip("[]"), int(port)


def _folder(session: Session, data: str | None) -> Path:
    folder = data or session.data or os.environ.get("PRIVYSEAL_DATA")
    if not folder:
        raise click.UsageError("say with --data DIR where the appliance keeps its data")
    return Path(folder)
