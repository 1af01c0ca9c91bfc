"""Everything that can go wrong for somebody who talks to an appliance.

`ClientError` is the base and is never raised itself. What the appliance refuses comes as the class whose `type` is the
last part of its problem document's URN (docs/reference/rest.md, section Errors); a type that this version does not know
becomes `OtherProblemError`. No message here ever contains a password, a PIN or a ticket.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

PROBLEM = "urn:privyseal:problem:"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request body, for example `body.digest`, and what is wrong with it."""

    field: str
    message: str


class ClientError(Exception):
    """The base of all errors of this package.

    Attributes:
        type: what went wrong as a stable word, for example `pin-incorrect`.
        detail: what went wrong as a sentence, and often what to do next.
        status: the HTTP status, None where no answer came.
        event: the number under which the appliance recorded the refusal.
        missing_rule: the command that would create the access rule which is missing.
        errors: every wrong field of the request.
        approval: the number of the request that waits for approval.
        attempts_left: how many wrong PINs are still allowed.
        retry_after: how long to wait before the next attempt, in seconds.
    """

    type: ClassVar[str] = "error"

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        event: int | None = None,
        missing_rule: str | None = None,
        errors: tuple[FieldError, ...] = (),
        approval: int | None = None,
        attempts_left: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.event = event
        self.missing_rule = missing_rule
        self.errors = errors
        self.approval = approval
        self.attempts_left = attempts_left
        self.retry_after = retry_after


class ConfigurationError(ClientError):
    """The configuration cannot be used; the message names file, line and key where there is one."""

    type = "configuration"


class UnreachableError(ClientError):
    """No appliance answered at any of the configured URLs."""

    type = "unreachable"


class TimedOutError(UnreachableError):
    """The appliance was reached but did not answer in time."""

    type = "timed-out"


class CertificateError(ClientError):
    """The server's certificate is not one that this host was told to trust."""

    type = "certificate"


class UnexpectedAnswerError(ClientError):
    """Something answered, but not as docs/reference/rest.md says: perhaps it is no Privyseal."""

    type = "unexpected-answer"


class InvalidSignatureError(ClientError):
    """The signature does not fit the key and the data."""

    type = "invalid-signature"


class InvalidInputError(ClientError):
    """What the caller asks for cannot be right, found before anything was sent."""

    type = "invalid-input"


class MalformedJSONError(ClientError):
    """The appliance could not read the request as JSON."""

    type = "malformed-json"


class MalformedRequestError(ClientError):
    """The appliance could not read the request as HTTP."""

    type = "malformed-request"


class BodyCutShortError(ClientError):
    """The request's body ended before its length; it was not carried out."""

    type = "body-cut-short"


class UnauthenticatedError(ClientError):
    """No or a wrong user name or password."""

    type = "unauthenticated"


class AccessRefusedError(ClientError):
    """No access rule allows it; `missing_rule` has the command that would."""

    type = "access-refused"


class ApprovalNeededError(ClientError):
    """Others have to agree first; `approval` is the number of the request that waits for them."""

    type = "approval-needed"


class PINRequiredError(ClientError):
    """The key has a PIN and none came with the request."""

    type = "pin-required"


class PINIncorrectError(ClientError):
    """The PIN does not fit the key; `attempts_left` says how often it may be tried."""

    type = "pin-incorrect"


class TicketInvalidError(ClientError):
    """The ticket has expired or was ended: log in to the core again."""

    type = "ticket-invalid"


class NotFoundError(ClientError):
    """No such path, user, rule or core."""

    type = "not-found"


class KeyNotFoundError(ClientError):
    """No such key, or none that this user may know of."""

    type = "key-not-found"


class MethodNotAllowedError(ClientError):
    """This path has no such verb; client and appliance are probably of different versions."""

    type = "method-not-allowed"


class RequestTimedOutError(ClientError):
    """The request took too long to arrive."""

    type = "request-timeout"


class ConflictError(ClientError):
    """The label or name is taken, or the core is not empty."""

    type = "conflict"


class PreconditionFailedError(ClientError):
    """Somebody else changed it meanwhile."""

    type = "precondition-failed"


class BodyTooLargeError(ClientError):
    """The request is larger than the appliance accepts."""

    type = "body-too-large"


class IdempotencyKeyReusedError(ClientError):
    """The idempotency key came with another request before."""

    type = "idempotency-key-reused"


class InvalidBodyError(ClientError):
    """Fields of the request are unknown, missing or wrong; `errors` names every one."""

    type = "invalid-body"


class InvalidBackupError(ClientError):
    """The file is no backup of this appliance, is not whole, was altered, or its secret is another."""

    type = "invalid-backup"


class PINLockedError(ClientError):
    """Too many wrong PINs or passwords; an administrator unlocks it."""

    type = "pin-locked"


class TooManyAttemptsError(ClientError):
    """Wait `retry_after` seconds before the next attempt."""

    type = "too-many-attempts"


class HeadersTooLargeError(ClientError):
    """The request line and header fields are too long."""

    type = "headers-too-large"


class InternalError(ClientError):
    """The appliance failed unexpectedly; its record has the details under `event`."""

    type = "internal"


class ApplianceLockedError(ClientError):
    """The appliance is locked or not provisioned, so it holds no usable key at the moment."""

    type = "appliance-locked"


class NotProvisionedError(ClientError):
    """The appliance is empty: it has neither a domain key nor an administrator yet."""

    type = "not-provisioned"


class UnlockRefusedError(ClientError):
    """What was brought does not unlock the appliance; `detail` says which share has a typing mistake."""

    type = "unlock-refused"


class UnavailableError(ClientError):
    """The appliance is there but a part of it does not answer."""

    type = "unavailable"


class OtherProblemError(ClientError):
    """A problem that this version of the client does not know."""

    type = "other"


_BY_TYPE: dict[str, type[ClientError]] = {
    error.type: error
    for error in (
        MalformedJSONError,
        MalformedRequestError,
        BodyCutShortError,
        UnauthenticatedError,
        AccessRefusedError,
        ApprovalNeededError,
        PINRequiredError,
        PINIncorrectError,
        TicketInvalidError,
        NotFoundError,
        KeyNotFoundError,
        MethodNotAllowedError,
        RequestTimedOutError,
        ConflictError,
        PreconditionFailedError,
        BodyTooLargeError,
        IdempotencyKeyReusedError,
        InvalidBodyError,
        InvalidBackupError,
        PINLockedError,
        TooManyAttemptsError,
        HeadersTooLargeError,
        InternalError,
        ApplianceLockedError,
        NotProvisionedError,
        UnlockRefusedError,
        UnavailableError,
    )
}


def from_problem(document: Mapping[str, Any], status: int, retry_after: float | None = None) -> ClientError:
    """The exception for one RFC 9457 problem document. Members of a wrong type are ignored, not trusted."""
    error = _BY_TYPE.get(_text(document, "type", "").removeprefix(PROBLEM), OtherProblemError)
    return error(
        _text(document, "detail", "") or _text(document, "title", "") or f"the appliance answered {status}",
        status=status,
        event=_number(document, "event"),
        missing_rule=_text(document, "missing_rule", "") or None,
        errors=tuple(_field_errors(document.get("errors"))),
        approval=_number(document, "approval"),
        attempts_left=_number(document, "attempts_left"),
        retry_after=retry_after,
    )


def _text(document: Mapping[str, Any], name: str, default: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else default


def _number(document: Mapping[str, Any], name: str) -> int | None:
    value = document.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _field_errors(value: object) -> list[FieldError]:
    entries = value if isinstance(value, list) else []
    return [FieldError(_text(e, "field", "body"), _text(e, "message", "")) for e in entries if isinstance(e, dict)]
