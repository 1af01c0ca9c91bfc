"""What the keeper does for each request: close to a pure function of the request and the domain key.

Two maps make it fast and neither makes it looser: opened keys by the name of their sealed record, and PIN keys by a
keyed hash. A key with a PIN is opened once and then used only for a proof whose PIN key has the same fingerprint.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from privyseal.keeper import applying, auditing, backups, merging, policies, sealing, signing
from privyseal.keeper.counters import Counters
from privyseal.keeper.custody import Custody, status
from privyseal.keeper.domain import DamagedError, DomainKey
from privyseal.keeper.life import LIFE, Life, Opening, Private
from privyseal.keeper.pins import PINs, Remembered, TicketError, UncountedError
from privyseal.keeper.refused import RefusedError
from privyseal.keeper.shares import ShareError
from privyseal.keeper.slots import WrongSecretError
from privyseal.keeper.unrecorded import Worker
from privyseal.keeper.uses import UseCounter
from privyseal.keeper.verbs import Key
from privyseal.keeper.wrapping import Wrapping
from privyseal.model.keys import KeyType, Use
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme
from privyseal.wire import frames, parameters
from privyseal.wire.frames import Answer, Apply, PINProof, Refused, Request, SealedKey, Sign, TicketProof

OPENED_KEYS = 50_000
QUICK_TYPES = frozenset({KeyType.P256, KeyType.ED25519})
QUICK_INPUTS = 128
_Using = Sign | Apply
_Proven = _Using | Opening


@dataclass(frozen=True, slots=True)
class Opened:
    """A key in use: its verbs, its policy, and the fingerprint of the PIN key that opens it.

    Attributes:
        signs: the mechanisms that it may sign with.
        restricted: whether its policy asks for more than an allowed mechanism.
        place: its record, without what was sealed.
    """

    id: str
    key: Key
    type: KeyType
    core: int
    policy: frames.Policy
    signs: frozenset[str]
    pin: bytes | None
    restricted: bool
    place: SealedKey


@dataclass(frozen=True, slots=True)
class Ready:
    """A signing request that may be carried out: opened, proven and allowed.

    Attributes:
        uses: the number of the last of its uses, for a key whose policy limits them.
        counter: that number, sealed.
    """

    opened: Opened
    scheme: Scheme
    inputs: tuple[bytes, ...]
    uses: int | None = None
    counter: bytes | None = None

    def __call__(self, first: int, last: int) -> list[bytes]:
        """Sign a run of the inputs; raises RefusedError with the index of one that does not fit."""
        return [self._sign(index) for index in range(first, last)]

    def _sign(self, index: int) -> bytes:
        try:
            return self.opened.key.sign(self.scheme, self.inputs[index])
        except ValueError as error:
            raise RefusedError(frames.INPUT, f"the input does not fit the key: {error}", index) from error
        except signing.FaultError as error:
            raise RefusedError(frames.FAILED, str(error), index) from error


class Keyring:
    """The keeper's whole state: a domain key or none, and what has been opened with it."""

    def __init__(self, hardening: dict[str, bool]) -> None:
        self._hardening = hardening
        self.custody = Custody()
        self._pins = PINs()
        self._uses = UseCounter()
        self._opened: Remembered[Opened] = Remembered(OPENED_KEYS)
        self._counters = Counters(self.custody)
        self._life = Life(self, self._pins, self._counters)
        self._wrapping = Wrapping(self, self._life, self._uses, self._counters)
        self._hits = self._misses = 0

    def handle(self, request: Request, worker: Worker | None = None) -> Answer:
        """Answer any request; never raises for what a request contains. `worker` is who asks."""
        try:
            if isinstance(request, Sign):
                ready = self.ready(request)
                return self.signed(ready, ready(0, len(ready.inputs)), (request.user, worker))
            if isinstance(request, Apply):
                return self.apply(request, worker)
            if isinstance(request, frames.Wrap):
                return self._wrapping.wrap(request, worker)
            if isinstance(request, frames.Unwrap):
                return self._wrapping.unwrap(request, worker)
            return self._manage(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a refusal without detail
            return refusal(error)

    def _manage(self, request: Request) -> Answer:
        return _MANAGED[type(request)](self, request)

    def ready(self, request: Sign) -> Ready:
        """Open and prove and check a signing request against the key's policy, without signing yet."""
        opened = self._opened_for(request)
        if request.mechanism not in opened.signs:
            raise RefusedError(frames.POLICY, f"the key's policy does not allow {request.mechanism}")
        scheme = _scheme(
            request.mechanism, request.hash, request.salt_length, request.mgf_hash, request.encoding,
            request.context, request.mu, request.length,
        )  # fmt: skip
        if opened.restricted or request.data:
            return self._ready_within_limits(opened, scheme, request)
        return Ready(opened, scheme, request.inputs)

    def _opened_for(self, request: _Using) -> Opened:
        """Give the key of a request, proven."""
        opened = self._opened.get(request.seal)
        if opened is None:
            opened = self._open(request)
            self._misses += 1
        else:
            self._prove(opened, request)
            self._hits += 1
        return opened

    def _ready_within_limits(self, opened: Opened, scheme: Scheme, request: Sign) -> Ready:
        """Check what few policies restrict, and count the uses last: a use that is refused is none."""
        policies.check_restrictions(opened.policy, request)
        inputs = policies.digests(request)
        uses, counter = self._counters.use(opened.place, opened.policy, request.counter, len(inputs))
        return Ready(opened, scheme, inputs, uses, counter)

    def signed(self, ready: Ready, values: Sequence[bytes], by: tuple[str, Worker | None]) -> frames.Signatures:
        """Count what was signed; nothing leaves the keeper without a number. `by` is the user and the worker."""
        opened = ready.opened
        first = self._uses.count(by, opened.core, opened.id, ready.scheme.name, ready.inputs)
        return frames.Signatures(tuple(values), self._uses.keeper, first, ready.uses, ready.counter)

    def apply(self, request: Apply, worker: Worker | None = None) -> Answer:
        """Use a key for something else than signing. What does not fit the key is a use too, and counted."""
        opened = self._opened_for(request)
        use = applying.use_of(request.verb)
        policies.check_use(opened.policy, opened.type, use, request.mechanism, request.parameters)
        uses, counter = self._counters.use(opened.place, opened.policy, request.counter)
        value = applying.value_of(opened.key, request)
        what = parameters.counted(request.verb, request.data, request.parameters, value)
        name = parameters.recorded(request.verb, request.mechanism, request.parameters.hash)
        number = self._uses.count((request.user, worker), opened.core, opened.id, name, (what,))
        return frames.Applied(value, self._uses.keeper, number, uses, counter)

    def recorded(self, request: frames.Recorded) -> None:
        """Learn that events are durable."""
        if request.keeper == self._uses.keeper:
            self._uses.unrecorded.recorded(request.first_uses)

    def list_unrecorded(self, request: frames.ListUnrecorded) -> Answer:
        """Say what may still have to be recorded, and what is to be recorded by whoever asks."""
        held = self._uses.unrecorded
        return frames.Unrecorded(self._uses.keeper, held.waiting(request.count), held.abandoned())

    def count_uses(self) -> Answer:
        """Say how many uses were made; a checkpoint may be signed with this count for a minute."""
        present = self._uses.mark()
        return frames.Counted(present.keeper, present.count, present.chain)

    def sign_checkpoint(self, request: frames.SignCheckpoint) -> Answer:
        """Sign a checkpoint with a count that was given out a moment ago."""
        uses = self._uses.marked(request.count)
        if uses is None:
            raise RefusedError(frames.FAILED, "count the uses first")
        return auditing.sign_checkpoint(self.custody.open_outer, request, uses)

    def is_quick(self, request: Request) -> bool:
        """Say whether a request is a few fast signatures with a key that is open, so that no thread is worth it."""
        if not isinstance(request, Sign) or len(request.inputs) > QUICK_INPUTS or request.data:
            return False
        opened = self._opened.get(request.seal)
        counted = isinstance(request.proof, PINProof) and request.proof.counted
        return opened is not None and opened.type in QUICK_TYPES and not counted

    def domain(self) -> DomainKey:
        """Give the domain key; raises RefusedError while locked."""
        return self.custody.domain()

    def _open(self, request: _Using) -> Opened:
        record = request.record
        if record is None:
            raise RefusedError(frames.UNKNOWN_KEY, "send the record")
        if record.type == auditing.TYPE:
            raise RefusedError(frames.POLICY, "the audit key signs checkpoints only")
        if sealing.name(record) != request.seal or record.core != request.core:
            raise RefusedError(frames.DAMAGED, "the record is not the one that was named")
        inner = self.custody.open_outer(record)
        opened = self._open_inner(record, inner, request)
        self._opened.put(request.seal, opened)
        return opened

    def _open_inner(self, record: SealedKey, inner: bytes, request: _Using) -> Opened:
        policy, key_type = frames.policy(record.policy), KeyType(record.type)
        private = self._private(record, inner, request)
        pin = None if private.pin_key is None else self._pins.fingerprint(private.pin_key)
        key, place = signing.load(key_type, private.pkcs8), msgspec.structs.replace(record, sealed=b"")
        signs = policies.mechanisms_for(policy, key_type, Use.SIGN)
        return Opened(record.id, key, key_type, record.core, policy, signs, pin, policies.restricts(policy), place)

    def open_private(self, request: Opening) -> Private:
        """Open the record of a request with its proof; raises as signing with it would."""
        record = request.record
        if record.core != request.core:
            raise RefusedError(frames.DAMAGED, "the key is not in this core")
        return self._private(record, self.custody.open_outer(record), request)

    def _private(self, record: SealedKey, inner: bytes, request: _Proven) -> Private:
        if not frames.policy(record.policy).pin:
            return Private(inner, None)
        pin_key = self._pin_key(request)
        try:
            return Private(sealing.open_inner(record, inner, pin_key), pin_key)
        except DamagedError as error:
            raise _wrong_pin(request) from error

    def _prove(self, opened: Opened, request: _Using) -> None:
        self.domain()
        if opened.core != request.core:
            raise RefusedError(frames.DAMAGED, "the key is not in this core")
        if opened.pin is None:
            return
        if not hmac.compare_digest(self._pins.fingerprint(self._pin_key(request)), opened.pin):
            raise _wrong_pin(request)

    def _pin_key(self, request: _Proven) -> bytes:
        match request.proof:
            case PINProof() as proof:
                return self._pins.key(proof)
            case TicketProof(ticket=text):
                return self.custody.tickets().redeem(text, request.user, request.core)
            case _:
                raise RefusedError(frames.PIN_REQUIRED, "the key has a PIN")

    def backup_key(self, request: frames.BackupKey) -> Answer:
        """Say which public key a backup passphrase stands for."""
        return frames.BackupPublic(backups.public_key(request.passphrase, request.salt))

    def seal_backup(self, request: frames.SealBackup) -> Answer:
        """Make the key of a backup and seal it with the domain key for everybody who may open it."""
        secrets = self.custody.for_backup(request.rotating)
        contents = backups.Contents(backups.new_file_key(), secrets.encode())
        sealed = tuple(backups.seal(contents, recipient) for recipient in request.recipients)
        return frames.SealedBackup(contents.file_key, sealed, secrets.current.name)

    def open_backup(self, request: frames.OpenBackup) -> Answer:
        """Take the domain key from a backup; refused when there is one already."""
        contents = backups.unseal(request.sealed, request.secret, request.salt)
        slot = self.custody.take_over(contents.secrets, request.slot_secret)
        return frames.OpenedBackup(contents.file_key, slot)

    def lock(self) -> Answer:
        """Forget the domain key, every opened key and every PIN."""
        self.custody.lock()
        self._opened.clear()
        self._pins.clear()
        self._life.forget()
        return frames.Done()

    def inspect(self) -> Answer:
        """Say whether the domain key is here, and which protections hold."""
        return status(self.custody, self._hardening)

    def measure(self) -> Answer:
        """Give numbers for monitoring."""
        return frames.Measured(self.custody.unlocked, len(self._opened), self._hits, self._misses)

    def login(self, request: frames.Login) -> Answer:
        """Turn a PIN into a ticket. Whether any key has this PIN, the tag tells the store."""
        domain = self.domain()
        pin_key = self._pins.key(request.proof)
        ticket = self.custody.tickets().issue(request.user, request.core, pin_key)
        return frames.LoggedIn(ticket.text, ticket.expires, domain.pin_tag(request.core, pin_key))

    def logout(self, request: frames.Logout) -> Answer:
        """End a ticket."""
        ended = self.custody.tickets().end(request.ticket, request.user, request.core)
        return frames.TicketEnded(ended.id, ended.expires)


_MANAGED: dict[type, Callable[[Keyring, Any], Answer]] = {
    **dict.fromkeys(LIFE, lambda keyring, request: keyring._life.handle(request)),  # noqa: SLF001 - our own
    frames.AddSlot: lambda keyring, request: keyring.custody.add_slot(request),
    frames.Adopt: lambda keyring, request: keyring.custody.adopt(request),
    frames.BackupKey: Keyring.backup_key,
    frames.Conclude: lambda keyring, request: keyring.custody.conclude(request),
    frames.CountUses: lambda keyring, _: keyring.count_uses(),
    frames.Forget: lambda keyring, request: keyring.custody.forget(request),
    frames.GenerateAuditKey: lambda keyring, request: auditing.generate(keyring.domain(), request.id),
    frames.Inspect: lambda keyring, _: keyring.inspect(),
    frames.ListUnrecorded: Keyring.list_unrecorded,
    frames.Lock: lambda keyring, _: keyring.lock(),
    frames.Login: Keyring.login,
    frames.Logout: Keyring.logout,
    frames.Measure: lambda keyring, _: keyring.measure(),
    frames.Open: lambda keyring, request: keyring.custody.open(request),
    frames.OpenBackup: Keyring.open_backup,
    frames.OpenMerge: lambda keyring, request: merging.open_merge(keyring.custody, request),
    frames.Provision: lambda keyring, request: keyring.custody.provision(request),
    frames.Reseal: lambda keyring, request: keyring.custody.reseal(request),
    frames.ResealMerged: lambda keyring, request: merging.reseal(keyring.custody, request),
    frames.SealBackup: Keyring.seal_backup,
    frames.SignCheckpoint: Keyring.sign_checkpoint,
    frames.Succeed: lambda keyring, request: keyring.custody.succeed(request),
    frames.Watch: lambda keyring, _: keyring.inspect(),
}


def refusal(error: Exception) -> Refused:  # noqa: PLR0911 - a table of errors
    """Turn an exception into the answer that may leave the keeper. What is unexpected leaves without its words."""
    match error:
        case RefusedError():
            return error.answer
        case UncountedError():
            return Refused(frames.UNCOUNTED, "reserve an attempt first")
        case TicketError():
            return Refused(frames.TICKET_INVALID, str(error))
        case signing.ForeignKeyError():
            return Refused(frames.WRAPPED, str(error))
        case WrongSecretError() | ShareError():
            return Refused(frames.SECRET_INCORRECT, str(error))
        case DamagedError():
            return Refused(frames.DAMAGED, "the sealed record does not open: it was altered or is from elsewhere")
        case _:
            return Refused(frames.FAILED, f"the keeper failed with {type(error).__name__}")


def _wrong_pin(request: _Proven) -> RefusedError:
    if isinstance(request.proof, TicketProof):
        return RefusedError(frames.PIN_REQUIRED, "the PIN of this login is not the key's")
    if isinstance(request.proof, PINProof) and not request.proof.counted:
        return RefusedError(frames.UNCOUNTED, "reserve an attempt first")
    return RefusedError(frames.PIN_INCORRECT, "the PIN does not fit the key")


@lru_cache(maxsize=1024)
def _scheme(
    mechanism: str,
    hash_: str | None,
    salt_length: int | None,
    mgf_hash: str | None,
    encoding: str,
    context: bytes,
    mu: bool,  # noqa: FBT001 - a field of the frame
    length: int | None,
) -> Scheme:
    return Scheme(
        Mechanism(mechanism),
        Hash(hash_) if hash_ else None,
        salt_length,
        Hash(mgf_hash) if mgf_hash else None,
        Encoding(encoding),
        context,
        mu,
        length,
    )
