"""What an unlock slot shall open with, checked once for provisioning and for slots that come later."""

import os
from dataclasses import dataclass

from privyseal.errors import InvalidRequestError
from privyseal.operations.provision import KEY_FILE_LENGTH
from privyseal.store import appliance as appliance_rows
from privyseal.wire.frames import Opener, Slot

PASSPHRASE_MIN, PASSPHRASE_MAX = 16, 256
SHARES_MAX = 16


@dataclass(frozen=True, slots=True)
class Handed:
    """What has to be kept by people, shown once: a key file's content or shares; nothing for a passphrase."""

    number: int
    kind: str
    key_file: bytes | None = None
    shares: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show nothing of it."""
        return f"Handed({self.number}, {self.kind})"


def opener(kind: str, passphrase: str | None, needed: int | None, total: int | None) -> Opener:
    """Check a request for a slot and make it the keeper's. Raises InvalidRequestError."""
    _check_fields(kind, passphrase, needed, total)
    if kind == appliance_rows.PASSPHRASE:
        return Opener(kind, _checked(passphrase or "").encode())
    if kind == appliance_rows.SHARES:
        if needed is None or total is None or not 2 <= needed <= total <= SHARES_MAX:  # noqa: PLR2004 - one is no share
            raise InvalidRequestError.of("needed", f"2 to {SHARES_MAX} shares, and not more needed than there are")
        return Opener(kind, b"", needed, total)
    return Opener(kind, os.urandom(KEY_FILE_LENGTH))


def handed(number: int, asked: Opener, made: Slot) -> Handed:
    """Give what somebody has to keep."""
    key_file = asked.secret if asked.way == appliance_rows.KEY_FILE else None
    return Handed(number, asked.way, key_file, made.shares)


def _check_fields(kind: str, passphrase: str | None, needed: int | None, total: int | None) -> None:
    if kind != appliance_rows.PASSPHRASE and passphrase is not None:
        raise InvalidRequestError.of("passphrase", f"a slot of kind {kind} has none")
    if kind != appliance_rows.SHARES and (needed is not None or total is not None):
        raise InvalidRequestError.of("needed", f"a slot of kind {kind} has no shares")


def _checked(passphrase: str) -> str:
    if not PASSPHRASE_MIN <= len(passphrase) <= PASSPHRASE_MAX:
        raise InvalidRequestError.of(
            "passphrase", f"a passphrase has {PASSPHRASE_MIN} to {PASSPHRASE_MAX} characters; five random words do well"
        )
    return passphrase
