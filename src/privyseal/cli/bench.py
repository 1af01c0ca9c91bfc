"""`privyseal bench`: how fast this appliance signs for this host, as ratios to what the host itself could do."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from privyseal.cli import output, secrets
from privyseal.cli.commands import command as command_of
from privyseal.cli.commands import core_option, key_option, pin_file_option
from privyseal.cli.reach import appliance
from privyseal.cli.session import Session, pass_session
from privyseal.client import speed
from privyseal.client.cores import KeyClient

_MOST_THREADS = 64


@command_of(
    examples=[
        "privyseal bench --key release --pin-file release.pin",
        "privyseal bench --key release --pin-file release.pin --threads 16 --seconds 10 --json",
    ]
)
@key_option
@core_option()
@pin_file_option
@click.option(
    "--threads",
    type=click.IntRange(1, _MOST_THREADS),
    default=8,
    show_default=True,
    metavar="N",
    help="So many requests at a time.",
)
@click.option("--seconds", type=click.FloatRange(0.05, 60), default=2.0, show_default=True, metavar="N", help="Each.")
@pass_session
def command(
    session: Session, *, key: str, core: int | str | None, pin_file: str | None, threads: int, seconds: float
) -> None:
    """Sign over and over with a key, and print signatures per second beside this host's own limit.

    Every signature is an event in the record, and counts where the key's policy limits its uses.
    """
    with appliance(session) as there:
        record = there.core(core).key(key).record()
    pin = secrets.pin_of(record, pin_file)

    @contextmanager
    def open_key() -> Iterator[KeyClient]:
        with appliance(session) as own:
            if pin is None:
                yield own.core(core).key(record.id)
                return
            with own.core(core).login(pin) as login:
                yield login.key(record.id)

    found = speed.measure(open_key, record, threads, seconds)
    rows = [{"what": one.what, "per_second": round(one.per_second, 1), "ratio": round(one.ratio, 3)} for one in found]
    if output.document(session, {"key": record.id, "type": record.type, "rows": rows}):
        return
    figures = [[one.what, f"{one.per_second:,.0f}", f"{one.ratio:.3f}"] for one in found]
    output.table(["WHAT", "SIGNATURES/S", "RATIO"], figures)
