"""Asking the keeper to use a key with a PIN, a ticket or neither; wrong PINs are counted before anybody is told."""

import asyncio
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec

from privyseal.access.attempts import pin_limits, pin_subjects
from privyseal.errors import PINIncorrectError, StaleDecisionError, UnavailableError
from privyseal.keeper.client import KeyUnknownError, RecordDamagedError, UncountedError, WrongPINError
from privyseal.model.mechanisms import Scheme
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.attempt import Trial, attempt
from privyseal.operations.perform import Caller
from privyseal.store import keys
from privyseal.store.store import Store
from privyseal.wire import frames, names

_Answer = TypeVar("_Answer", bound=frames.Answer)
Proof: TypeAlias = frames.PINProof | frames.TicketProof | None
"""What the keeper opens a key with."""
_Using: TypeAlias = (
    frames.Sign | frames.Apply | frames.ChangePolicy | frames.Rotate | frames.Export | frames.Wrap | frames.Unwrap
)


Opened: TypeAlias = tuple[KnownKey, ...]
"""The keys that one proof has to open."""


class Secret(msgspec.Struct, frozen=True):
    """What a request brings to use a key: at most one of PIN and ticket."""

    pin: str | None = None
    ticket: str | None = None

    def __repr__(self) -> str:
        """Show nothing."""
        return "Secret(…)"


NO_SECRET = Secret()


async def signatures(
    appliance: Appliance,
    caller: Caller,
    known: KnownKey,
    scheme: Scheme,
    inputs: tuple[bytes, ...],
    secret: Secret,
    *,
    data: bool = False,
    counter: bytes | None = None,
) -> frames.Signatures:
    """Sign every input; raises as `use` does.

    Args:
        data: whether the inputs are data that the keeper hashes.
        counter: the sealed count of uses, for a key that has one.
    """

    def request(proof: Proof) -> frames.Sign:
        return _sign(caller, known, scheme, inputs, proof, data=data, counter=counter)

    return await use(appliance, caller, known, secret, request, frames.Signatures)


async def use(
    appliance: Appliance,
    caller: Caller,
    known: KnownKey,
    secret: Secret,
    request: Callable[[Proof], _Using],
    expected: type[_Answer],
    also: KnownKey | None = None,
) -> _Answer:
    """Ask the keeper for something that the key's PIN guards.

    Args:
        request: makes the request for a proof; it may be called twice.
        also: a second key that the same PIN or ticket has to open; a wrong PIN counts for both.

    Raises:
        The PIN errors, ApplianceLockedError, AccessRefusedError, UnavailableError, InvalidRequestError,
        StaleDecisionError
    """
    opened = (known,) if also is None else (known, also)
    if secret.pin is None or not any(one.key.has_pin for one in opened):
        proof = None if secret.ticket is None else frames.TicketProof(secret.ticket)
        return await _ask(appliance, opened, request(proof), expected)
    names.pin(secret.pin)
    core = caller.snapshot.cores[known.key.core]
    salt = core.pin_salt
    places = [pin_subjects(caller.user.name, one.key.core, one.key.id) for one in opened if one.key.has_pin]
    subjects = tuple(dict.fromkeys(subject for place in places for subject in place))
    if caller.snapshot.guarded.isdisjoint(subjects):
        try:
            return await _ask(appliance, opened, request(frames.PINProof(secret.pin, salt, counted=False)), expected)
        except UncountedError:  # a PIN that the keeper does not recognise for this key
            pass
    if await appliance.current() is not caller.snapshot:  # no attempt is counted against a PIN that was changed
        raise StaleDecisionError("rules, users or keys have changed")
    counted = request(frames.PINProof(secret.pin, salt, counted=True))
    async with attempt(appliance, subjects, pin_limits(core)) as trial:
        return await _tried(appliance, opened, trial, counted, expected)


async def _tried(
    appliance: Appliance, opened: Opened, trial: Trial, request: _Using, expected: type[_Answer]
) -> _Answer:
    try:
        return await _ask(appliance, opened, request, expected)
    except WrongPINError:
        await trial.failed()
        labels = " and key ".join(f"'{one.key.label}'" for one in opened if one.key.has_pin)
        raise PINIncorrectError(
            f"the PIN does not fit key {labels} in core {opened[0].key.core}; {trial.attempts_left} attempts are left",
            trial.attempts_left,
        ) from None


async def _ask(appliance: Appliance, opened: Opened, request: _Using, expected: type[_Answer]) -> _Answer:
    try:
        return await appliance.keeper.ask(request, expected)
    except KeyUnknownError:
        with_record = msgspec.structs.replace(request, record=opened[0].record)
        return await _ask_with_record(appliance, opened, with_record, expected)
    except RecordDamagedError as error:  # the record came along already
        raise await _damaged(appliance, opened, error) from error


async def _ask_with_record(appliance: Appliance, opened: Opened, request: _Using, expected: type[_Answer]) -> _Answer:
    """Ask with the record. One that does not open may be from before the domain key was rotated: then look anew."""
    try:
        return await appliance.keeper.ask(request, expected)
    except RecordDamagedError as error:
        raise await _damaged(appliance, opened, error) from error


async def _damaged(appliance: Appliance, opened: Opened, error: RecordDamagedError) -> Exception:
    if await asyncio.to_thread(_are_stored, appliance.store, opened):
        return UnavailableError(str(error))
    return StaleDecisionError("the domain key was rotated")


def _are_stored(store: Store, opened: Opened) -> bool:
    with store.read() as connection:
        stored = [keys.by_id(connection, known.key.core, known.key.id) for known in opened]
    return all(key is not None and key.sealed == known.key.sealed for key, known in zip(stored, opened, strict=True))


def _sign(
    caller: Caller,
    known: KnownKey,
    scheme: Scheme,
    inputs: tuple[bytes, ...],
    proof: Proof,
    *,
    data: bool,
    counter: bytes | None,
) -> frames.Sign:
    return frames.Sign(
        seal=known.seal,
        user=caller.user.name,
        core=known.key.core,
        mechanism=scheme.mechanism.value,
        hash=scheme.hash.value if scheme.hash else None,
        salt_length=scheme.salt_length,
        mgf_hash=scheme.mgf_hash.value if scheme.mgf_hash else None,
        encoding=scheme.encoding.value,
        inputs=inputs,
        proof=proof,
        record=None,
        data=data,
        counter=counter,
        context=scheme.context,
        mu=scheme.mu,
        length=scheme.length,
    )
