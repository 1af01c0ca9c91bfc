"""Encrypt data: with a secret key in the keeper, or with a public key here. Make a capsule for a public key."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from privyseal.errors import AccessRefusedError
from privyseal.keeper.policies import check_use
from privyseal.keeper.refused import RefusedError
from privyseal.model.access import Decision, Operation
from privyseal.model.event import Outcome
from privyseal.model.keys import Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.apply import Applied, apply, approvals_for, check_size, no_capsule, usable
from privyseal.operations.approve import record
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Secret
from privyseal.wire import encryption, parameters
from privyseal.wire.parameters import Wanted


@dataclass(frozen=True, slots=True, repr=False)
class Encapsulated:
    """A secret, the capsule that gives it to who has the private half, and the event."""

    secret: bytes
    ciphertext: bytes
    event: int


async def encrypt(
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
    """Encrypt data; arguments and errors as for `decrypt`. With a public key no PIN is needed."""
    known = await usable(appliance, caller, act, place, Operation.KEY_ENCRYPT, version)
    no_capsule(known.key.type)
    wish = parameters.wanted(known.key.type, Use.ENCRYPT, mechanism, given)
    check_size(data)
    parameters.check_data(known.key.type, wish, data)
    if known.key.type.is_symmetric:
        return await apply(appliance, caller, act, known, wish, data, secret)
    _check_policy(act, known, wish)
    ciphertext = encryption.encrypt(known.key.public_key, wish.mechanism, wish.parameters, data)
    return Applied(ciphertext, await _record(appliance, caller, act, known, wish, data, ciphertext))


async def encapsulate(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], version: int | None = None
) -> Encapsulated:
    """Make a secret and its capsule for a public key (ML-KEM)."""
    known = await usable(appliance, caller, act, place, Operation.KEY_ENCRYPT, version)
    wish = parameters.wanted(known.key.type, Use.ENCRYPT, Mechanism.ML_KEM, {})
    _check_policy(act, known, wish)
    secret, capsule = encryption.encapsulate(known.key.public_key)
    return Encapsulated(secret, capsule, await _record(appliance, caller, act, known, wish, b"", capsule))


def _check_policy(act: Act, known: KnownKey, wish: Wanted) -> None:
    """Hold what is done with a public key to the policy here: the keeper is not asked. Raises AccessRefusedError."""
    act.mechanism = wish.name
    try:
        check_use(known.policy, known.key.type, wish.use, wish.mechanism.value, wish.parameters)
    except RefusedError as error:
        raise AccessRefusedError(Decision(allowed=False, reason=error.answer.detail)) from error


async def _record(
    appliance: Appliance, caller: Caller, act: Act, known: KnownKey, wish: Wanted, data: bytes, ciphertext: bytes
) -> int:
    """Record what was done with a public key."""
    approvals = await approvals_for(appliance, caller, act, known, wish, data)
    digest = hashlib.sha256(ciphertext).hexdigest()
    event = act.event(appliance, caller.user.name, Outcome.DONE, input=digest)
    approval = approvals[0] if approvals else None
    return await record(appliance, caller, act, [event], approval, lambda number: number)  # kept for nobody
