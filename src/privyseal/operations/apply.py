"""Use a key for something else than signing: encrypt, decrypt, derive, verify a MAC.

The steps are those of `sign`, and so is what is always true: who may, the key's policy, PIN or ticket, a quorum where
one guards the key, and the event durable before the answer. One thing is other: the answer is a secret, so it is not
kept for a repeated request, which is carried out again.
"""

import hashlib
import os
from dataclasses import dataclass

import msgspec

from privyseal.errors import InvalidRequestError
from privyseal.model.access import Operation
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Family, KeyType, Use
from privyseal.model.mechanisms import Mechanism
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.approve import Wanted as WantedApproval
from privyseal.operations.approve import approved
from privyseal.operations.conclude import Done, conclude
from privyseal.operations.count_uses import counter_of
from privyseal.operations.find_version import find_version, require_usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Proof, Secret, use
from privyseal.wire import frames, parameters
from privyseal.wire.bodies import DATA_MAX
from privyseal.wire.parameters import Wanted

_FAILURES = {
    Use.DECRYPT: ("data", "this does not decrypt with this key and these parameters"),
    Use.DERIVE: ("public_key", "no secret comes of this public key with this key"),
    Use.ENCRYPT: ("data", "this cannot be encrypted with this key and these parameters"),
}


@dataclass(frozen=True, slots=True, repr=False)
class Applied:
    """What came of it, and the number of its event; `iv` is what the appliance chose, else what came."""

    value: bytes
    event: int
    iv: bytes = b""


async def usable(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    operation: Operation,
    version: int | None,
    *,
    opens: bool = False,
) -> KnownKey:
    """Find a key that the caller may use so; raises as `find_version`, and AccessRefusedError for one out of use."""
    known = await find_version(appliance, caller, act, place, operation, version)
    require_usable(known, opens=opens)
    return known


async def apply(
    appliance: Appliance, caller: Caller, act: Act, known: KnownKey, wish: Wanted, data: bytes, secret: Secret
) -> Applied:
    """Let the keeper do what is wanted.

    Raises:
        InvalidRequestError: the data does not fit the key; that is recorded, and always said in the same words.
        AccessRefusedError, PINError, SecretLockedError, TooManyAttemptsError, ApprovalNeededError,
        ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    act.mechanism = wish.name
    approvals = await approvals_for(appliance, caller, act, known, wish, data)
    sent = _with_iv(wish)
    counter = await counter_of(appliance, caller, act, known)

    def request(proof: Proof) -> frames.Apply:
        return frames.Apply(
            known.seal, caller.user.name, known.key.core, wish.use.value, wish.mechanism.value, sent, data, proof, None,
            counter,
        )  # fmt: skip

    answer = await use(appliance, caller, known, secret, request, frames.Applied)
    what = parameters.counted(wish.use.value, data, sent, answer.value)
    number = await conclude(
        appliance, caller, act, Done(known, answer, [event_of(appliance, caller, act, answer, what)], approvals)
    )
    if answer.value is None:
        raise _failure(wish.use, number)
    return Applied(answer.value, number, sent.iv)


async def approvals_for(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    known: KnownKey,
    wish: Wanted,
    data: bytes,
    words: str | None = None,
) -> tuple[int, ...]:
    """Give the approval to use where a quorum guards the key.

    It is bound to the key's version, the mechanism with its parameters, the data, and to all that approvers read:
    `words`, or else the digest that the record will show.
    """
    quorum = caller.snapshot.quorum(act.operation, known.key.core, known.key.id)
    if quorum is None:
        return ()
    bound, digest = msgspec.msgpack.encode(wish.parameters).hex(), hashlib.sha256(data).hexdigest()
    if words is None:
        shown = parameters.counted(wish.use.value, data, wish.parameters, data)
        words = f"data with SHA-256 {hashlib.sha256(shown).hexdigest()}"
    wanted = WantedApproval((known.key.version, wish.name, bound, digest, words), f"{wish.name} {words}")
    approval = await approved(appliance, caller, act, quorum, wanted)
    return () if approval is None else (approval,)


def event_of(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    answer: frames.Applied | frames.Unwrapped,
    what: bytes,
    reason: str | None = None,
) -> Event:
    """Give the event of a use, with the keeper's number for it."""
    failed = answer.value is None if isinstance(answer, frames.Applied) else answer.made is None
    return act.event(
        appliance,
        caller.user.name,
        Outcome.FAILED if failed else Outcome.DONE,
        input=hashlib.sha256(what).hexdigest(),
        reason="it does not fit the key" if failed else reason,
        keeper=answer.keeper,
        use=answer.use,
    )


def no_capsule(key_type: KeyType) -> None:
    """Refuse to encrypt data with a key that only makes and opens capsules; raises InvalidRequestError."""
    if key_type.family is Family.ML_KEM:
        words = f"a key of type {key_type.value} takes no data: encapsulate and decapsulate"
        raise InvalidRequestError.of("mechanism", words)


def check_size(data: bytes, field: str = "data", *, overhead: int = 0) -> None:
    """Refuse more than the keeper takes at once, and padding or tag beside it; raises InvalidRequestError."""
    if len(data) > DATA_MAX + overhead:
        raise InvalidRequestError.of(field, f"this has at most {DATA_MAX + overhead} bytes")


def _failure(use_: Use, number: int) -> InvalidRequestError:
    error = InvalidRequestError.of(*_FAILURES[use_])
    error.event = number
    return error


def _with_iv(wish: Wanted) -> frames.Parameters:
    """Make the initialisation vector where none came; of AES-CTR's, the bits that count begin at zero."""
    length = parameters.iv_length(wish.mechanism)
    if wish.use is not Use.ENCRYPT or wish.parameters.iv or not length:
        return wish.parameters
    made = int.from_bytes(os.urandom(length), "big")
    if wish.mechanism is Mechanism.AES_CTR and wish.parameters.counter < 8 * length:
        made = made >> wish.parameters.counter << wish.parameters.counter
    return msgspec.structs.replace(wish.parameters, iv=made.to_bytes(length, "big"))
