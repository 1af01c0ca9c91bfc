"""Asking the keeper for signatures with a PIN, a ticket or neither; wrong PINs are counted before anybody is told."""

import msgspec

from privyseal.access.attempts import pin_subjects
from privyseal.errors import PINIncorrectError
from privyseal.keeper.client import KeyUnknownError, UncountedError, WrongPINError
from privyseal.model.mechanisms import Scheme
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.attempt import attempt
from privyseal.operations.perform import Caller
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
) -> frames.Signatures:
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
) -> frames.Signatures:
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


async def _ask(appliance: Appliance, known: KnownKey, request: frames.Sign) -> frames.Signatures:
    try:
        answer = await appliance.keeper.ask(request, frames.Signatures)
    except KeyUnknownError:
        with_record = msgspec.structs.replace(request, record=known.record)
        answer = await appliance.keeper.ask(with_record, frames.Signatures)
    return answer


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
