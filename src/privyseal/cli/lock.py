"""`privyseal lock`: forget every key until somebody unlocks."""

from privyseal.cli import output
from privyseal.cli.commands import command as command_of
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session


@command_of(examples=["privyseal lock", "privyseal --user admin lock"])
@pass_session
def command(session: Session) -> None:
    """Lock the appliance: its keeper forgets every key, and nothing can be signed until `privyseal unlock`."""
    with appliance(session) as there:
        there.lock()
    if not output.document(session, {"state": "locked"}):
        output.note(session, "the appliance is locked")
