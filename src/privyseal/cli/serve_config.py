"""The configuration file of `privyseal serve`: the options' own names, in TOML or JSON."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def load(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Take a file's values as defaults of the options that are not given. Raises click.UsageError, naming the file."""
    if value is not None:
        names = {one.opts[0].lstrip("-"): one.name for one in context.command.params if one is not parameter}
        context.default_map = _checked(Path(value), names)
    return value


def _checked(file: Path, names: Mapping[str, str | None]) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise click.UsageError(f"--config {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--config {file}: it holds no text") from error
    except ValueError as error:
        raise click.UsageError(f"--config {file}: {error}") from error
    if not isinstance(values, dict):
        raise click.UsageError(f"--config {file}: a table of options is wanted")
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names or names[name] is None:
            raise click.UsageError(
                f"--config {file}: there is no option '{name}'; there are {', '.join(sorted(names))}"
            )
        if not isinstance(value, str | int | float) or "\0" in str(value):
            raise click.UsageError(f"--config {file}: '{name}' is a text, a number or true or false")
        given[str(names[name])] = str(value) if isinstance(value, float) else value  # so that click judges it
    return given
