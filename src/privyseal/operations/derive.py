"""Derive a secret: with somebody's public key, or from a generic secret."""

from collections.abc import Mapping
from typing import Any

from privyseal.model.access import Operation
from privyseal.model.keys import Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance
from privyseal.operations.apply import Applied, apply, usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Secret
from privyseal.wire import parameters


async def derive(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    mechanism: Mechanism | None,
    given: Mapping[str, Any],
    secret: Secret,
    *,
    version: int | None = None,
) -> Applied:
    """Derive a secret and give it out; arguments and errors as for `decrypt`."""
    known = await usable(appliance, caller, act, place, Operation.KEY_DERIVE, version)
    wish = parameters.wanted(known.key.type, Use.DERIVE, mechanism, given)
    return await apply(appliance, caller, act, known, wish, b"", secret)
