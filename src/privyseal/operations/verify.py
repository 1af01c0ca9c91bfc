"""Check a signature with a key's public half. Public-key work: the keeper is not asked, and no PIN is."""

import asyncio
import hashlib
from dataclasses import dataclass

from privyseal.errors import InvalidSignatureError
from privyseal.model.access import Operation
from privyseal.model.event import Outcome
from privyseal.model.mechanisms import Scheme
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import find_key
from privyseal.operations.perform import Act, Caller
from privyseal.operations.sign import Words, given_input
from privyseal.wire import primitives


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
) -> Verified:
    """Check a signature over a digest or over data; needs the right to see the key. Raises as `sign` does."""
    known = await find_key(appliance, caller, act, *place, Operation.KEY_READ)
    scheme, value = given_input(known.key, words, digest, data)
    act.mechanism = scheme.name
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


def _is_valid(public_key: bytes, scheme: Scheme, value: bytes, signature: bytes) -> bool:
    try:
        primitives.verify(primitives.load_public(public_key), scheme, value, signature)
    except InvalidSignatureError:
        return False
    return True
