"""What all commands have in common: `--json` and `--quiet`, examples on the help page, and how errors end them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import click

from privyseal.cli import failures, file_names
from privyseal.cli.session import Session
from privyseal.client.errors import ClientError

_UNCUT = 1000
_Function: TypeAlias = Callable[..., Any]


class Command(click.Command):
    """A command that turns what the client raises into a message and an exit status.

    Args:
        examples: command lines for its help page; a test checks that their words exist.
    """

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.examples = examples
        file_names.complete(self.params)
        self.params += [_switch(("--json",), "as_json"), _switch(("--quiet", "-q"), "quiet")]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, at the end of the help page."""
        del ctx
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run it. A reader that went away, as `head` does, is no failure worth a message."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return 1
        except (ClientError, OSError) as error:
            return failures.report(error, ctx.ensure_object(Session).user)


class Group(click.Group):
    """A noun with its verbs."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs, each with its whole first sentence; click would cut it at the end of the line."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(_UNCUT)) for name, verb in verbs if verb])


def command(examples: Sequence[str], **options: Any) -> Callable[[_Function], Command]:
    """A command that stands alone, without a noun."""
    return click.command(cls=Command, examples=examples, **options)


def core_option() -> Callable[[_Function], _Function]:
    """`--core`, as every command has it that works in one."""
    help_text = "Number or name of the core; default: the configuration's, else 1."
    return click.option("--core", type=CORE, metavar="CORE", help=help_text)


def version_option() -> Callable[[_Function], _Function]:
    """`--version`, as every command has it that can address an older version of a key."""
    return click.option("--version", type=int, metavar="N", help="Version of the key; default: the current one.")


key_option = click.option("--key", required=True, metavar="KEY", help="The key's id or label.")
"""`--key`, as every command has it that uses one."""

pin_file_option = click.option(
    "--pin-file", metavar="FILE", help="File with the key's PIN, or - for stdin; else you are asked."
)
"""`--pin-file`, as every command has it that uses a key which is there."""

tag_option = click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="A word or NAME=VALUE; may be given several times."
)
"""`--tag`, as every command has it that makes a key."""


class _Core(click.ParamType[int | str]):
    """A core by number or name."""

    name = "core"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        del param, ctx
        return int(value) if str(value).isdecimal() else str(value)


CORE = _Core()


def _switch(flags: tuple[str, ...], attribute: str) -> click.Option:
    """A switch that also stands before the command; on either place it is heard."""

    def hear(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001  click calls it
        del parameter
        if value:
            setattr(context.ensure_object(Session), attribute, True)

    help_text = "Answer with the JSON document of the REST interface." if attribute == "as_json" else None
    return click.Option(flags, is_flag=True, expose_value=False, callback=hear, help=help_text, hidden=not help_text)
