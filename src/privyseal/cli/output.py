"""Answers: tables and lines for people, the REST document for programs (`--json`).

What is always true here: answers go to stdout and everything else to stderr; colours and moving things appear on a
terminal only, and colours not where NO_COLOR is set (no-color.org).
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from privyseal.cli.session import Session
from privyseal.cli.words import printable

_LARGE_FILE = 64 * 1024 * 1024


def document(session: Session, answer: Mapping[str, Any]) -> bool:
    """Print the REST document if that is wanted; say whether it was."""
    if session.as_json:
        click.echo(json.dumps(dict(answer), indent=2, ensure_ascii=False))
    return session.as_json


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows in columns that are as wide as they need to be."""
    cells = [[text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    click.echo(style(_line(headings, widths), bold=True))
    for row in cells:
        click.echo(_line(row, widths))


def record(fields: Mapping[str, object]) -> None:
    """Print one thing, a line for each of its properties."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        click.echo(f"{style(f'{name}:'.ljust(width), bold=True)}{text(value)}")


def note(session: Session, message: str) -> None:
    """Say that something was done, to people who want to know."""
    if not session.quiet and not session.as_json:
        click.echo(printable(message))


def text(value: object) -> str:
    """A value in words."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case tuple() | list():
            return ",".join(map(text, value)) or "-"
        case _:
            return printable(str(value))


def style(words: str, *, bold: bool = False, colour: str | None = None) -> str:
    """Words in bold or colour on a terminal, bare anywhere else."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return words if plain else click.style(words, bold=bold or None, fg=colour)


@contextlib.contextmanager
def hashing(session: Session, size: int) -> Iterator[Callable[[int], None] | None]:
    """A bar that moves while a large file is hashed; yields what moves it, or None where none is shown."""
    if size < _LARGE_FILE or not _moving(session):
        yield None
        return
    with click.progressbar(length=size, label="Hashing", file=sys.stderr) as bar:
        yield bar.update


@contextlib.contextmanager
def counting(session: Session, label: str) -> Iterator[Callable[[int], None]]:
    """A bar that moves by one with each call of what it yields, which takes how many calls there will be."""
    if not _moving(session):
        yield lambda _: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr, update_min_steps=1000) as bar:

        def step(total: int) -> None:
            bar.length = total + 1
            bar.update(1)

        yield step


@contextlib.contextmanager
def progress(session: Session, label: str, size: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for work whose size is known roughly; yields what moves it."""
    if not _moving(session):
        yield lambda _: None
        return
    with click.progressbar(length=size or 1, label=label, file=sys.stderr) as bar:
        yield bar.update
        bar.update(bar.length or 0)


@contextlib.contextmanager
def waiting(session: Session, message: str) -> Iterator[None]:
    """Something that turns while the appliance is busy."""
    if not _moving(session):
        yield
        return
    from rich.console import Console  # noqa: PLC0415  it takes 100 ms, and only terminals need it

    with Console(stderr=True).status(message):
        yield


def _moving(session: Session) -> bool:
    return sys.stderr.isatty() and not session.quiet and not session.as_json


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
