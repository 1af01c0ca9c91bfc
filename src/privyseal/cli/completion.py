"""`privyseal completion`: the script that lets a shell complete our commands."""

import click
from click.shell_completion import get_completion_class

from privyseal.cli import root
from privyseal.cli.commands import command as command_of


@command_of(
    examples=[
        'eval "$(privyseal completion bash)"',
        "privyseal completion fish > ~/.config/fish/completions/privyseal.fish",
    ]
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(completion(root.command, {}, "privyseal", "_PRIVYSEAL_COMPLETE").source())
