"""Lets a shell complete the names of files where a command takes one."""

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

_NAMES = ("FILE", "DIR")


class _FileName(click.types.StringParamType):
    """Text for which a shell offers names of files; it is judged by who opens the file."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell, which knows its files."""
        del ctx, param
        return [CompletionItem(incomplete, type="file")]


def complete(parameters: Iterable[click.Parameter]) -> None:
    """Offer names of files for what is called so on the help page."""
    for each in parameters:
        if each.type is click.STRING and (each.metavar or each.name or "").upper() in _NAMES:
            each.type = _FileName()
