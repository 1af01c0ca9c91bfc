"""A key's policy: which one a key may have, and whether it allows a use now. It is sealed with the key.

Times are compared with the keeper's own clock, never with one that came in a request.
"""

import hashlib
import time
from datetime import UTC, datetime

import msgspec

from privyseal.keeper.refused import RefusedError
from privyseal.model.keys import KeyType, Use
from privyseal.model.mechanisms import MESSAGE_MECHANISMS, Hash, Mechanism
from privyseal.wire import frames
from privyseal.wire.frames import Parameters, Policy, Sign

GENERATED, IMPORTED = "generated", "imported"
SIGN = Use.SIGN.value


def at_birth(key_type: KeyType, wanted: Policy | None, *, pin: bool, origin: str) -> Policy:
    """Give the policy of a new key: what is wanted, with what only the keeper may say. Raises RefusedError."""
    policy = wanted or Policy((), pin, frames.EVERY_OPERATION)
    if not policy.mechanisms:
        policy = msgspec.structs.replace(policy, mechanisms=tuple(one.value for one in key_type.mechanisms))
    return _checked(key_type, msgspec.structs.replace(policy, pin=pin, origin=origin))


def changed(key_type: KeyType, old: Policy, wanted: Policy) -> Policy:
    """Give the policy that follows another: PIN and origin stay, and a key that may not leave never may."""
    if wanted.exportable and not old.exportable:
        raise RefusedError(frames.WANTED_POLICY, "a key is made exportable when it is made, or never")
    return _checked(key_type, msgspec.structs.replace(wanted, pin=old.pin, origin=old.origin))


def with_pin(policy: Policy) -> Policy:
    """Give the same policy for a version that gets a PIN."""
    return msgspec.structs.replace(policy, pin=True)


def restricts(policy: Policy) -> bool:
    """Say whether signing asks for more than an allowed mechanism, so that most keys skip those checks."""
    plain = Policy(policy.mechanisms, policy.pin, origin=policy.origin, exportable=policy.exportable)
    operations = plain.operations if SIGN in policy.operations else policy.operations
    return msgspec.structs.replace(policy, sign_with_old_versions=False, operations=operations) != plain


def mechanisms_for(policy: Policy, key_type: KeyType, use: Use) -> frozenset[str]:
    """Give the mechanisms that a key may use for one thing: of those of its type, what its policy allows."""
    return frozenset(one.value for one in key_type.mechanisms_for(use)).intersection(policy.mechanisms)


def check_use(policy: Policy, key_type: KeyType, use: Use, mechanism: str, parameters: Parameters) -> None:
    """Refuse what a policy does not allow beside signing. Uses are counted elsewhere."""
    if use.value not in policy.operations:
        raise RefusedError(frames.POLICY, f"the key's policy does not allow to {use.value}")
    if mechanism not in mechanisms_for(policy, key_type, use):
        raise RefusedError(frames.POLICY, f"the key's policy does not allow {mechanism} to {use.value}")
    named = {parameters.hash, parameters.mgf_hash} - {None}
    if policy.hashes is not None and not named.issubset(policy.hashes):
        raise RefusedError(frames.POLICY, f"the key's policy allows no other hash than {', '.join(policy.hashes)}")
    check_time(policy)


def check_time(policy: Policy) -> None:
    """Refuse a key before and after its time."""
    now = time.time()
    if policy.not_before is not None and now < policy.not_before:
        raise RefusedError(frames.POLICY, f"the key's policy does not allow it before {_date(policy.not_before)}")
    if policy.not_after is not None and now > policy.not_after:
        raise RefusedError(frames.POLICY, f"the key's policy does not allow it after {_date(policy.not_after)}")


def check_restrictions(policy: Policy, request: Sign) -> None:
    """Refuse what a policy of more than mechanisms does not allow. Uses are counted elsewhere."""
    if SIGN not in policy.operations:
        raise RefusedError(frames.POLICY, "the key's policy does not allow to sign")
    if policy.hashes is not None and request.hash not in policy.hashes:
        used = request.hash or "an input without a named hash"
        raise RefusedError(frames.POLICY, f"the key's policy does not allow {used}; use {', '.join(policy.hashes)}")
    if not policy.raw_digest and not _brings_data(request):
        raise RefusedError(
            frames.POLICY, "the key's policy wants the data itself, which the appliance hashes; a digest is refused"
        )
    check_time(policy)


def _brings_data(request: Sign) -> bool:
    """Say whether the keeper sees all that is signed: data that it hashes, or the message itself."""
    if request.hash is not None and request.mechanism != Mechanism.HMAC.value:
        return request.data
    return Mechanism(request.mechanism) in MESSAGE_MECHANISMS and not request.mu


def digests(request: Sign) -> tuple[bytes, ...]:
    """Give what goes into the mechanism: the inputs, hashed here when they are data."""
    if not request.data or request.hash is None or request.mechanism == Mechanism.HMAC.value:
        return request.inputs
    name = Hash(request.hash).python_name
    return tuple(hashlib.new(name, data).digest() for data in request.inputs)


def _checked(key_type: KeyType, policy: Policy) -> Policy:
    if policy.operations == frames.EVERY_OPERATION:
        policy = msgspec.structs.replace(policy, operations=tuple(one.value for one in key_type.uses))
    fitting = {mechanism.value for mechanism in key_type.mechanisms}
    if not policy.mechanisms or not fitting.issuperset(policy.mechanisms):
        raise RefusedError(
            frames.WANTED_POLICY, f"a policy for {key_type.value} names one or more of {', '.join(fitting)}"
        )
    uses = [one.value for one in key_type.uses]
    if not set(policy.operations) <= set(uses):
        raise RefusedError(frames.WANTED_POLICY, f"a policy for {key_type.value} allows {', '.join(uses)} and no more")
    if policy.hashes is not None and not (policy.hashes and key_type.hashes):
        raise RefusedError(
            frames.WANTED_POLICY, "a policy's hashes are one or more, and keys that hash by themselves have none"
        )
    return policy


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
