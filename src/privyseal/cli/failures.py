"""One table from what can go wrong to exit status and hint."""

import re

import click

from privyseal.cli.words import fail, printable
from privyseal.client import errors

REFUSED = 5
LOCKED = 4
DOES_NOT_VERIFY = 3

_WHERE = re.compile(r"^(body|query)\.")  # of a REST request, which nobody wrote who typed a command
_STATUS: dict[type[Exception], int] = {
    errors.AccessRefusedError: REFUSED,
    errors.ApplianceLockedError: LOCKED,
    errors.ApprovalNeededError: REFUSED,
    errors.NotProvisionedError: LOCKED,
    errors.UnlockRefusedError: REFUSED,
    errors.InvalidSignatureError: DOES_NOT_VERIFY,
    errors.KeyNotFoundError: REFUSED,
    errors.PINIncorrectError: REFUSED,
    errors.PINLockedError: REFUSED,
    errors.PINRequiredError: REFUSED,
    errors.TicketInvalidError: REFUSED,
    errors.TooManyAttemptsError: REFUSED,
    errors.UnauthenticatedError: REFUSED,
}
_HINTS: dict[type[Exception], str] = {
    errors.ApplianceLockedError: "privyseal unlock; privyseal state says when it is operational",
    errors.NotProvisionedError: "privyseal provision",
    errors.CertificateError: "--ca-file FILE, with the appliance's DIR/tls/ca.pem",
    errors.PINRequiredError: "--pin-file FILE, or - to read the PIN from stdin",
    errors.UnauthenticatedError: "check --user and --password-file, or PRIVYSEAL_USER and PRIVYSEAL_PASSWORD_FILE",
    errors.UnexpectedAnswerError: "check the URL; an appliance prints its own when it is ready",
    errors.UnreachableError: "check the URL, and that the appliance runs",
}


def report(error: errors.ClientError | OSError, user: str | None = None) -> int:
    """Say what went wrong and what to type next.

    Args:
        error: what a command raised.
        user: who was asking.

    Returns:
        The exit status.
    """
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        return fail(f"{error.filename}: {reason}" if error.filename else reason)
    code = fail(_WHERE.sub("", error.detail), _hint(error, user), status=status(error))
    for each in error.errors:
        if each.message not in error.detail:
            click.echo(f"  {printable(_WHERE.sub('', each.field))}: {printable(each.message)}", err=True)
    if isinstance(error, errors.InternalError) and error.event is not None:
        click.echo(f"  the appliance recorded it as event {error.event}", err=True)
    return code


def status(error: errors.ClientError) -> int:
    """The exit status that stands for an error."""
    return _STATUS.get(type(error), 1)


def _hint(error: errors.ClientError, user: str | None) -> str | None:
    if error.missing_rule:
        return error.missing_rule
    if error.approval is not None:
        return f"privyseal approval show {error.approval}"
    if isinstance(error, errors.PINLockedError):
        return f"an administrator types: privyseal user unlock {user or 'NAME'}"
    if error.retry_after is not None:
        return f"try again in {error.retry_after:.0f} s"
    if isinstance(error, errors.UnauthenticatedError) and (hint := _way_in(error.detail)):
        return hint
    return next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), None)


def _way_in(detail: str) -> str | None:
    """What to check when it was no password that did not let somebody in."""
    if detail.startswith(("credential", "the credential")):
        return "check PRIVYSEAL_CREDENTIAL_FILE or credential_file; `privyseal credential create` makes a new one"
    if detail.startswith("certificate ") or "the certificate of this host" in detail:
        return "check client_cert and client_key; an administrator types: privyseal user certificate add NAME FILE"
    return None
