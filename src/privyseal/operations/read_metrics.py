"""What the appliance measures of itself, for monitoring: everything that the processes count, and what is true now."""

from sqlalchemy import Connection, func, select

from privyseal import __version__
from privyseal.errors import UnavailableError
from privyseal.model.access import Operation
from privyseal.operations.appliance import Appliance
from privyseal.operations.look import look
from privyseal.operations.manage import require_role
from privyseal.operations.perform import Caller
from privyseal.store.tables import events
from privyseal.telemetry import exposition
from privyseal.wire import frames


async def read_metrics(appliance: Appliance, caller: Caller) -> str:
    """Give all metrics in Prometheus' text format; raises AccessRefusedError."""
    require_role(caller, Operation.METRICS_READ)
    samples: dict[str, float] = dict(appliance.metrics.total())
    samples[f'privyseal_build_info{{version="{__version__}",node="{exposition.escaped(appliance.node)}"}}'] = 1
    samples["privyseal_events_total"] = await look(appliance, _last_event)
    samples |= await _of_keeper(appliance)
    if appliance.tls is not None:  # what is served, which is not always what is on the disk
        samples["privyseal_certificate_expiry_seconds"] = appliance.tls.chain[0].not_valid_after_utc.timestamp()
    return exposition.text(samples)


async def _of_keeper(appliance: Appliance) -> dict[str, float]:
    """Ask the keeper; one that does not answer is a locked appliance, and its own numbers are missing."""
    try:
        measured = await appliance.keeper.ask(frames.Measure(), frames.Measured)
    except UnavailableError:
        return {"privyseal_unlocked": 0}
    return {
        "privyseal_unlocked": measured.unlocked,
        "privyseal_keeper_keys": measured.keys,
        "privyseal_keeper_cache_hits_total": measured.hits,
        "privyseal_keeper_cache_misses_total": measured.misses,
    }


def _last_event(connection: Connection) -> int:
    return connection.execute(select(func.max(events.c.number))).scalar_one() or 0
