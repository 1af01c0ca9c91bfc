"""Who holds the domain key, and how: locked or unlocked, shares that wait for others, and a successor on its way in.

A rotation goes in steps, each of which may be repeated, and between any two of which anything may die:

(1) `succeed`   a successor is made and sealed, beside the present key, for every slot
(2) `adopt`     once the store has those slots: from here on everything new is sealed with the successor
(3) `reseal`    the outer layer of every record, old key to new
(4) `conclude`  the slots, for the successor alone
(5) `forget`    once the store has those: the old key goes

Until (5) both keys open records; from (1) to (4) every slot in the store opens whatever a record may be sealed with.
"""

import threading
import time
from collections.abc import Callable

from privyseal.keeper import sealing, shares, slots
from privyseal.keeper.domain import DamagedError, DomainKey, Secrets
from privyseal.keeper.pins import Tickets
from privyseal.keeper.refused import RefusedError
from privyseal.keeper.shares import Share, ShareError
from privyseal.keeper.slots import Slot, WrongSecretError
from privyseal.wire import frames
from privyseal.wire.frames import Answer, SealedKey

SHARE_SECONDS = 900.0


class Custody:
    """The domain key or none, and what leads to it.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._secrets: Secrets | None = None
        self._pending: DomainKey | None = None
        self._tickets: Tickets | None = None
        self._collected: dict[int, Share] = {}
        self._collected_at = 0.0
        self.change = 0

    @property
    def unlocked(self) -> bool:
        """Whether the domain key is here."""
        return self._secrets is not None

    @property
    def following(self) -> str | None:
        """The name of the domain key that replaces the present one."""
        found = self._secrets
        return found.following.name if found is not None and found.following is not None else None

    def waiting(self) -> tuple[int, int]:
        """Give how many shares wait for the others, and how many are needed."""
        with self._lock:
            self._expire()
            return len(self._collected), next((share.needed for share in self._collected.values()), 0)

    def secrets(self) -> Secrets:
        """Give the domain keys; raises RefusedError while locked."""
        if self._secrets is None:
            raise RefusedError(frames.LOCKED, "the appliance is locked")
        return self._secrets

    def for_backup(self, rotating: str | None) -> Secrets:
        """Give the domain keys that go into a backup: also the successor of this name that is not adopted yet.

        Whoever restores it has no other way to go on with the rotation that its rows speak of.
        """
        with self._lock:
            held, pending = self.secrets(), self._pending
        if held.following is None and pending is not None and pending.name == rotating:
            return Secrets(held.current, pending)
        return held

    def domain(self) -> DomainKey:
        """Give the domain key that new things are sealed with; raises RefusedError while locked."""
        held = self.secrets()
        return held.following or held.current

    def tickets(self) -> Tickets:
        """Give the tickets; raises RefusedError while locked."""
        if self._tickets is None:
            raise RefusedError(frames.LOCKED, "the appliance is locked")
        return self._tickets

    def open_outer(self, record: SealedKey) -> bytes:
        """Open a record's outer layer with whichever domain key it is sealed with. Raises DamagedError."""
        return sealing.open_either(self.secrets(), record)

    def lock(self) -> None:
        """Forget the domain key, and shares that wait."""
        with self._lock:
            self._secrets = self._pending = self._tickets = None
            self._collected.clear()
            self.change += 1

    def provision(self, request: frames.Provision) -> Answer:
        """Make a domain key; refused when there is one already."""
        with self._lock:
            if self._secrets is not None:
                raise RefusedError(frames.FAILED, "the keeper holds a domain key already")
            secrets = Secrets(DomainKey.generate())
            made = _make(secrets, request.opener)
            self._install(secrets, ())
        return made

    def take_over(self, encoded: bytes, slot_secret: bytes) -> bytes:
        """Take the domain key out of a backup and give a key-file slot for it; refused when there is one already."""
        with self._lock:
            if self._secrets is not None:
                raise RefusedError(frames.FAILED, "the keeper holds a domain key already")
            self._install(Secrets.decode(encoded), ())
            return _make(self.secrets(), frames.Opener(slots.KEY_FILE, slot_secret)).sealed

    def add_slot(self, request: frames.AddSlot) -> Answer:
        """Make one more unlock slot."""
        return _make(self.secrets(), request.opener)

    def open(self, request: frames.Open) -> Answer:
        """Unlock with a key file or passphrase, or take one share.

        Raises WrongSecretError, ShareError, DamagedError.
        """
        known = [slots.decode(data) for data in request.slots if not slots.is_first_form(data)]
        if request.way == slots.KEY_FILE and not known:
            return self._open_first_form(request)
        if request.way == "share":
            return self._take(known, request)
        for slot in known:
            if slot.kind == request.way:
                secret = request.secret
                if slot.kind == slots.PASSPHRASE:
                    secret = slots.from_passphrase(slot, secret)
                try:
                    opened = slots.open_slot(slot, secret)
                except WrongSecretError:
                    continue
                with self._lock:
                    self._install(opened, request.ended)
                return frames.Opening(unlocked=True, have=0, needed=0)
        raise WrongSecretError("no slot opens with this")

    def _open_first_form(self, request: frames.Open) -> Answer:
        """Open the key-file slot of an appliance of the first schema, and make one of today's form for it."""
        for data in request.slots:
            try:
                secrets = slots.open_first_form(data, request.secret)
            except DamagedError:
                continue
            with self._lock:
                self._install(secrets, request.ended)
            renewed = _make(secrets, frames.Opener(slots.KEY_FILE, request.secret)).sealed
            return frames.Opening(unlocked=True, have=0, needed=0, renewed=renewed)
        raise WrongSecretError("no slot opens with this")

    def _take(self, known: list[Slot], request: frames.Open) -> Answer:
        share = shares.read(request.secret.decode())
        slot = next((slot for slot in known if slots.is_share_of(slot, share)), None)
        if slot is None:
            raise ShareError(
                f"share {share.number} belongs to no unlock slot of this appliance; is it from another set?"
            )
        with self._lock:
            self._expire()
            if any(other.set != share.set for other in self._collected.values()):
                self._collected.clear()  # whoever begins with another set means that one
            self._collected[share.number], self._collected_at = share, self._clock()
            if len(self._collected) < share.needed:
                return frames.Opening(unlocked=False, have=len(self._collected), needed=share.needed)
            values = {one.number: one.value for one in self._collected.values()}
            self._install(slots.open_slot(slot, shares.combine(values)), request.ended)
        return frames.Opening(unlocked=True, have=share.needed, needed=share.needed)

    def _expire(self) -> None:
        if self._clock() - self._collected_at > SHARE_SECONDS:
            self._collected.clear()

    def _install(self, secrets: Secrets, ended: tuple[str, ...]) -> None:
        self._secrets, self._tickets = secrets, Tickets(secrets.current, ended)
        if secrets.following is not None:
            self._tickets.rotate(secrets.following)
        self._collected.clear()
        self.change += 1

    def succeed(self, request: frames.Succeed) -> Answer:
        """(1) Seal the present domain key and its successor for all slots. The successor stays the same if repeated."""
        with self._lock:
            held = self.secrets()
            if held.following is None and self._pending is None:
                self._pending = held.current.successor()
            following = held.following or self._pending
            assert following is not None  # noqa: S101 - made just above
            both = Secrets(held.current, following)
        sealed = tuple(slots.encode(slots.reseal(slots.decode(data), both, held.current)) for data in request.slots)
        return frames.Slots(sealed, following.name)

    def adopt(self, request: frames.Adopt) -> Answer:
        """(2) Seal with the successor from here on."""
        with self._lock:
            held = self.secrets()
            if held.following is not None and held.following.name == request.name:
                return frames.Done()
            if self._pending is None or self._pending.name != request.name:
                raise RefusedError(frames.NO_SUCCESSOR, "the keeper does not have this domain key; lock and unlock it")
            self._secrets, self._pending = Secrets(held.current, self._pending), None
            self.tickets().rotate(self.domain())
        return frames.Done()

    def reseal(self, request: frames.Reseal) -> Answer:
        """(3) Seal records with the successor. The inner layer, under a PIN, is not touched: nobody needs the PIN."""
        held = self.secrets()
        if held.following is None:
            raise RefusedError(frames.NO_SUCCESSOR, "there is no other domain key to seal with")
        sealed: list[bytes | None] = []
        damaged: list[int] = []
        for index, record in enumerate(request.records):
            sealed.append(None)
            try:
                sealed[-1] = _resealed(held.current, held.following, record)
            except DamagedError:
                damaged.append(index)
        return frames.Resealed(tuple(sealed), tuple(damaged))

    def conclude(self, request: frames.Conclude) -> Answer:
        """(4) Seal the successor alone for all slots."""
        held = self.secrets()
        if held.following is None:
            raise RefusedError(frames.NO_SUCCESSOR, "there is no other domain key to conclude with")
        alone = Secrets(held.following)
        sealed = tuple(slots.encode(slots.reseal(slots.decode(data), alone, held.current)) for data in request.slots)
        return frames.Slots(sealed, held.following.name)

    def forget(self, request: frames.Forget) -> Answer:
        """(5) Forget the old domain key. Refused unless every slot is marked by its successor."""
        with self._lock:
            held = self.secrets()
            if held.following is not None:
                for data in request.slots:
                    slots.check_mark(held.following, slots.decode(data))
                self._secrets = Secrets(held.following)
        return frames.Done()


def _resealed(old: DomainKey, new: DomainKey, record: SealedKey) -> bytes | None:
    """Seal a record's outer layer anew; None when it is already. Raises DamagedError when neither key opens it."""
    try:
        sealing.open_outer(new, record)
    except DamagedError:
        inner = sealing.open_outer(old, record)
        return sealing.close_outer(new, record, inner).sealed
    return None


def _make(secrets: Secrets, opener: frames.Opener) -> frames.Slot:
    try:
        made = slots.make(secrets, opener)
    except ValueError as error:
        raise RefusedError(frames.INPUT, str(error)) from error
    return frames.Slot(slots.encode(made.slot), made.shares)


def status(custody: Custody, hardening: dict[str, bool]) -> frames.Status:
    """Say how things are."""
    change = custody.change  # read first: what changes meanwhile is told again with a higher one
    have, needed = custody.waiting()
    return frames.Status(custody.unlocked, hardening, change, have, needed, custody.following)
