"""Passwords and PINs on their way in: from a file, from stdin, or typed at a terminal; never from an argument.

What is always true here: nothing is echoed, and every place that asks for a new PIN says that a lost PIN is a lost key.
"""

import sys
from pathlib import Path

import click

from privyseal.client.configuration import one_line, read_secret
from privyseal.client.errors import ConfigurationError, PINRequiredError
from privyseal.client.records import Key

STDIN = "-"
LOST_PIN = "A lost PIN is a lost key: nobody, the administrator included, can use the key without it."
_MAX_SECRET = 64 * 1024


def from_file(name: str) -> str:
    """The one line in a file, or on stdin when the name is `-`.

    Raises:
        ConfigurationError: it cannot be read or does not hold one line.
    """
    if name != STDIN:
        return read_secret(Path(name))
    try:
        return one_line(sys.stdin.buffer.read(_MAX_SECRET + 1))
    except ValueError as error:
        raise ConfigurationError(f"what stdin holds {error}") from None


def ask(prompt: str, *, twice: bool = False) -> str | None:
    """What is typed at the terminal, or None where stdin is none."""
    if not sys.stdin.isatty():
        return None
    again = f"{prompt}, again" if twice else False
    answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=again, err=True)
    return answer


def new_password(file: str | None, user: str) -> str:
    """The password for an account, typed twice where no file is given.

    Raises:
        UsageError: there is neither a file nor a terminal.
    """
    if file:
        return from_file(file)
    password = ask(f"New password of {user}", twice=True)
    if password is None:
        raise click.UsageError("there is no terminal to ask at: give --password-file FILE, or - for stdin")
    return password


def passphrase(file: str | None, prompt: str, *, new: bool) -> str:
    """A passphrase; a new one is typed twice where no file is given.

    Raises:
        UsageError: there is neither a file nor a terminal.
    """
    typed = from_file(file) if file else ask(prompt, twice=new)
    if typed is None:
        raise click.UsageError("there is no terminal to ask at: give --passphrase-file FILE, or - for stdin")
    return typed


def new_pin(file: str | None, label: str, *, no_pin: bool) -> str | None:
    """The PIN for a new key, typed twice where no file is given; None for a key without.

    Raises:
        UsageError: there is neither a file nor a terminal, or both a PIN and none are asked for.
    """
    if no_pin and file:
        raise click.UsageError("--no-pin and --pin-file exclude each other")
    if no_pin or file:
        return from_file(file) if file else None
    if sys.stdin.isatty():
        click.echo(LOST_PIN, err=True)
    pin = ask(f"New PIN of key {label!r}", twice=True)
    if pin is None:
        raise click.UsageError("there is no terminal to ask at: give --pin-file FILE, - for stdin, or --no-pin")
    return pin


def pin_of(key: Key, file: str | None) -> str | None:
    """The PIN of an existing key, asked for where no file is given; None for a key without.

    Raises:
        PINRequiredError: the key has one, and there is neither a file nor a terminal.
    """
    if not key.pin:
        return None
    if file:
        return from_file(file)
    pin = ask(f"PIN of key {key.label!r} (a lost PIN is a lost key)")
    if pin is None:
        raise PINRequiredError(f"key {key.label!r} has a PIN, and there is no terminal to ask at")
    return pin
