"""Let a key out under another key of the appliance: one that was made exportable, for who may export it and may wrap.

Two keys take part, so both have to agree: each one's rule, policy, state, PIN and quorum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from privyseal.model.access import Operation
from privyseal.model.keys import Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.apply import approvals_for, event_of, usable
from privyseal.operations.conclude import Done, conclude
from privyseal.operations.count_uses import counter_of
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Proof, Secret, use
from privyseal.wire import frames, parameters
from privyseal.wire.parameters import Wanted


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A key under another one, and the event that says so."""

    wrapped: bytes
    event: int


async def wrap_key(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    target: str,
    mechanism: Mechanism | None,
    given: Mapping[str, Any],
    secret: Secret,
) -> Wrapped:
    """Wrap a key.

    Args:
        place: of the key that wraps.
        target: id or label of the key to wrap, in the same core.
        given: the mechanism's parameters, see `wire.parameters`.
        secret: the PIN that both keys have (or one of them, if the other has none), or a ticket for it.

    Raises:
        InvalidRequestError: also when the key to wrap has a length that the mechanism does not take.
        AccessRefusedError, KeyNotFoundError, NotFoundError, PINError, SecretLockedError, TooManyAttemptsError,
        ApprovalNeededError, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    known = await usable(appliance, caller, act, place, Operation.KEY_WRAP, None)
    exporting = Act("key:export", way_in=act.way_in)
    wrapped = await usable(appliance, caller, exporting, (place[0], target), Operation.KEY_EXPORT, None)
    wish = parameters.wanted(known.key.type, Use.WRAP, mechanism, given)
    act.mechanism = exporting.mechanism = wish.name
    pair = f"{known.key.id} {known.key.version} {wrapped.key.id} {wrapped.key.version}".encode()
    words = f"key {wrapped.key.id} '{wrapped.key.label}' under key {known.key.id} '{known.key.label}'"
    approvals = await approvals_for(appliance, caller, act, known, wish, pair, words)
    approvals += await approvals_for(appliance, caller, exporting, wrapped, wish, pair, words)
    counter = await counter_of(appliance, caller, act, known)
    request = _request(caller, known, wrapped, wish, counter)
    answer = await use(appliance, caller, known, secret, request, frames.Applied, also=wrapped)
    value = answer.value or b""
    what = parameters.wrapped_input(wrapped.key.id, value)
    event = event_of(appliance, caller, act, answer, what, f"wraps key {wrapped.key.id} '{wrapped.key.label}'")
    done = Done(known, answer, [event], approvals, result=lambda number: Wrapped(value, number))
    return Wrapped(value, await conclude(appliance, caller, act, done))


def _request(caller: Caller, known: KnownKey, wrapped: KnownKey, wish: Wanted, counter: bytes | None) -> Any:
    def request(proof: Proof) -> frames.Wrap:
        return frames.Wrap(
            caller.user.name, known.key.core, proof, known.record, wrapped.record, wish.mechanism.value,
            wish.parameters, counter,
        )  # fmt: skip

    return request
