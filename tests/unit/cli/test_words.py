"""The words of the command line: help, examples, documentation and completion agree with the commands."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.cli import root, words
from privyseal.cli.commands import Command
from support.processes import BIN, base_environment

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
HEAVY = ("fastapi", "httpx2", "msgspec", "pydantic", "rich", "sqlalchemy", "uvicorn", "privyseal.client")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command with the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))


LEAVES = dict(leaves(root.command))
IDS = [" ".join(path) for path in LEAVES]


def parsed(line: str) -> tuple[str, ...]:
    """Let click parse a command line without running it; the words of the command."""
    arguments = shlex.split(re.split("[<>]|&&", line)[0])[1:]
    with root.command.make_context("privyseal", arguments) as context:
        command, path = root.command, list[str]()
        rest = [*context._protected_args, *context.args]
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, rest)
            assert found is not None
            assert name is not None
            command = found
            path.append(name)
        with command.make_context(path[-1], rest, parent=context):
            return tuple(path)


@pytest.mark.parametrize("path", LEAVES, ids=IDS)
def test_every_command_has_examples_that_parse(path: tuple[str, ...]) -> None:
    """Their options exist, and at least one is of this very command."""
    command = LEAVES[path]
    assert isinstance(command, Command)
    lines = [line.removeprefix('eval "$(').removesuffix(')"') for line in command.examples]
    ours = [parsed(line) for line in lines if line.startswith("privyseal ")]
    assert path in ours


@pytest.mark.parametrize("path", LEAVES, ids=IDS)
def test_every_command_and_option_has_help(path: tuple[str, ...]) -> None:
    command = LEAVES[path]
    assert command.help
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    assert [each.name for each in options if not each.help] == []


def test_reference_lists_exactly_the_commands() -> None:
    """docs/reference/cli.md has each command with its arguments and the first line of its help, and no other."""
    documented = re.findall(r"^\| `(privyseal [^`]+)` \| (.+) \|$", REFERENCE.read_text(), re.MULTILINE)
    assert documented == [(_usage(path), (LEAVES[path].help or "").splitlines()[0]) for path in LEAVES]


def _usage(path: tuple[str, ...]) -> str:
    command = LEAVES[path]
    pieces = [each for each in command.collect_usage_pieces(click.Context(command)) if each != "[OPTIONS]"]
    return " ".join(["privyseal", *path, *pieces]).replace("{bash|zsh|fish}", r"bash\|zsh\|fish")


def test_help_imports_nothing_heavy() -> None:
    """`privyseal --help` starts fast."""
    code = "import sys; from privyseal.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) & set(HEAVY) == set()
    assert "Sign a file" in done.stdout


@pytest.mark.parametrize("name", sorted({path[0] for path in LEAVES} - {"serve"}))
def test_no_command_of_a_host_imports_the_server(name: str) -> None:
    code = f"import sys, privyseal.cli.{name.replace('-', '_')}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"fastapi", "sqlalchemy", "uvicorn", "rich"} == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """The script is printed, and what it calls completes a word."""
    script = subprocess.run([BIN / "privyseal", "completion", shell], capture_output=True, text=True, check=True).stdout
    assert "_PRIVYSEAL_COMPLETE" in script
    asked = {
        "_PRIVYSEAL_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "privyseal acc",
        "COMP_CWORD": "acc" if shell == "fish" else "1",
    }
    done = subprocess.run(
        [BIN / "privyseal"], env=base_environment() | asked, capture_output=True, text=True, check=False
    )
    assert "access" in done.stdout


def test_module_is_where_the_environment_says(tmp_path: Path) -> None:
    module = tmp_path / "module.so"
    environment = base_environment() | {"PRIVYSEAL_PKCS11_MODULE": str(module)}
    ask = [BIN / "privyseal", "pkcs11", "path"]
    missing = subprocess.run(ask, env=environment, capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith(f"privyseal: there is no PKCS#11 module at {module}\nhint: ")
    module.touch()
    assert subprocess.run(ask, env=environment, capture_output=True, text=True, check=True).stdout == f"{module}\n"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("No such command 'x'.", "no such command 'x'"),
        ("PIN is wrong", "PIN is wrong"),
        ("Ed25519 keys sign", "Ed25519 keys sign"),
        ("A key\nand more", "a key and more"),
        ("", ""),
    ],
)
def test_messages_begin_small(message: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words.fail(message, status=7) == 7
    assert capsys.readouterr().err == f"privyseal: {said}\n"


@given(st.text())
def test_nothing_moves_the_cursor(text: str) -> None:
    """A label that somebody else chose can neither colour the terminal nor turn the writing direction."""
    shown = words.printable(text)
    assert shown.isprintable()
    assert not text.isprintable() or shown == text
