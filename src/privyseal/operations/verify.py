"""Check a signature with a key's public half. Public-key work: the keeper is not asked, and no PIN is.

A MAC is another thing: only the secret key can check it. That is a use of the key, in the keeper, with its PIN.
"""

import asyncio
import hashlib
from dataclasses import dataclass

from privyseal.errors import AccessRefusedError, InvalidSignatureError
from privyseal.model.access import Operation
from privyseal.model.event import Outcome
from privyseal.model.mechanisms import Scheme
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.apply import event_of
from privyseal.operations.conclude import Done, conclude
from privyseal.operations.count_uses import counter_of
from privyseal.operations.find_key import decide_about
from privyseal.operations.find_version import find_version, require_usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.sign import Words, given_input
from privyseal.operations.use_pin import NO_SECRET, Proof, Secret, use
from privyseal.wire import frames, parameters, primitives


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether the signature is right, and the event that says so."""

    valid: bool
    event: int


async def verify(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    words: Words,
    signature: bytes,
    *,
    digest: bytes | None = None,
    data: bytes | None = None,
    version: int | None = None,
    secret: Secret = NO_SECRET,
) -> Verified:
    """Check a signature over a digest or over data; needs the right to see the key. Raises as `sign` does.

    A MAC takes the right to sign, and the key's PIN or a ticket.

    A key that is disabled or scheduled for destruction verifies, and so does each of its versions.
    """
    known = await find_version(appliance, caller, act, place, Operation.KEY_READ, version)
    scheme, value = given_input(known.key, words, digest, data)
    act.mechanism = scheme.name
    if known.key.type.is_symmetric:
        return await _verify_mac(appliance, caller, act, known, scheme, value, signature, secret)
    valid = await asyncio.to_thread(_is_valid, known.key.public_key, scheme, value, signature)
    event = act.event(
        appliance,
        caller.user.name,
        Outcome.DONE,
        input=hashlib.sha256(value).hexdigest(),
        reason="valid" if valid else "not valid",
    )
    kept = act.keeps(lambda number: Verified(valid, number))
    return Verified(valid, await appliance.recorder.record([event], caller.snapshot.generation, kept))


async def _verify_mac(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    known: KnownKey,
    scheme: Scheme,
    data: bytes,
    mac: bytes,
    secret: Secret,
) -> Verified:
    decision = decide_about(caller, Operation.KEY_SIGN, known.key)
    if not decision.allowed:
        raise AccessRefusedError(decision)
    require_usable(known, opens=True)
    hash_ = None if scheme.hash is None else scheme.hash.value
    act.mechanism = parameters.recorded(parameters.VERIFY, scheme.mechanism.value, hash_)
    sent = frames.Parameters(hash=hash_, length=scheme.length)
    counter = await counter_of(appliance, caller, act, known)

    def request(proof: Proof) -> frames.Apply:
        return frames.Apply(
            known.seal, caller.user.name, known.key.core, parameters.VERIFY, scheme.mechanism.value, sent, data, proof,
            None, counter, mac,
        )  # fmt: skip

    answer = await use(appliance, caller, known, secret, request, frames.Applied)
    valid = bool(answer.value)
    event = event_of(appliance, caller, act, answer, data, "valid" if valid else "not valid")
    done = Done(known, answer, [event], result=lambda number: Verified(valid, number))
    return Verified(valid, await conclude(appliance, caller, act, done))


def _is_valid(public_key: bytes, scheme: Scheme, value: bytes, signature: bytes) -> bool:
    try:
        primitives.verify(primitives.load_public(public_key), scheme, value, signature)
    except InvalidSignatureError:
        return False
    return True
