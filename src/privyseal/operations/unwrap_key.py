"""Take in a key that comes under a key of the appliance: unwrapped in the keeper, sealed there, and seen by nobody.

Whoever does this may use the key that unwraps, and may import a key with the new one's label: rules go by labels.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from privyseal.errors import InvalidRequestError
from privyseal.model.access import Operation
from privyseal.model.cores import Core
from privyseal.model.event import Outcome
from privyseal.model.keys import Key, KeyType, Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.apply import approvals_for, check_size, event_of, usable
from privyseal.operations.conclude import Done, conclude
from privyseal.operations.count_uses import counter_of
from privyseal.operations.generate_key import Named, add, made_key, place_for, public_half, words_of
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Proof, Secret, use
from privyseal.wire import frames, names, parameters, policies
from privyseal.wire.parameters import Wanted


@dataclass(frozen=True, slots=True, repr=False)
class NewKey:
    """What the unwrapped key shall be."""

    label: str
    type: KeyType
    pin: str | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    object_id: str | None = None


async def unwrap_key(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    wrapped: bytes,
    mechanism: Mechanism | None,
    given: Mapping[str, Any],
    secret: Secret,
    *,
    new: NewKey,
) -> Key:
    """Unwrap a key.

    Args:
        place: of the key that unwraps.
        wrapped: a private key as PKCS #8 (DER), or a symmetric key's bytes, under that key.
        secret: what opens the key that unwraps.

    Raises:
        InvalidRequestError: also when it does not unwrap, or is no key of the type that was said; that is recorded.
        ConflictError: the label is taken.
        AccessRefusedError, KeyNotFoundError, NotFoundError, PINError, SecretLockedError, TooManyAttemptsError,
        ApprovalNeededError, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    known = await usable(appliance, caller, act, place, Operation.KEY_UNWRAP, None, opens=True)
    wish = parameters.wanted(known.key.type, Use.UNWRAP, mechanism, given)
    act.mechanism = wish.name
    check_size(wrapped, "wrapped")
    arriving = Act(act.operation, way_in=act.way_in)
    named = Named(new.label, names.tags(new.tags), names.object_id(new.object_id))
    core = await place_for(appliance, caller, arriving, place[0], named, new.pin, Operation.KEY_IMPORT)
    policy = policies.changed(policies.EVERYTHING, new.policy, new.type)
    approvals = await approvals_for(appliance, caller, act, known, wish, wrapped, _words(wrapped, named, new, policy))
    counter = await counter_of(appliance, caller, act, known)
    request = _request(caller, known, core, wrapped, wish, new, policy, counter)
    answer = await use(appliance, caller, known, secret, request, frames.Unwrapped)
    event = event_of(appliance, caller, act, answer, wrapped, f"unwraps key '{new.label}'")
    if answer.made is None:
        number = await conclude(appliance, caller, act, Done(known, answer, [event], approvals))
        error = InvalidRequestError.of("wrapped", f"with this key it does not unwrap to a key of type {new.type.value}")
        error.event = number
        raise error
    return await _keep(appliance, caller, act, arriving, Done(known, answer, [event], approvals), named)


def _words(wrapped: bytes, named: Named, new: NewKey, policy: frames.Policy) -> str:
    """Say for approvers what comes in and what becomes of it: another name or policy is another key."""
    return (
        f"data with SHA-256 {hashlib.sha256(wrapped).hexdigest()} to key '{named.label}', type {new.type.value}, "
        f"{'with' if new.pin is not None else 'without'} PIN, tags {','.join(named.tags) or '-'}, "
        f"object_id {named.object_id or '-'}, policy: {policies.difference(policies.EVERYTHING, policy)}"
    )


async def _keep(appliance: Appliance, caller: Caller, act: Act, arriving: Act, done: Done, named: Named) -> Key:
    """Keep the new key in the transaction that has both events: of the use, and of the key that came of it."""
    assert isinstance(done.answer, frames.Unwrapped)  # noqa: S101 - callers ask for it
    made = done.answer.made
    assert made is not None  # noqa: S101 - as above
    key = made_key(made, named)
    arriving.key, arriving.mechanism = key.id, key.type.value
    born = arriving.event(appliance, caller.user.name, Outcome.DONE, input=public_half(key), reason=words_of(key))
    keeps = replace(done, result=lambda _: key, work=lambda connection: add(connection, key, made), beside=[born])
    await conclude(appliance, caller, act, keeps)
    return key


def _request(
    caller: Caller,
    known: KnownKey,
    core: Core,
    wrapped: bytes,
    wish: Wanted,
    new: NewKey,
    policy: frames.Policy,
    counter: bytes | None,
) -> Any:
    key_id = os.urandom(8).hex()

    def request(proof: Proof) -> frames.Unwrap:
        return frames.Unwrap(
            caller.user.name, core.number, proof, known.record, wrapped, wish.mechanism.value, wish.parameters,
            key_id, new.type.value, new.pin, core.pin_salt, policy, counter,
        )  # fmt: skip

    return request
