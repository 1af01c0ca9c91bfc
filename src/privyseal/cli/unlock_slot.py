"""`privyseal unlock-slot`: what unlocks the appliance."""

import click

from privyseal.cli import output
from privyseal.cli.commands import Group
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.cli.slots import hand_out, kind_argument, slot_options, wanted


@click.group(cls=Group)
def command() -> None:
    """List, add, remove and rotate what unlocks the appliance: passphrases, key files, shares."""


@command.command("list", examples=["privyseal unlock-slot list"])
@pass_session
def list_slots(session: Session) -> None:
    """List the unlock slots; what opens them is stored nowhere."""
    with appliance(session) as there:
        slots = there.unlock_slots()
    if not output.document(session, {"slots": [slot.document for slot in slots]}):
        output.table(("SLOT", "KIND", "CREATED"), [(slot.number, slot.kind, slot.created) for slot in slots])


@command.command(
    "add", examples=["privyseal unlock-slot add --with passphrase", "privyseal unlock-slot add --with 2of3"]
)
@kind_argument
@slot_options
@pass_session
def add(session: Session, kind: str, passphrase_file: str | None, key_file: str | None) -> None:
    """Add an unlock slot."""
    slot = wanted(kind, passphrase_file, key_file)
    with appliance(session) as there:
        made = there.add_unlock_slot(**slot)
    hand_out(session, made, key_file)
    output.note(session, f"unlock slot {made.number} is there")


@command.command("rotate", examples=["privyseal unlock-slot rotate 1 --with passphrase"])
@click.argument("number", type=click.IntRange(min=1))
@kind_argument
@slot_options
@pass_session
def rotate(session: Session, number: int, kind: str, passphrase_file: str | None, key_file: str | None) -> None:
    """Replace an unlock slot by a new one, of the same or another kind."""
    slot = wanted(kind, passphrase_file, key_file)
    with appliance(session) as there:
        made = there.rotate_unlock_slot(number, **slot)
    hand_out(session, made, key_file)
    output.note(session, f"unlock slot {number} is replaced by {made.number}")


@command.command("remove", examples=["privyseal unlock-slot remove 1"])
@click.argument("number", type=click.IntRange(min=1))
@pass_session
def remove(session: Session, number: int) -> None:
    """Remove an unlock slot, unless it is the last one."""
    with appliance(session) as there:
        there.remove_unlock_slot(number)
    output.note(session, f"unlock slot {number} is removed")
