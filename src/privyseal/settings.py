"""What `privyseal serve` was asked for, and what of it can change while it runs."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from privyseal.operations.publish_checkpoints import Destinations

CHANGEABLE = frozenset({"access_log", "checkpoints"})
"""Options that a reload puts into force; the others need a new start."""
_SETTINGS = {"host": "listen", "port": "listen"}  # what people wrote where it is not the field's name


@dataclass(frozen=True, slots=True)
class Options:
    """What `privyseal serve` was asked for.

    Attributes:
        database: a URL, or None for SQLite in the data directory.
        workers: API processes.
        key_file: what unlocks; None for `unlock.key` in the data directory.
        log_format: `json` or `text`; None for text on a terminal.
        access_log: whether workers log every request.
        provision: whether an empty database becomes an appliance by itself.
        checkpoints: where they are sent.
    """

    data: Path
    host: str
    port: int
    database: str | None
    workers: int
    key_file: Path | None = None
    log_format: str | None = None
    access_log: bool = False
    provision: bool = True
    checkpoints: Destinations = field(default_factory=Destinations)


Reread = Callable[[], Options]
"""Reads the configuration file again, below the same command line. Raises ConfigurationError."""


def renewed(now: Options, wanted: Options) -> tuple[Options, list[str]]:
    """Give the options after a reload, and the settings that were changed and need a new start."""
    names = [one.name for one in dataclasses.fields(Options) if getattr(now, one.name) != getattr(wanted, one.name)]
    changing = {name: getattr(wanted, name) for name in names if name in CHANGEABLE}
    fixed = [_SETTINGS.get(name, name.replace("_", "-")) for name in names if name not in CHANGEABLE]
    return dataclasses.replace(now, **changing), list(dict.fromkeys(fixed))
