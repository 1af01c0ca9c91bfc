"""`privyseal` itself: its options, its commands, and how it ends.

What is always true here: a command's module is imported when that command is typed and not before, so that
`privyseal --help` is quick; whatever goes wrong is said in one line on stderr that begins with `privyseal:`.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import click

from privyseal.cli import file_names
from privyseal.cli.session import Session
from privyseal.cli.words import Failure, fail

COMMANDS = {
    "access": "Say why a user may or may not do something.",
    "approval": "See, approve and refuse what waits for approval.",
    "audit": "Read the record, and check that nobody has rewritten it.",
    "backup": "Make backups, and say who can open them.",
    "bench": "Measure how fast this appliance signs for this host.",
    "completion": "Print the completion script of a shell.",
    "connect": "Set this host up for an appliance, or take that back.",
    "core": "Make, list and change cores.",
    "credential": "Make, list and revoke tokens that stand for users.",
    "decrypt": "Decrypt a small file with a key of the appliance.",
    "doctor": "Say what is wrong between this host and its keys, and how to mend it.",
    "domain-key": "Rotate the domain key.",
    "encrypt": "Encrypt a small file with a key of the appliance.",
    "group": "Put users into groups, to give them rules together.",
    "key": "Make, list, change and destroy keys.",
    "lock": "Lock the appliance.",
    "metrics": "Print what the appliance measures of itself.",
    "object": "Keep certificates, public keys and data for every host.",
    "pkcs11": "Find the PKCS#11 module.",
    "provision": "Make an appliance out of an empty one.",
    "quorum": "Say what needs the approval of several people.",
    "restore": "Make an appliance out of a backup.",
    "rule": "Say who may do what with which keys.",
    "serve": "Run an appliance.",
    "sign": "Sign a file with a key of the appliance.",
    "state": "Say whether the appliance is operational.",
    "tls": "Show and replace the certificate that the appliance serves.",
    "unlock": "Unlock the appliance.",
    "unlock-slot": "List, add, remove and rotate what unlocks the appliance.",
    "user": "Make, list and change users.",
    "verify": "Check a file's signature.",
}
"""Each command with its line in `privyseal --help`; the command NOUN is in the module `privyseal.cli.NOUN`."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, without an import."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"privyseal.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for the help page, without an import."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 failed, 2 usage, 3 signature does not verify, 4 appliance locked, 5 refused.",
)
@click.option("--url", metavar="URL", help="Where the appliance is, https://HOST:PORT.  [env var: PRIVYSEAL_URL]")
@click.option("--user", metavar="NAME", help="Who is asking.  [env var: PRIVYSEAL_USER]")
@click.option("--password-file", metavar="FILE", help="That user's password.  [env var: PRIVYSEAL_PASSWORD_FILE]")
@click.option("--ca-file", metavar="FILE", help="Certificates to trust, PEM.  [env var: PRIVYSEAL_CA_FILE]")
@click.option("--config", metavar="FILE", help="The configuration file.  [env var: PRIVYSEAL_CONFIG]")
@click.option("--data", metavar="DIR", help="Data folder of an appliance on this host.  [env var: PRIVYSEAL_DATA]")
@click.option("--json", "as_json", is_flag=True, help="Answer with the JSON document of the REST interface.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but answers and errors.")
@click.version_option(package_name="privyseal", message="privyseal %(version)s")
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:
    """Sign with keys that live on a Privyseal appliance, and manage them."""
    context.obj = Session(**options)


file_names.complete(command.params)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: None means those of the process.

    Returns:
        The exit status.
    """
    try:
        status = command.main(arguments, prog_name="privyseal", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "privyseal"
        return fail(error.format_message(), f"{path} --help", status=error.exit_code)
    except Failure as error:
        return fail(error.message, error.hint)
    except click.ClickException as error:
        return fail(error.format_message(), status=error.exit_code)
    except click.Abort:
        return fail("stopped")
    return status if isinstance(status, int) else 0
