"""What people see at a terminal: prompts, warnings, a moving bar, and colours only where they are wanted."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.appliance import PIN, Appliance
from support.processes import BIN
from support.terminal import Dialogue, converse

Talk = Callable[..., Dialogue]


@pytest.fixture
def talk(appliance: Appliance, tmp_path: Path) -> Talk:
    """Runs `privyseal` at a terminal and answers each prompt."""

    def run(*arguments: str, prompt: str, answer: str, user: str = "admin", **more: str) -> Dialogue:
        environment = appliance.environment(user) | {"TERM": "xterm"} | more
        return converse(
            [BIN / "privyseal", *arguments], prompt=prompt, answer=answer, environment=environment, directory=tmp_path
        )

    return run


def test_a_new_pin_is_asked_twice_and_never_shown(talk: Talk, appliance: Appliance) -> None:
    label = "terminal-new-pin"
    done = talk("key", "create", "--label", label, "--type", "ec:P-256", prompt=r"PIN of key[^\n]*: ", answer=PIN)
    assert done.status == 0, done.screen
    assert done.prompts == 2
    assert "A lost PIN is a lost key" in done.screen
    assert PIN not in done.screen
    appliance.api("DELETE", f"/cores/1/keys/{label}")


def test_a_new_password_is_asked_twice(talk: Talk) -> None:
    secret = "a password of many words"
    done = talk("user", "create", "terminal-user", "--role", "auditor", prompt=r"assword of [^\n]*: ", answer=secret)
    assert (done.status, done.prompts) == (0, 2), done.screen
    assert secret not in done.screen


def test_the_pin_is_asked_for_when_signing(talk: Talk, appliance: Appliance, tmp_path: Path) -> None:
    appliance.add_key("terminal-sign")
    appliance.add_rule(appliance.add_user("terminal-signer"), "terminal-sign")
    (tmp_path / "data").write_text("data")
    words = ("sign", "data", "--key", "terminal-sign")
    done = talk(*words, prompt=r"\(a lost PIN is a lost key\): ", answer=PIN, user="terminal-signer")
    assert (done.status, done.prompts) == (0, 1), done.screen
    assert PIN not in done.screen
    assert (tmp_path / "data.sig").stat().st_size > 60


@pytest.mark.parametrize("command", ["sign", "encrypt"])
def test_nothing_binary_goes_to_a_terminal(talk: Talk, appliance: Appliance, command: str) -> None:
    """Whoever works on stdin is told so before the PIN is asked for."""
    label = f"terminal-binary-{command}"
    appliance.add_key(label, "ec:P-256" if command == "sign" else "aes:256")
    done = talk(command, "-", "--key", label, prompt="PIN", answer=PIN)
    assert (done.status, done.prompts) == (2, 0), done.screen
    assert "say with -o FILE where the" in done.screen


def test_the_password_is_asked_for_when_none_is_configured(talk: Talk, appliance: Appliance) -> None:
    words = ("core", "list")
    done = talk(*words, prompt="Password of admin: ", answer=appliance.admin_password, PRIVYSEAL_PASSWORD_FILE="")
    assert (done.status, done.prompts) == (0, 1), done.screen
    assert "core1" in done.screen
    assert appliance.admin_password not in done.screen


@pytest.mark.parametrize(("answer", "status"), [("n", 1), ("y", 0)])
def test_destroying_a_key_is_asked_about(talk: Talk, appliance: Appliance, answer: str, status: int) -> None:
    label = f"terminal-delete-{answer}"
    appliance.add_key(label)
    done = talk("key", "delete", label, prompt=r"\[y/N\]: ", answer=answer)
    assert (done.status, done.prompts) == (status, 1), done.screen
    state = appliance.api("GET", f"/cores/1/keys/{label}").json()["state"]
    assert state == ("active" if status else "scheduled")


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_no_color_is_heard(talk: Talk, no_colour: str, *, coloured: bool) -> None:
    """See no-color.org."""
    done = talk("core", "list", prompt="never", answer="", NO_COLOR=no_colour)
    assert ("\x1b[1m" in done.screen) is coloured


def test_a_large_file_has_a_bar(talk: Talk, appliance: Appliance, tmp_path: Path) -> None:
    """At a terminal, and not with --quiet."""
    public_key = tmp_path / "public.pem"
    appliance.add_key("terminal-bar")
    public_key.write_text(appliance.api("GET", "/cores/1/keys/terminal-bar/public.pem").text)
    (tmp_path / "signature").write_bytes(b"none")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    words = ("verify", "large", "--signature", "signature", "--public-key", str(public_key))
    seen = talk(*words, prompt="never", answer="")
    assert seen.status == 3, seen.screen
    assert re.search(r"Hashing.*100%", seen.screen, re.DOTALL)
    assert "Hashing" not in talk(*words, "--quiet", prompt="never", answer="").screen
