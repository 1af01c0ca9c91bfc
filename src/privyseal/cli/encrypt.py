"""`privyseal encrypt`: a small file under a key of the appliance. The other half is `decrypt.py`."""

import click

from privyseal.cli import ciphers, inputs
from privyseal.cli.commands import command as command_of
from privyseal.cli.commands import core_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client.records import encoded


@command_of(
    examples=[
        "privyseal encrypt token.txt --key vault --pin-file vault.pin -o token.enc",
        "privyseal encrypt token.txt --key box --hash SHA-512",
    ]
)
@click.argument("file")
@core_option()
@ciphers.options
@click.option("--output", "-o", "target", metavar="FILE", help="Default: FILE.enc; - is stdout.")
@pass_session
def command(
    session: Session,
    *,
    file: str,
    key: str,
    core: int | str | None,
    pin_file: str | None,
    hash_name: str | None,
    target: str | None,
) -> None:
    """Encrypt FILE (- is stdin, up to 1 MiB) and write the result to FILE.enc.

    With an AES key it is AES-GCM: 12 bytes of nonce, the ciphertext, 16 bytes of tag. With an RSA key it is RSA-OAEP,
    which takes a few hundred bytes and which anybody with the public key can make. A lost PIN is a lost key.
    """
    target = target or inputs.beside(file, ".enc", "the ciphertext")
    with appliance(session) as there:
        opened, record = ciphers.opened(there.core(core), key, pin_file, file, public=True)
        made = opened.encrypt(ciphers.content(file), **ciphers.parameters(record, hash_name))
    iv = encoded(made.iv) if made.iv else None
    answer = {"data": encoded(made.data), "iv": iv, "event": made.event}
    done = f"encrypted with key {record.label!r}, event {made.event}"
    ciphers.put(session, target, (made.iv or b"") + made.data, answer, done)
