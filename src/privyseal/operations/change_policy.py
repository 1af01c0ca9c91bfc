"""Change a key's policy: the keeper seals the key anew with it, and the event says what was and what is.

A key with a PIN needs the PIN, because its inner layer is bound to the policy too. A key may be made less exportable
and never more.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from privyseal.errors import InvalidRequestError
from privyseal.model.access import Operation
from privyseal.model.keys import Key
from privyseal.operations.appliance import Appliance
from privyseal.operations.count_uses import kept_counter
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import require_unscheduled
from privyseal.operations.manage import change
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Proof, Secret, use
from privyseal.store import key_life
from privyseal.wire import frames, policies


async def change_policy(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], values: Mapping[str, Any], secret: Secret
) -> Key:
    """Change some fields of the policy of a key's current version.

    Args:
        values: see `wire.policies.changed`.

    Raises:
        InvalidRequestError, ConflictError, NotFoundError, KeyNotFoundError, AccessRefusedError, the PIN errors,
        ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    known = await find_key(appliance, caller, act, *place, Operation.KEY_MANAGE)
    require_unscheduled(known.key)
    policy = policies.changed(known.policy, values, known.key.type)
    if not policy.mechanisms:
        raise InvalidRequestError.of("policy.mechanisms", "name one or more; disable a key that nobody shall use")
    counter = await kept_counter(appliance, caller, known)

    def request(proof: Proof) -> frames.ChangePolicy:
        return frames.ChangePolicy(caller.user.name, known.key.core, proof, known.record, policy, counter)

    answer = await use(appliance, caller, known, secret, request, frames.PolicyChanged)
    key = replace(known.key, sealed=answer.record.sealed, policy=answer.record.policy)

    def work(connection: Connection) -> Key:
        if answer.counter is not None:
            key_life.set_counter(connection, key, answer.counter)
        return key_life.change(connection, key)

    return await change(appliance, caller, act, f"policy: {policies.difference(known.policy, policy)}", work)
