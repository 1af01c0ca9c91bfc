"""Let a key out, wrapped: one that was made exportable, for who has a rule for just that, and with its PIN."""

import hashlib
from dataclasses import dataclass

from privyseal.model.access import Operation
from privyseal.model.event import Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.approve import Wanted, approved, record
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import require_usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Proof, Secret, use
from privyseal.wire import frames


@dataclass(frozen=True, slots=True)
class Exported:
    """A wrapped key and the event that says to whom it went."""

    wrapped: bytes
    event: int


async def export_key(
    appliance: Appliance, caller: Caller, act: Act, place: tuple[str, str], public_key: bytes, secret: Secret
) -> Exported:
    """Wrap a key's current version to an RSA public key (DER, SubjectPublicKeyInfo).

    Raises:
        InvalidRequestError: it is no RSA public key of 3072 bits or more.
        AccessRefusedError: no rule, or the key's policy, allows it.
        NotFoundError, KeyNotFoundError, the PIN errors, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    known = await find_key(appliance, caller, act, *place, Operation.KEY_EXPORT)
    require_usable(known)
    fingerprint = hashlib.sha256(public_key).hexdigest()
    reason = f"version {known.key.version} wrapped to public key sha256:{fingerprint}"
    quorum = caller.snapshot.quorum(act.operation, act.core, act.key)
    approval = await approved(appliance, caller, act, quorum, Wanted((reason,), reason))

    def request(proof: Proof) -> frames.Export:
        return frames.Export(caller.user.name, known.key.core, proof, known.record, public_key)

    answer = await use(appliance, caller, known, secret, request, frames.Exported)
    done = act.event(appliance, caller.user.name, Outcome.DONE, reason=reason)

    def exported(number: int) -> Exported:
        return Exported(answer.wrapped, number)

    return exported(await record(appliance, caller, act, [done], approval, exported))
