"""`privyseal decrypt`: what `privyseal encrypt` made, or for RSA-OAEP anybody with the public key."""

import click

from privyseal.cli import ciphers, inputs
from privyseal.cli.commands import command as command_of
from privyseal.cli.commands import core_option, version_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.errors import InvalidInputError
from privyseal.client.records import encoded


@command_of(
    examples=[
        "privyseal decrypt token.enc --key vault --pin-file vault.pin -o token.txt",
        "privyseal decrypt old.enc --key vault --version 1",
    ]
)
@click.argument("file")
@core_option()
@ciphers.options
@version_option()
@click.option("--output", "-o", "target", metavar="FILE", help="Default: stdout.")
@pass_session
def command(
    session: Session,
    *,
    file: str,
    key: str,
    core: int | str | None,
    pin_file: str | None,
    hash_name: str | None,
    version: int | None,
    target: str | None,
) -> None:
    """Decrypt FILE (- is stdin) to stdout, or to a file that only you can read."""
    with appliance(session) as there:
        opened, record = ciphers.opened(there.core(core), key, pin_file, file)
        data = ciphers.content(file)
        how = ciphers.parameters(record, hash_name)
        if record.type.startswith(ciphers.AES):
            if len(data) < ciphers.NONCE + ciphers.TAG:
                raise InvalidInputError("this is shorter than anything that `privyseal encrypt` makes with an AES key")
            how, data = {**how, "iv": data[: ciphers.NONCE]}, data[ciphers.NONCE :]
        plain = opened.decrypt(data, **how, version=version)
    target = target or inputs.STDOUT
    shown = {"data": encoded(plain.value)} if target == inputs.STDOUT else {}
    done = f"decrypted with key {record.label!r}, event {plain.event}"
    ciphers.put(session, target, plain.value, {**shown, "event": plain.event}, done)
