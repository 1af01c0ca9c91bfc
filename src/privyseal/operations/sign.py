"""Sign digests or small data with one key: the main job.

(1) state      a locked appliance says so before it looks anything up
(2) identity   `perform` turned the credentials into a user already
(3) look up    the key's public record
(4) decide     by the user's rules; 3 and 4 are one step, because who may not know of a key must not find it
(5) keeper     one frame out, one frame back; its policy for the key has the last word
(6) record     the events are durable; stale decisions start again at (2), their signatures are thrown away and recorded
               as withheld
(7) answer     signatures and the number of the first event
"""

import hashlib
from collections.abc import Sequence

import msgspec

from privyseal.errors import FieldError, InvalidRequestError
from privyseal.model.access import Operation
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.approve import Wanted, approved, words_for
from privyseal.operations.conclude import Done, conclude
from privyseal.operations.count_uses import counter_of
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import find_version, require_usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Secret, signatures
from privyseal.wire import frames
from privyseal.wire.bodies import BATCH_MAX, DATA_MAX
from privyseal.wire.schemes import check_input, scheme_for, with_mu


class Words(msgspec.Struct, frozen=True):
    """The parameters of a mechanism as a request names them; None where it leaves them out."""

    mechanism: Mechanism | None = None
    hash: Hash | None = None
    salt_length: int | None = None
    mgf_hash: Hash | None = None
    encoding: Encoding = Encoding.DER
    context: bytes = b""
    length: int | None = None


class Signed(msgspec.Struct, frozen=True):
    """Signatures in the order of their inputs; the first one's event number, the others' follow."""

    signatures: Sequence[bytes]
    first_event: int


async def sign(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    words: Words,
    secret: Secret,
    *,
    digest: bytes | None = None,
    data: bytes | None = None,
    version: int | None = None,
) -> Signed:
    """Sign one digest, or data that is hashed here first, or in the keeper where the key's policy wants that.

    Args:
        place: the core's number or name, and the key's id or label.
        secret: a PIN, a ticket, or neither.
        version: of the key; None means the current one.

    Raises:
        InvalidRequestError, NotFoundError, KeyNotFoundError, AccessRefusedError, PINError, SecretLockedError,
        TooManyAttemptsError, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    known = await _usable(appliance, caller, act, place, version)  # (3) (4)
    scheme, value = given_input(known.key, words, digest, data)
    if data is not None and not known.policy.raw_digest:
        return await _carry_out(appliance, caller, act, known, scheme, secret, (value,), data=data)
    return await _carry_out(appliance, caller, act, known, scheme, secret, (value,))


async def sign_batch(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    place: tuple[str, str],
    words: Words,
    secret: Secret,
    digests: Sequence[bytes],
    version: int | None = None,
) -> Signed:
    """Sign up to 1,000 digests (messages for EdDSA and ML-DSA) with one key, all or none. Raises as `sign` does."""
    known = await _usable(appliance, caller, act, place, version)  # (3) (4)
    scheme = _scheme(known.key, words, hashed_here=False)
    _check_batch(known.key, scheme, digests)
    return await _carry_out(appliance, caller, act, known, scheme, secret, tuple(digests))


async def _usable(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], version: int | None
) -> KnownKey:
    if version is None:
        known = await find_key(appliance, caller, act, *place, Operation.KEY_SIGN)
    else:
        known = await find_version(appliance, caller, act, place, Operation.KEY_SIGN, version)
    if known.unusable is not None:
        require_usable(known)
    return known


async def _carry_out(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    known: KnownKey,
    scheme: Scheme,
    secret: Secret,
    inputs: tuple[bytes, ...],
    *,
    data: bytes | None = None,
) -> Signed:
    """Carry out (5) to (7). With `data`, that goes to the keeper in the place of its digest."""
    act.mechanism = scheme.name
    if act.repeat is not None and caller.snapshot.quorums:
        await repeat.look(appliance.store, act.repeat)  # a repetition must not ask others again
    approval = await _approval(appliance, caller, act, known.key, scheme, inputs)
    sent = inputs if data is None else (data,)
    counter = await counter_of(appliance, caller, act, known)
    answer = await signatures(appliance, caller, known, scheme, sent, secret, data=data is not None, counter=counter)
    new = _events(appliance, caller, act, inputs, answer)
    if approval is not None or answer.counter is not None:
        approvals = () if approval is None else (approval,)
        done = Done(known, answer, new, approvals, lambda number: Signed(answer.values, number))
        return Signed(answer.values, await conclude(appliance, caller, act, done))
    kept = act.keeps(lambda number: Signed(answer.values, number))
    return Signed(answer.values, await appliance.recorder.record(new, caller.snapshot.generation, kept))


async def _approval(
    appliance: Appliance, caller: Caller, act: Act, key: Key, scheme: Scheme, inputs: Sequence[bytes]
) -> int | None:
    """Give the approval to use where a quorum guards the key; it is bound to version, mechanism and inputs."""
    quorum = caller.snapshot.quorum("key:sign", key.core, key.id) if caller.snapshot.quorums else None
    if quorum is None:
        return None
    words = words_for(scheme.name, inputs, digests=not scheme.takes_message)
    digests = (hashlib.sha256(value).hexdigest() for value in inputs)
    wanted = Wanted((key.version, repr(scheme), *digests), words)
    return await approved(appliance, caller, act, quorum, wanted)


def given_input(key: Key, words: Words, digest: bytes | None, data: bytes | None) -> tuple[Scheme, bytes]:
    """Give the scheme and what goes into the mechanism: a digest, or the message for what hashes by itself."""
    if (digest is None) == (data is None):
        raise InvalidRequestError.of("digest", "give exactly one of digest and data")
    scheme = _scheme(key, words, hashed_here=data is not None)
    if data is None:
        assert digest is not None  # noqa: S101 - exactly one was given
        if scheme.mechanism is Mechanism.ML_DSA:
            scheme = with_mu(scheme)
        elif scheme.takes_message:
            words_ = f"{scheme.mechanism.value} signs the message itself; give data"
            raise InvalidRequestError.of("digest", words_)
        check_input(key.type, scheme, digest, "digest")
        return scheme, digest
    if len(data) > DATA_MAX:
        raise InvalidRequestError.of("data", f"data has at most {DATA_MAX} bytes; hash it yourself and give digest")
    if not scheme.hashes_first:
        return scheme, data
    assert scheme.hash is not None  # noqa: S101 - it hashes first
    return scheme, hashlib.new(scheme.hash.python_name, data).digest()


def _scheme(key: Key, words: Words, *, hashed_here: bool) -> Scheme:
    return scheme_for(
        key.type,
        mechanism=words.mechanism,
        hash_=words.hash,
        salt_length=words.salt_length,
        mgf_hash=words.mgf_hash,
        encoding=words.encoding,
        context=words.context,
        length=words.length,
        hashed_here=hashed_here,
    )


def _check_batch(key: Key, scheme: Scheme, digests: Sequence[bytes]) -> None:
    if not 1 <= len(digests) <= BATCH_MAX:
        raise InvalidRequestError.of("digests", f"a batch has 1 to {BATCH_MAX} digests, not {len(digests)}")
    errors: list[FieldError] = []
    for index, digest in enumerate(digests):
        try:
            check_input(key.type, scheme, digest, f"digests[{index}]")
        except InvalidRequestError as error:
            errors.extend(error.errors)
    if errors:
        raise InvalidRequestError(*errors)


def _events(
    appliance: Appliance, caller: Caller, act: Act, inputs: Sequence[bytes], made: frames.Signatures
) -> list[Event]:
    """Give the event of each signature, with the keeper's number for it."""
    event, user = act.event, caller.user.name
    return [
        event(appliance, user, Outcome.DONE, input=hashlib.sha256(value).hexdigest(), keeper=made.keeper, use=use)
        for use, value in enumerate(inputs, made.first_use)
    ]
