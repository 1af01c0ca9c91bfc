"""What is said when a command fails: `privyseal: <message>` and, where there is one, a line that says what to type."""

import re

import click

_LINE_END = re.compile(r"\s*\n\s*")
_CAPITALISED = re.compile(r"[A-Z]([a-z]+)?\b")


class Failure(click.ClickException):
    """What this host lacks for a command, with what to type about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def fail(message: str, hint: str | None = None, *, status: int = 1) -> int:
    """Say on stderr what went wrong; return the exit status."""
    click.echo(f"privyseal: {_sentence(message)}", err=True)
    if hint:
        click.echo(f"hint: {printable(hint)}", err=True)
    return status


def warn(message: str) -> None:
    """Say on stderr what is wrong but does not stop the command."""
    click.echo(f"privyseal: warning: {printable(message)}", err=True)


def printable(text: str) -> str:
    """Text for a terminal: what could move the cursor or turn the writing direction is shown as its code."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _sentence(message: str) -> str:
    """Small first letter and no full stop. Names such as PIN and Ed25519 keep their capitals."""
    message = printable(_LINE_END.sub(" ", message.strip())).removesuffix(".")
    return f"{message[0].lower()}{message[1:]}" if _CAPITALISED.match(message) else message
