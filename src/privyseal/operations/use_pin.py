"""Asking the keeper for signatures with a PIN, a ticket or neither; wrong PINs are counted before anybody is told."""

import asyncio

import msgspec

from privyseal.access.attempts import pin_subjects
from privyseal.errors import PINIncorrectError, StaleDecisionError, UnavailableError
from privyseal.keeper.client import KeyUnknownError, RecordDamagedError, UncountedError, WrongPINError
from privyseal.model.mechanisms import Scheme
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.attempt import attempt
from privyseal.operations.perform import Caller
from privyseal.store import keys
from privyseal.store.store import Store
from privyseal.wire import frames, names


class Secret(msgspec.Struct, frozen=True):
    """What a request brings to use a key: at most one of PIN and ticket."""

    pin: str | None = None
    ticket: str | None = None

    def __repr__(self) -> str:
        """Show nothing."""
        return "Secret(…)"


async def signatures(
    appliance: Appliance,
    caller: Caller,
    known: KnownKey,
    scheme: Scheme,
    inputs: tuple[bytes, ...],
    secret: Secret,
) -> tuple[bytes, ...]:
    """Sign every input; raises the PIN errors, ApplianceLockedError, UnavailableError or InvalidRequestError."""
    if secret.pin is None or not known.key.has_pin:
        proof = None if secret.ticket is None else frames.TicketProof(secret.ticket)
        return await _ask(appliance, known, _request(caller, known, scheme, inputs, proof))
    names.pin(secret.pin)
    salt = caller.snapshot.cores[known.key.core].pin_salt
    subjects = pin_subjects(caller.user.name, known.key.core, known.key.id)
    if caller.snapshot.guarded.isdisjoint(subjects):
        try:
            request = _request(caller, known, scheme, inputs, frames.PINProof(secret.pin, salt, counted=False))
            return await _ask(appliance, known, request)
        except UncountedError:  # a PIN that the keeper does not recognise for this key
            pass
    request = _request(caller, known, scheme, inputs, frames.PINProof(secret.pin, salt, counted=True))
    return await _counted(appliance, known, subjects, request)


async def _counted(
    appliance: Appliance, known: KnownKey, subjects: tuple[str, ...], request: frames.Sign
) -> tuple[bytes, ...]:
    async with attempt(appliance, subjects, appliance.pin_limits) as trial:
        try:
            return await _ask(appliance, known, request)
        except WrongPINError:
            await trial.failed()
            raise PINIncorrectError(
                f"the PIN does not fit key '{known.key.label}' in core {known.key.core}; "
                f"{trial.attempts_left} attempts are left",
                trial.attempts_left,
            ) from None


async def _ask(appliance: Appliance, known: KnownKey, request: frames.Sign) -> tuple[bytes, ...]:
    try:
        answer = await appliance.keeper.ask(request, frames.Signatures)
    except KeyUnknownError:
        answer = await _ask_with_record(appliance, known, request)
    return answer.values


async def _ask_with_record(appliance: Appliance, known: KnownKey, request: frames.Sign) -> frames.Signatures:
    """Send the record along. One that does not open may be from before the domain key was rotated: then look anew."""
    try:
        return await appliance.keeper.ask(msgspec.structs.replace(request, record=known.record), frames.Signatures)
    except RecordDamagedError as error:
        if await asyncio.to_thread(_is_stored, appliance.store, known):
            raise UnavailableError(str(error)) from error
        raise StaleDecisionError("the domain key was rotated") from error


def _is_stored(store: Store, known: KnownKey) -> bool:
    with store.read() as connection:
        stored = keys.by_id(connection, known.key.core, known.key.id)
    return stored is not None and stored.sealed == known.key.sealed


def _request(
    caller: Caller,
    known: KnownKey,
    scheme: Scheme,
    inputs: tuple[bytes, ...],
    proof: frames.PINProof | frames.TicketProof | None,
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
    )
