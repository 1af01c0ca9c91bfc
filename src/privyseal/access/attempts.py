"""How many wrong PINs and passwords are too many: growing delays from the 5th; PINs are locked at the 10th.

Each core has limits of its own for PINs; these are what they are when nobody has said anything.
Passwords are not locked: anybody who reaches the port could shut the administrator out. Their delay grows instead.
Names that no user has are counted like those of users, so that the answers do not tell who exists.
"""

import hashlib
from dataclasses import dataclass

from privyseal.model.cores import PIN_DELAY_FROM, PIN_LOCK_AT, Core


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """The limits of a kind of secret, or of a core's PINs.

    Attributes:
        delay_from: the number of wrong attempts after which the next one has to wait.
        lock_at: the number of wrong attempts after which an administrator is needed; None for never.
        longest: the longest delay, in seconds.
    """

    delay_from: int = PIN_DELAY_FROM
    lock_at: int | None = PIN_LOCK_AT
    longest: int = 300

    @property
    def one_at_a_time_from(self) -> int:
        """From so many attempts on, wrong or not known yet, the next one waits for the outcome of those under way.

        Else all that come at once would be tried before the first of them counts.
        """
        return self.delay_from if self.lock_at is None else min(self.delay_from, self.lock_at)

    def wait(self, failures: int) -> int:
        """Give the seconds to wait after this many failures: 1, 2, 4 ... from the 5th."""
        return 0 if failures < self.delay_from else min(2 ** min(failures - self.delay_from, 30), self.longest)

    def locks(self, failures: int) -> bool:
        """Say whether this many failures lock."""
        return self.lock_at is not None and failures >= self.lock_at


PASSWORD_LIMITS = AttemptLimits(lock_at=None)


def pin_limits(core: Core) -> AttemptLimits:
    """Give the limits of a core's PINs."""
    return AttemptLimits(core.pin_delay_from, core.pin_lock_at)


@dataclass(frozen=True, slots=True)
class Attempts:
    """What is known of one subject: `pin:user:alice:1`, `pin:key:f90f…:1`, `password:alice` or `unknown:3fd1…`.

    Attributes:
        failures: wrong attempts since the last right one.
        pending: attempts that are being tried now; after a crash they count as wrong.
        last: when the last wrong one was counted, microseconds since the epoch.
    """

    subject: str
    failures: int = 0
    pending: int = 0
    last: int = 0


def pin_subjects(user: str, core: int, key_id: str | None) -> tuple[str, ...]:
    """Name what a PIN attempt counts against: the user in the core, and the key where one is meant."""
    by_user = f"pin:user:{user}:{core}"
    return (by_user,) if key_id is None else (by_user, key_subject(core, key_id))


def key_subject(core: int, key_id: str) -> str:
    """Name what every attempt at one key's PIN counts against, whoever makes it."""
    return f"pin:key:{key_id}:{core}"


def core_of(pin_subject: str) -> int:
    """Give the core in which a PIN is tried."""
    return int(pin_subject.rpartition(":")[2])


def password_subject(user: str) -> str:
    """Name what a password attempt counts against."""
    return f"password:{user}"


UNKNOWN = "unknown:"
"""What the subjects of names that no user has begin with."""
UNKNOWN_MAX = 10_000
"""So many of them are kept; filling the table with names of five failures costs 50,000 Argon2id and as many events."""


def unknown_subject(name: str, key: bytes) -> str:
    """Name what an attempt with a name that no user has counts against.

    Only a hash (RFC 7693) is kept: what was typed there may be a password in the wrong field, and it may be long.

    Args:
        name: as it came in.
        key: up to 64 bytes of the appliance's own, the same in all workers.
    """
    return UNKNOWN + hashlib.blake2b(name.encode(), key=key, digest_size=16).hexdigest()
