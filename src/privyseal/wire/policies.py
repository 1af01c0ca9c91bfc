"""A key's policy between JSON and the keeper's frames.

Fields that a request leaves out stay as they are; null takes a limit away. `pin` and `origin` belong to the key's
birth: they are shown and never taken.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from privyseal.errors import FieldError, InvalidRequestError
from privyseal.model.keys import KeyType, Use
from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.wire.frames import EVERY_OPERATION, Policy

USES_MAX = 2**53 - 1  # what every reader of JSON keeps exactly
EVERYTHING = Policy((), pin=False, operations=EVERY_OPERATION)
"""The policy of a key that nobody restricts, before the keeper puts in what its type can do."""
_TIME_MAX = 253402300799
_TIMES = ("not_before", "not_after")


def document(policy: Policy) -> dict[str, Any]:
    """Write a policy as JSON; hashes null means that all are allowed, and raw inputs without one."""
    return {
        "operations": list(policy.operations),
        "mechanisms": list(policy.mechanisms),
        "hashes": None if policy.hashes is None else list(policy.hashes),
        "not_before": _time(policy.not_before),
        "not_after": _time(policy.not_after),
        "max_uses": policy.max_uses,
        "raw_digest": policy.raw_digest,
        "pin": policy.pin,
        "exportable": policy.exportable,
        "sign_with_old_versions": policy.sign_with_old_versions,
    }


def changed(policy: Policy, values: Mapping[str, Any], key_type: KeyType | None) -> Policy:
    """Give a policy with some fields changed; raises InvalidRequestError with every field that is wrong.

    Args:
        policy: what to start from.
        values: by field; mechanisms and hashes as `Mechanism` and `Hash`, times as aware datetimes.
        key_type: None when it is not known yet, for a key that comes from elsewhere: then the keeper checks.
    """
    new = msgspec.structs.replace(policy, **{name: _plain(name, value) for name, value in values.items()})
    errors = [*_word_errors(new, key_type), *_limit_errors(new)]
    if errors:
        raise InvalidRequestError(*errors)
    return new


def difference(old: Policy, new: Policy) -> str:
    """Say in words what changes from one policy to the other."""
    before, after = document(old), document(new)
    changes = [f"{name} {_word(before[name])} -> {_word(after[name])}" for name in after if before[name] != after[name]]
    return ", ".join(changes) or "nothing"


def _plain(name: str, value: Any) -> Any:
    if name in ("mechanisms", "hashes", "operations"):
        words = tuple(one.value if isinstance(one, Mechanism | Hash) else one for one in value or ())
        return None if name == "hashes" and value is None else words
    return int(value.timestamp()) if isinstance(value, datetime) else value


def _word_errors(policy: Policy, key_type: KeyType | None) -> list[FieldError]:
    errors = []
    if key_type is not None and not {one.value for one in key_type.mechanisms}.issuperset(policy.mechanisms):
        fitting = ", ".join(one.value for one in key_type.mechanisms)
        errors.append(FieldError("body.policy.mechanisms", f"with a key of type {key_type.value} go {fitting}"))
    if policy.hashes is not None and key_type is not None and not key_type.hashes:
        words = f"a key of type {key_type.value} takes no hash; leave hashes out"
        errors.append(FieldError("body.policy.hashes", words))
    if policy.hashes == ():
        errors.append(FieldError("body.policy.hashes", "name one or more, or null for all"))
    uses = [one.value for one in (Use if key_type is None else key_type.uses)]
    if policy.operations != EVERY_OPERATION and not set(policy.operations) <= set(uses):
        errors.append(FieldError("body.policy.operations", f"there is only {', '.join(uses)}"))
    return errors


def _limit_errors(policy: Policy) -> list[FieldError]:
    errors = [
        FieldError(f"body.policy.{name}", "this is a time from 1970 to 9999, or null for no limit")
        for name, time in zip(_TIMES, (policy.not_before, policy.not_after), strict=True)
        if time is not None and not 0 <= time <= _TIME_MAX
    ]
    if policy.max_uses is not None and not 1 <= policy.max_uses <= USES_MAX:
        errors.append(FieldError("body.policy.max_uses", f"this is 1 to {USES_MAX}, or null for no limit"))
    if policy.not_before is not None and policy.not_after is not None and policy.not_before > policy.not_after:
        errors.append(FieldError("body.policy.not_after", "this is before not_before"))
    return errors


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _word(value: Any) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list():
            return "+".join(value) or "none"
        case _:
            return str(value)
