"""`privyseal serve`: the appliance itself. All decisions are in `privyseal.supervisor`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from privyseal.cli.commands import Command
from privyseal.cli.serve_config import load
from privyseal.cli.session import Session, pass_session
from privyseal.cli.words import fail

if TYPE_CHECKING:
    from privyseal.settings import Options

_LAST_PORT = 65535
FORMATS = ("json", "text")
_WORDS = "privyseal.words"


class _Serve(Command):
    """Remembers its words, so that a reload can read them again over a changed configuration file."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make the context that click makes."""
        words = tuple(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[_WORDS] = words
        return context


@click.command(
    cls=_Serve,
    examples=[
        "privyseal serve --data /var/lib/privyseal",
        "privyseal serve --data appliance --listen 127.0.0.1:8443",
        "privyseal serve --data /var/lib/privyseal --checkpoint-file /mnt/elsewhere/checkpoints",
        "privyseal serve --data /var/lib/privyseal --key-file /run/credentials/privyseal.service/unlock.key",
    ],
)
@click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=load,
    help="TOML or JSON with these options by name; what stands on the command line wins.",
)
@click.option("--data", metavar="DIR", help="Where keys, record and certificates are kept.  [env var: PRIVYSEAL_DATA]")
@click.option("--listen", default="0.0.0.0:8443", show_default=True, metavar="HOST:PORT", help="Where to answer.")
@click.option("--database", metavar="URL", help="Of a PostgreSQL database; default: SQLite in the data folder.")
@click.option("--database-file", metavar="FILE", help="A file that holds the URL, because it has a password in it.")
@click.option("--provision/--no-provision", default=True, help="Whether the first start provisions; default: it does.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="How many processes answer.")
@click.option("--checkpoint-file", metavar="FILE", help="Append signed checkpoints of the record to this file.")
@click.option("--checkpoint-syslog", is_flag=True, help="Write them to the system's log.")
@click.option("--checkpoint-url", metavar="URL", help="POST them there; https only, and no redirect is followed.")
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=1),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How often.",
)
@click.option("--key-file", metavar="FILE", help="What unlocks the appliance; default: unlock.key in the data folder.")
@click.option("--log-format", type=click.Choice(FORMATS), help="Default: text on a terminal, else json.")
@click.option("--access-log", is_flag=True, help="Log every request, without its query.")
@pass_session
def command(session: Session, /, **given: Any) -> int:
    """Run an appliance. The first start provisions it, unless it is told to leave that to `privyseal provision`.

    The administrator's password comes from PRIVYSEAL_ADMIN_PASSWORD or PRIVYSEAL_ADMIN_PASSWORD_FILE, else it is
    generated and shown once. SIGHUP reads --config again, and the TLS certificate, while requests go on.
    """
    from privyseal.errors import PrivysealError  # noqa: PLC0415 - as the next line
    from privyseal.supervisor import serve  # noqa: PLC0415 - its libraries are for appliances, not for hosts

    context = click.get_current_context()
    try:
        return serve(_options(session, **given), lambda: _again(context))
    except PrivysealError as error:
        return fail(str(error))


def _again(context: click.Context) -> "Options":
    """Read command line and configuration file once more. Raises ConfigurationError."""
    from privyseal.errors import ConfigurationError  # noqa: PLC0415 - as in `command`

    try:
        again = context.command.make_context("serve", list(context.meta[_WORDS]), context.parent)
        return _options(context.find_object(Session) or Session(), **again.params)
    except click.UsageError as error:
        raise ConfigurationError(error.format_message()) from error


def _options(
    session: Session,
    *,
    data: str | None,
    listen: str,
    database: str | None,
    database_file: str | None,
    workers: int | None,
    checkpoint_file: str | None,
    checkpoint_url: str | None,
    key_file: str | None,
    log_format: str | None,
    checkpoint_syslog: bool,
    checkpoint_every: float,
    access_log: bool,
    provision: bool,
) -> "Options":
    """From words to what is meant. Raises click.UsageError, ConfigurationError."""
    from privyseal.operations.publish_checkpoints import Destinations  # noqa: PLC0415 - as in `command`
    from privyseal.settings import Options  # noqa: PLC0415 - as in `command`

    host, port = _address(listen)
    folder = _folder(session, data)
    file = Path(checkpoint_file).absolute() if checkpoint_file else None
    return Options(
        data=folder,
        host=host,
        port=port,
        database=_database(database, database_file),
        workers=workers or os.cpu_count() or 1,
        key_file=_key_file(key_file, folder),
        log_format=log_format,
        access_log=access_log,
        provision=provision,
        checkpoints=Destinations(file, checkpoint_syslog, checkpoint_url, checkpoint_every),
    )


def _address(listen: str) -> tuple[str, int]:
    """HOST:PORT in two; an IPv6 address stands in brackets."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise click.UsageError("say with --listen HOST:PORT where to answer")
    return host.strip("[]"), int(port)


def _database(url: str | None, file: str | None) -> str | None:
    if file is None:
        return url
    if url is not None:
        raise click.UsageError("--database and --database-file exclude each other")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise click.UsageError(f"--database-file {file}: {error.strerror}") from error
    except ValueError as error:
        raise click.UsageError(f"--database-file {file}: it holds no text") from error


def _key_file(given: str | None, data: Path) -> Path | None:
    """Check that the key lies elsewhere: beside the database it is in every copy of it."""
    if given is None:
        return None
    file = Path(given)
    if not file.is_absolute() or file.resolve().is_relative_to(data.resolve()):
        raise click.UsageError("--key-file takes an absolute path outside the data folder")
    return file


def _folder(session: Session, data: str | None) -> Path:
    folder = data or session.data or os.environ.get("PRIVYSEAL_DATA")
    if not folder:
        raise click.UsageError("say with --data DIR where the appliance keeps its data")
    return Path(folder)
