"""From our errors to RFC 9457 problem documents: the one table of status, type and title.

What is not in the table becomes a plain 500 without a word of what happened.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from privyseal import errors
from privyseal.errors import PrivysealError

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:privyseal:problem:"
_log = logging.getLogger("privyseal.rest")


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document with its status and headers."""

    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str]


_TABLE: dict[type[PrivysealError], tuple[str, int, str]] = {
    errors.MalformedJSONError: ("malformed-json", 400, "The body is not JSON"),
    errors.BodyCutShortError: ("body-cut-short", 400, "The body ended too early"),
    errors.UnauthenticatedError: ("unauthenticated", 401, "Log in first"),
    errors.AccessRefusedError: ("access-refused", 403, "You may not do this"),
    errors.ApprovalNeededError: ("approval-needed", 403, "Others have to agree first"),
    errors.PINRequiredError: ("pin-required", 403, "The key has a PIN"),
    errors.PINIncorrectError: ("pin-incorrect", 403, "The PIN is not right"),
    errors.TicketInvalidError: ("ticket-invalid", 403, "The ticket does not work any more"),
    errors.NotFoundError: ("not-found", 404, "There is no such thing"),
    errors.KeyNotFoundError: ("key-not-found", 404, "There is no such key"),
    errors.ConflictError: ("conflict", 409, "It conflicts with what is there"),
    errors.InvalidBackupError: ("invalid-backup", 422, "The backup cannot be used"),
    errors.BodyTooLargeError: ("body-too-large", 413, "The body is too large"),
    errors.IdempotencyKeyReusedError: ("idempotency-key-reused", 422, "The idempotency key belongs to another request"),
    errors.InvalidRequestError: ("invalid-body", 422, "The request has wrong fields"),
    errors.SecretLockedError: ("pin-locked", 423, "Too many wrong PINs"),
    errors.TooManyAttemptsError: ("too-many-attempts", 429, "Wait before the next attempt"),
    errors.UnlockRefusedError: ("unlock-refused", 403, "This does not unlock the appliance"),
    errors.NotProvisionedError: ("not-provisioned", 503, "The appliance is not provisioned"),
    errors.ApplianceLockedError: ("appliance-locked", 503, "The appliance is locked"),
    errors.UnavailableError: ("unavailable", 503, "A part of the appliance does not answer"),
}
_RETRY_SECONDS = "1"


def problem_of(error: Exception) -> Problem:
    """Give the problem document of an error; an unknown one is logged here and told to nobody."""
    row = _TABLE.get(type(error)) if isinstance(error, PrivysealError) else None
    if row is None or not isinstance(error, PrivysealError):
        _log.error("unexpected %s", type(error).__name__, exc_info=error)
        return plain(500, "internal", "Something went wrong inside the appliance")
    name, status, title = row
    document = {"type": _PREFIX + name, "title": title, "status": status, "detail": str(error)}
    if error.event is not None:
        document["event"] = error.event
    document |= _more(error)
    return Problem(status, document, _headers(error))


def plain(status: int, name: str, title: str) -> Problem:
    """Give a problem document that stands for no error of ours."""
    return Problem(status, {"type": _PREFIX + name, "title": title, "status": status}, {})


def other_method(allowed: Iterable[str]) -> Problem:
    """Give the problem document for a path that has other methods: these (RFC 9110, section 15.5.6)."""
    problem = plain(405, "method-not-allowed", "This path has other methods")
    return replace(problem, headers={"Allow": ", ".join(allowed)})


def _more(error: PrivysealError) -> dict[str, Any]:
    match error:
        case errors.InvalidRequestError():
            return {"errors": [{"field": one.field, "message": one.message} for one in error.errors]}
        case errors.AccessRefusedError() if error.decision.missing_rule:
            return {"missing_rule": error.decision.missing_rule}
        case errors.KeyNotFoundError() if error.missing_rule:
            return {"missing_rule": error.missing_rule}
        case errors.ApprovalNeededError():
            return {"approval": error.approval}
        case errors.PINIncorrectError():
            return {"attempts_left": error.attempts_left}
        case _:
            return {}


def _headers(error: PrivysealError) -> dict[str, str]:
    match error:
        case errors.UnauthenticatedError():
            return {"WWW-Authenticate": 'Basic realm="Privyseal", charset="UTF-8", Bearer realm="Privyseal"'}
        case errors.TooManyAttemptsError():
            return {"Retry-After": str(error.retry_after)}
        case errors.UnavailableError():
            return {"Retry-After": _RETRY_SECONDS}
        case _:
            return {}
