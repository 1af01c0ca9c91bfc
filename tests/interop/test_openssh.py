"""OpenSSH: keys read from the token, a certification authority on it, and a sign-in through a real sshd.

Always true: sshd runs on the loopback interface with a configuration of its own and lets in nobody but who holds the
token's key.
"""

import getpass
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.appliance import PIN
from support.processes import Process, free_port
from support.terminal import converse
from support.tokens import Token

pytestmark = [pytest.mark.interop, pytest.mark.program("OpenSSH", "openssh-client")]
SSHD = "/usr/sbin/sshd"


def ssh_keys(token: Token) -> dict[str, str]:
    """The token's public keys as OpenSSH writes them, by kind."""
    lines = token.run("ssh-keygen", "-D", token.module).stdout.splitlines()
    return {"ec" if line.startswith("ecdsa") else "rsa": line for line in lines}


@pytest.fixture
def sshd(token: Token, needs: Callable[..., None]) -> Iterator[int]:
    """An sshd that lets this user in with the token's keys; its port."""
    needs(SSHD)
    port = free_port()
    host_key = token.directory / "ssh_host_key"
    if not host_key.exists():
        token.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key)
    token.write("authorized_keys", "\n".join(ssh_keys(token).values()) + "\n")
    options = {
        "ListenAddress": "127.0.0.1", "HostKey": host_key, "AuthorizedKeysFile": token.directory / "authorized_keys",
        "PidFile": "none", "UsePAM": "no", "StrictModes": "no", "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no", "PermitRootLogin": "prohibit-password",
    }  # fmt: skip
    token.write("sshd_config", "".join(f"{name} {value}\n" for name, value in options.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    command = [SSHD, "-D", "-e", "-f", token.directory / "sshd_config", "-p", str(port)]
    server = Process(command, environment=token.environment, log=token.directory / f"sshd-{port}.log")
    try:
        server.wait_for(lambda output: "Server listening" in output)
        yield port
    finally:
        server.stop()


def test_reads_the_keys(token: Token) -> None:
    """ssh-keygen -D: the public keys, without a PIN."""
    assert set(ssh_keys(token)) == {"ec", "rsa"}


def test_signs_in(token: Token, key: str, sshd: int) -> None:
    """Ssh -I: signs in with a key of the token, and types the PIN once."""
    token.write("known_hosts", f"[127.0.0.1]:{sshd} {(token.directory / 'ssh_host_key.pub').read_text()}")
    token.write("identity.pub", ssh_keys(token)[key])
    options = ["-o", f"UserKnownHostsFile={token.directory}/known_hosts", "-o", "IdentitiesOnly=yes", "-F", "none"]
    chosen = ["-o", f"PKCS11Provider={token.module}", "-i", token.directory / "identity.pub", "-p", str(sshd)]
    kind = "ecdsa-sha2-nistp256" if key == "ec" else "rsa-sha2-256"
    chosen += ["-o", f"PubkeyAcceptedAlgorithms={kind}"]
    dialogue = converse(
        ["ssh", *options, *chosen, f"{getpass.getuser()}@127.0.0.1", "echo", "signed", "in"],
        prompt="PIN for '[^']*':",
        answer=PIN,
        environment=token.environment,
        directory=token.directory,
    )
    assert dialogue.status == 0, dialogue.screen
    assert "signed in" in dialogue.screen


def test_signs_a_users_key(token: Token, key: str) -> None:
    """ssh-keygen -s -D: an SSH certification authority on the token."""
    for name in ("user", "user.pub", "user-cert.pub"):
        (token.directory / name).unlink(missing_ok=True)
    token.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "user")
    token.write("authority.pub", ssh_keys(token)[key])
    chosen = ["-D", token.module, "-s", "authority.pub", "-I", "me", "-n", "root", "-V", "+1d", "user.pub"]
    dialogue = converse(
        ["ssh-keygen", *chosen],
        prompt="PIN for '[^']*':",
        answer=PIN,
        environment=token.environment,
        directory=token.directory,
    )
    assert dialogue.status == 0, dialogue.screen
    assert "Signing CA" in token.run("ssh-keygen", "-L", "-f", "user-cert.pub").stdout


def test_agent(token: Token, needs: Callable[..., None]) -> None:
    """ssh-add -s: an agent that holds the module for days; ssh-keygen -Y sign through it."""
    needs("ssh-agent")
    token.write("askpass", f"#!/bin/sh\ncat '{token.directory}/pin'\n").chmod(0o700)
    token.write("identity.pub", ssh_keys(token)["ec"])
    (token.directory / "mydata.sig").unlink(missing_ok=True)
    socket = f"/tmp/privyseal-agent-{os.getpid()}-{token.name}"
    agent = Process(
        ["ssh-agent", "-D", "-a", socket, "-P", str(token.module)],
        environment=token.environment,
        log=token.directory / "agent.log",
    )
    try:
        agent.wait_for(lambda output: "SSH_AUTH_SOCK" in output)
        own = {
            "SSH_AUTH_SOCK": socket,
            "SSH_ASKPASS": f"{token.directory}/askpass",
            "SSH_ASKPASS_REQUIRE": "force",
        }
        token.run("ssh-add", "-s", token.module, **own)
        token.run("ssh-keygen", "-Y", "sign", "-n", "file", "-f", "identity.pub", "mydata", **own)
    finally:
        agent.stop()
        Path(socket).unlink(missing_ok=True)
    token.write("allowed", f"me {ssh_keys(token)['ec']}\n")
    verify = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "me", "-n", "file", "-s", "mydata.sig"]
    assert "Good" in token.run(*verify, input=(token.directory / "mydata").read_text()).stdout
    shutil.rmtree(token.directory / ".ssh", ignore_errors=True)
