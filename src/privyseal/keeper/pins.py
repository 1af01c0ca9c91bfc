"""PINs and tickets. A PIN becomes a key by Argon2id once; after that a keyed hash in memory recognises it.

Two things are always true: Argon2id runs only for an attempt that has been counted in the store, and nothing that
leaves this file to be remembered is a PIN.
"""

import base64
import contextlib
import hashlib
import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from privyseal.keeper.domain import KEY_LENGTH, DamagedError, DomainKey, TicketKey
from privyseal.wire.frames import PINProof

TICKET_SECONDS = 3600
_REMEMBERED = 10_000
_ARGON2_AT_ONCE = threading.BoundedSemaphore(2)  # 64 MiB each


class UncountedError(Exception):
    """This PIN has to be tried with Argon2id, and the caller has not reserved an attempt for it."""


class TicketError(Exception):
    """The ticket has expired, was ended or belongs elsewhere."""


class _Content(msgspec.Struct, frozen=True, array_like=True):
    """What a ticket says, sealed under the domain key."""

    id: str
    user: str
    core: int
    pin_key: bytes
    expires: int

    def __repr__(self) -> str:
        return "_Content(…)"


@dataclass(frozen=True, slots=True)
class Issued:
    """A ticket as text, its id and its expiry in seconds since the epoch."""

    text: str
    id: str
    expires: int


def stretch(pin: str, salt: bytes, iterations: int = 3, memory: int = 64 * 1024) -> bytes:
    """Turn a PIN into a key: Argon2id, 64 MiB and 3 passes (RFC 9106, section 4, second recommended option).

    One lane instead of four: OpenSSL's lanes share one thread pool in a process, and derivations at the same time
    starve each other in it until they fail.
    """
    with _ARGON2_AT_ONCE:
        argon2 = Argon2id(salt=salt, length=KEY_LENGTH, iterations=iterations, lanes=1, memory_cost=memory)
        return argon2.derive(pin.encode())


_Value = TypeVar("_Value")


class Remembered(Generic[_Value]):
    """A bounded memory of values by name, the least recently used going first. Safe among threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[bytes, _Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: bytes) -> _Value | None:
        """Give what is remembered under a name."""
        with self._lock:
            if name in self._values:
                self._values.move_to_end(name)
            return self._values.get(name)

    def put(self, name: bytes, value: _Value) -> None:
        """Remember a value and forget the oldest if there are too many."""
        with self._lock:
            self._values[name] = value
            self._values.move_to_end(name)
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def pop(self, name: bytes) -> _Value | None:
        """Give what is remembered under a name, and forget it."""
        with self._lock:
            return self._values.pop(name, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()

    def __len__(self) -> int:
        return len(self._values)


class PINs:
    """The PIN keys that this process knows, by a hash of the PIN under a key that nobody else has."""

    def __init__(self) -> None:
        self._hash_key = os.urandom(KEY_LENGTH)
        self._known: Remembered[bytes] = Remembered(_REMEMBERED)
        self._turns = [threading.Lock() for _ in range(16)]

    def key(self, proof: PINProof) -> bytes:
        """Give the key of a PIN. Raises UncountedError when it would take Argon2id and no attempt is reserved."""
        name = self.fingerprint(proof.salt + proof.pin.encode())
        known = self._known.get(name)
        if known is not None:
            return known
        if not proof.counted:
            raise UncountedError
        with self._turns[name[0] % len(self._turns)]:  # who comes with the same PIN meanwhile waits for the first
            key = self._known.get(name) or stretch(proof.pin, proof.salt)
            self._known.put(name, key)
        return key

    def fingerprint(self, secret: bytes) -> bytes:
        """Give the hash by which this process recognises a secret again."""
        return hashlib.blake2b(secret, key=self._hash_key, digest_size=32).digest()  # RFC 7693; HMAC costs 10x here

    def clear(self) -> None:
        """Forget every PIN."""
        self._known.clear()


class Tickets:
    """Tickets are sealed, not stored: every node with the domain key can read them. Ended ones are remembered."""

    def __init__(self, domain: DomainKey, ended: tuple[str, ...] = ()) -> None:
        self._domain = domain
        self._older: TicketKey | None = None
        self._ended = set(ended)
        self._read: Remembered[_Content] = Remembered(_REMEMBERED)

    def rotate(self, domain: DomainKey) -> None:
        """Seal new tickets with another domain key, and go on reading those of the present one."""
        self._domain, self._older = domain, self._domain.for_tickets()

    def issue(self, user: str, core: int, pin_key: bytes) -> Issued:
        """Make a ticket that lasts an hour."""
        content = _Content(os.urandom(16).hex(), user, core, pin_key, int(time.time()) + TICKET_SECONDS)
        sealed = self._domain.seal_ticket(msgspec.msgpack.encode(content))
        return Issued(base64.urlsafe_b64encode(sealed).decode(), content.id, content.expires)

    def redeem(self, text: str, user: str, core: int) -> bytes:
        """Give the PIN key that a ticket carries; raises TicketError unless it is this user's, here and now."""
        content = self._content(text)
        if content.id in self._ended or content.expires <= time.time():
            raise TicketError("the ticket has expired or was ended; log in again")
        if content.user != user or content.core != core:
            raise TicketError("the ticket belongs to another user or core; log in here")
        return content.pin_key

    def end(self, text: str, user: str, core: int) -> Issued:
        """End a ticket; raises TicketError as `redeem` does, but not for one that is over already."""
        content = self._content(text)
        if content.user != user or content.core != core:
            raise TicketError("the ticket belongs to another user or core")
        self._ended.add(content.id)
        return Issued("", content.id, content.expires)

    def _content(self, text: str) -> _Content:
        name = hashlib.sha256(text.encode()).digest()
        content = self._read.get(name)
        if content is None:
            content = self._open(text)
            self._read.put(name, content)
        return content

    def _open(self, text: str) -> _Content:
        try:
            sealed = base64.urlsafe_b64decode(text.encode())
            return msgspec.msgpack.decode(self._unseal(sealed), type=_Content)
        except (DamagedError, ValueError) as error:  # msgspec's errors are ValueErrors, as are base64's
            raise TicketError("this is no ticket of this appliance; log in again") from error

    def _unseal(self, sealed: bytes) -> bytes:
        if self._older is not None:
            with contextlib.suppress(DamagedError):
                return self._older.unseal(sealed)
        return self._domain.unseal_ticket(sealed)
