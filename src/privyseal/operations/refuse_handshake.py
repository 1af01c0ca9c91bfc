"""A client certificate that TLS did not take: no request came of it, and it is on record all the same."""

import asyncio
import logging

from privyseal.errors import PrivysealError
from privyseal.model.event import Event, Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.perform import Act

_OPERATION = "tls:handshake"
_NOBODY = "anonymous"
_log = logging.getLogger("privyseal.worker")
_writing: set[asyncio.Task[None]] = set()


def record_refused(appliance: Appliance, reason: str) -> None:
    """Record that a certificate was not taken, and why, beside the connection that ends. Which it was is not known."""
    if not appliance.is_operational:  # as with requests: what is locked records nobody's attempts
        return
    words = f"a client certificate that is not registered, or that TLS does not accept: {reason}"
    event = Act(_OPERATION).event(appliance, _NOBODY, Outcome.REFUSED, reason=words)
    task = asyncio.get_running_loop().create_task(_record(appliance, event))
    _writing.add(task)
    task.add_done_callback(_writing.discard)


async def _record(appliance: Appliance, event: Event) -> None:
    try:
        await appliance.recorder.record([event], basis=None)
    except PrivysealError as error:
        _log.warning("a refused client certificate was not recorded: %s", error)
