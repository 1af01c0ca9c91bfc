"""Let a key out, wrapped: one that was made exportable, for who has a rule for just that, and with its PIN."""

import asyncio
import hashlib
from dataclasses import dataclass

from privyseal.errors import StaleDecisionError
from privyseal.model.access import Operation
from privyseal.model.event import Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.approve import Wanted, approved
from privyseal.operations.approve import use as use_approval
from privyseal.operations.find_key import find_key
from privyseal.operations.find_version import require_usable
from privyseal.operations.perform import Act, Caller
from privyseal.operations.use_pin import Secret, use
from privyseal.store import events
from privyseal.store.store import generation
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

    def request(proof: frames.PINProof | frames.TicketProof | None) -> frames.Export:
        return frames.Export(caller.user.name, known.key.core, proof, known.record, public_key)

    reason = f"wrapped to public key sha256:{hashlib.sha256(public_key).hexdigest()}"
    quorum = caller.snapshot.quorum("key:export", known.key.core, known.key.id)
    approval = await approved(appliance, caller, act, quorum, Wanted((known.key.version, reason), reason))
    answer = await use(appliance, caller, known, secret, request, frames.Exported)
    done = act.event(appliance, caller.user.name, Outcome.DONE, reason=reason)

    def record() -> int:
        with appliance.store.write() as connection:
            if generation(connection) != caller.snapshot.generation:
                raise StaleDecisionError("rules, users or keys have changed")
            use_approval(connection, approval)
            return events.append(connection, [done])

    return Exported(answer.wrapped, await asyncio.to_thread(record))
