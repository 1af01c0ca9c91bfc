"""Everything that can go wrong, in one short tree. Nothing here knows of HTTP: `rest/problems.py` has that table.

Every message is for the person who reads it: what happened, and what to do next. No message holds a secret.
"""

from dataclasses import dataclass

from privyseal.model.access import Decision


class PrivysealError(Exception):
    """The base of all our errors; never raised itself. `event` is the number under which it was recorded."""

    event: int | None = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: its path (`body.digest`) and what is wrong with it."""

    field: str
    message: str


class InvalidRequestError(PrivysealError):
    """The request does not say what can be done; every wrong field is named."""

    MOST = 100
    """So many are named: whoever is nobody yet could have a long answer made of a short request."""

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors[: self.MOST]))
        self.errors = errors[: self.MOST]

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidRequestError":
        """Make the error for a single field of the body."""
        return cls(FieldError(f"body.{field}", message))


class MalformedJSONError(PrivysealError):
    """The body is not JSON; the message has the position."""


class BodyTooLargeError(PrivysealError):
    """The body is longer than the limit."""


class BodyCutShortError(PrivysealError):
    """The connection ended before the body did; what came of it is not what was meant."""


class UnauthenticatedError(PrivysealError):
    """No user, an unknown one or a wrong password: the three are not told apart."""


class AccessRefusedError(PrivysealError):
    """The decision was no; its reason and the missing rule come along."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.reason)
        self.decision = decision


class ApprovalNeededError(PrivysealError):
    """Several people have to agree first; `approval` is the number of the request that waits for them."""

    def __init__(self, message: str, approval: int) -> None:
        super().__init__(message)
        self.approval = approval


class PINError(PrivysealError):
    """A PIN was needed and did not do."""


class PINRequiredError(PINError):
    """The key has a PIN and the request has neither PIN nor ticket."""


class PINIncorrectError(PINError):
    """The PIN does not fit."""

    def __init__(self, message: str, attempts_left: int) -> None:
        super().__init__(message)
        self.attempts_left = attempts_left


class TicketInvalidError(PINError):
    """The ticket has expired, was ended or belongs elsewhere."""


class SecretLockedError(PrivysealError):
    """Too many wrong PINs or passwords; an administrator has to unlock it."""


class TooManyAttemptsError(PrivysealError):
    """The next attempt has to wait."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotFoundError(PrivysealError):
    """No such core, user, rule or path."""


class KeyNotFoundError(PrivysealError):
    """No such key, or none that the caller may know of."""

    def __init__(self, message: str, missing_rule: str | None = None) -> None:
        super().__init__(message)
        self.missing_rule = missing_rule


class ConflictError(PrivysealError):
    """The name is taken, or the thing is in use."""


class ApplianceLockedError(PrivysealError):
    """The appliance has no domain key in memory: somebody has to unlock it."""


class NotProvisionedError(PrivysealError):
    """The appliance is empty: it has neither a domain key nor an administrator yet."""


class UnlockRefusedError(PrivysealError):
    """What was brought opens no unlock slot."""


class UnavailableError(PrivysealError):
    """A part of the appliance does not answer; a retry may help."""


class StaleDecisionError(PrivysealError):
    """Rules, users or keys changed between the decision and the record; decide again. Never leaves `operations`."""


class AnsweredBeforeError(PrivysealError):
    """The same request was carried out before; this is its answer."""

    def __init__(self, status: int, answer: bytes) -> None:
        super().__init__("this request was answered before")
        self.status = status
        self.answer = answer


class IdempotencyKeyReusedError(PrivysealError):
    """The idempotency key came with another request before."""


class InvalidSignatureError(PrivysealError):
    """The signature does not verify."""


class InvalidBackupError(PrivysealError):
    """The file is no backup, is not whole, was altered, or its secret is another."""


class ConfigurationError(PrivysealError):
    """The appliance cannot start as it was asked to."""
