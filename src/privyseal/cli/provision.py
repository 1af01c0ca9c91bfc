"""`privyseal provision`: an appliance that was started with `serve --no-provision` begins its life."""

import click

from privyseal.cli import output, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.slots import hand_out, kind_argument, slot_options, wanted


@command_of(
    examples=[
        "privyseal provision --with passphrase",
        "privyseal provision --with 2of3 --admin-password-file admin.password",
        "privyseal provision --with key-file --key-file unlock.key",
    ]
)
@kind_argument
@slot_options
@click.option(
    "--admin-password-file", metavar="FILE", help="Password of the administrator `admin`; else you are asked."
)
@click.option("--node", metavar="NAME", help="Name of this node in the record; default: the host's.")
@pass_session
def command(
    session: Session,
    kind: str,
    passphrase_file: str | None,
    key_file: str | None,
    admin_password_file: str | None,
    node: str | None,
) -> None:
    """Make the domain key, the administrator `admin`, core 1 and the first unlock slot. It works once."""
    slot = wanted(kind, passphrase_file, key_file)
    password = secrets.new_password(admin_password_file, "admin")
    with appliance(session, anonymous=True) as there:
        made = there.provision(password=password, node=node, unlock=slot)
    hand_out(session, made, key_file)
    output.note(session, "the appliance is operational; its administrator is admin")
