"""Decrypt data with the private or secret half of a key."""

from collections.abc import Mapping
from typing import Any

from privyseal.model.access import Operation
from privyseal.model.keys import Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance
from privyseal.operations.apply import Applied, apply, check_size, no_capsule, usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Secret
from privyseal.wire import parameters


async def decrypt(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    mechanism: Mechanism | None,
    given: Mapping[str, Any],
    data: bytes,
    secret: Secret,
    *,
    version: int | None = None,
) -> Applied:
    """Decrypt data.

    Args:
        given: the mechanism's parameters, see `wire.parameters`.
        version: of the key; versions before the current one decrypt what was encrypted for them.

    Raises: as `apply`, and KeyNotFoundError, NotFoundError.
    """
    known = await usable(appliance, caller, act, place, Operation.KEY_DECRYPT, version, opens=True)
    no_capsule(known.key.type)
    wish = parameters.wanted(known.key.type, Use.DECRYPT, mechanism, given)
    check_size(data, overhead=parameters.BLOCK)
    parameters.check_data(known.key.type, wish, data)
    return await apply(appliance, caller, act, known, wish, data, secret)
