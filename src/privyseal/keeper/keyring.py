"""What the keeper does for each request: close to a pure function of the request and the domain key.

Two maps make it fast and neither makes it looser: opened keys by the name of their sealed record, and PIN keys by a
keyed hash. A key with a PIN is opened once and then used only for a proof whose PIN key has the same fingerprint.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from privyseal.keeper import sealing, signing
from privyseal.keeper.custody import Custody, RefusedError, status
from privyseal.keeper.domain import DamagedError, DomainKey
from privyseal.keeper.pins import PINs, Remembered, TicketError, UncountedError
from privyseal.keeper.shares import ShareError
from privyseal.keeper.slots import WrongSecretError
from privyseal.model.keys import KeyType
from privyseal.model.mechanisms import Encoding, Hash, Mechanism, Scheme
from privyseal.wire import frames
from privyseal.wire.frames import Answer, PINProof, Refused, Request, SealedKey, Sign, TicketProof

OPENED_KEYS = 50_000
QUICK_TYPES = frozenset({KeyType.P256, KeyType.ED25519})
QUICK_INPUTS = 128


@dataclass(frozen=True, slots=True)
class Opened:
    """A key in use: its verb, its policy, and the fingerprint of the PIN key that opens it."""

    key: signing.SigningKey
    type: KeyType
    core: int
    policy: frames.Policy
    pin: bytes | None


@dataclass(frozen=True, slots=True)
class Ready:
    """A signing request that may be carried out: opened, proven and allowed."""

    opened: Opened
    scheme: Scheme
    inputs: tuple[bytes, ...]

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
        self._opened: Remembered[Opened] = Remembered(OPENED_KEYS)
        self._table: dict[type, Callable[[Any], Answer]] = {
            frames.AddSlot: self.custody.add_slot,
            frames.Adopt: self.custody.adopt,
            frames.Conclude: self.custody.conclude,
            frames.Forget: self.custody.forget,
            frames.Generate: self.generate,
            frames.Lock: lambda _: self.lock(),
            frames.Login: self.login,
            frames.Logout: self.logout,
            frames.Open: self.custody.open,
            frames.Provision: self.custody.provision,
            frames.Reseal: self.custody.reseal,
            frames.Succeed: self.custody.succeed,
        }

    def handle(self, request: Request) -> Answer:
        """Answer any request; never raises for what a request contains."""
        try:
            if isinstance(request, Sign):
                ready = self.ready(request)
                return frames.Signatures(tuple(ready(0, len(ready.inputs))))
            return self._manage(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes a refusal without detail
            return refusal(error)

    def _manage(self, request: Request) -> Answer:
        work = self._table.get(type(request))
        return work(request) if work is not None else self.inspect()

    def ready(self, request: Sign) -> Ready:
        """Open and prove and check a signing request against the key's policy, without signing yet."""
        opened = self._opened.get(request.seal)
        if opened is None:
            opened = self._open(request)
        else:
            self._prove(opened, request)
        _check_policy(opened, request)
        parameters = (request.mechanism, request.hash, request.salt_length, request.mgf_hash, request.encoding)
        return Ready(opened, _scheme(*parameters), request.inputs)

    def is_quick(self, request: Request) -> bool:
        """Say whether a request is a few fast signatures with a key that is open, so that no thread is worth it."""
        if not isinstance(request, Sign) or len(request.inputs) > QUICK_INPUTS:
            return False
        opened = self._opened.get(request.seal)
        counted = isinstance(request.proof, PINProof) and request.proof.counted
        return opened is not None and opened.type in QUICK_TYPES and not counted

    def domain(self) -> DomainKey:
        """Give the domain key; raises RefusedError while locked."""
        return self.custody.domain()

    def _open(self, request: Sign) -> Opened:
        record = request.record
        if record is None:
            raise RefusedError(frames.UNKNOWN_KEY, "send the record")
        if sealing.name(record) != request.seal or record.core != request.core:
            raise RefusedError(frames.DAMAGED, "the record is not the one that was named")
        inner = self.custody.open_outer(record)
        opened = self._open_inner(record, inner, request)
        self._opened.put(request.seal, opened)
        return opened

    def _open_inner(self, record: SealedKey, inner: bytes, request: Sign) -> Opened:
        policy, key_type = frames.policy(record.policy), KeyType(record.type)
        if not policy.pin:
            return Opened(signing.from_pkcs8(inner), key_type, record.core, policy, None)
        pin_key = self._pin_key(request)
        try:
            private = sealing.open_inner(record, inner, pin_key)
        except DamagedError as error:
            raise _wrong_pin(request) from error
        return Opened(signing.from_pkcs8(private), key_type, record.core, policy, self._pins.fingerprint(pin_key))

    def _prove(self, opened: Opened, request: Sign) -> None:
        self.domain()
        if opened.core != request.core:
            raise RefusedError(frames.DAMAGED, "the key is not in this core")
        if opened.pin is None:
            return
        if not hmac.compare_digest(self._pins.fingerprint(self._pin_key(request)), opened.pin):
            raise _wrong_pin(request)

    def _pin_key(self, request: Sign) -> bytes:
        match request.proof:
            case PINProof() as proof:
                return self._pins.key(proof)
            case TicketProof(ticket=text):
                return self.custody.tickets().redeem(text, request.user, request.core)
            case _:
                raise RefusedError(frames.PIN_REQUIRED, "the key has a PIN")

    def lock(self) -> Answer:
        """Forget the domain key, every opened key and every PIN."""
        self.custody.lock()
        self._opened.clear()
        self._pins.clear()
        return frames.Done()

    def inspect(self) -> Answer:
        """Say whether the domain key is here, and which protections hold."""
        return status(self.custody, self._hardening)

    def generate(self, request: frames.Generate) -> Answer:
        """Make a key and seal it; the private half is forgotten until it is used."""
        domain, key_type = self.domain(), KeyType(request.type)
        private = signing.generate(key_type)
        pin_key = None
        if request.pin is not None:
            pin_key = self._pins.key(PINProof(request.pin, request.salt, counted=True))
        names = tuple(mechanism.value for mechanism in key_type.mechanisms)
        policy = frames.encode_policy(frames.Policy(names, pin_key is not None))
        blank = SealedKey(request.id, request.core, request.type, 1, policy, b"")
        record = sealing.close(domain, blank, signing.to_pkcs8(private), pin_key)
        tag = None if pin_key is None else domain.pin_tag(request.core, pin_key)
        return frames.Generated(record, signing.to_spki(private), tag)

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


def refusal(error: Exception) -> Refused:
    """Turn an exception into the answer that may leave the keeper. What is unexpected leaves without its words."""
    match error:
        case RefusedError():
            return error.answer
        case UncountedError():
            return Refused(frames.UNCOUNTED, "reserve an attempt first")
        case TicketError():
            return Refused(frames.TICKET_INVALID, str(error))
        case WrongSecretError() | ShareError():
            return Refused(frames.SECRET_INCORRECT, str(error))
        case DamagedError():
            return Refused(frames.DAMAGED, "the sealed record does not open: it was altered or is from elsewhere")
        case _:
            return Refused(frames.FAILED, f"the keeper failed with {type(error).__name__}")


def _wrong_pin(request: Sign) -> RefusedError:
    if isinstance(request.proof, TicketProof):
        return RefusedError(frames.PIN_REQUIRED, "the PIN of this login is not the key's")
    if isinstance(request.proof, PINProof) and not request.proof.counted:
        return RefusedError(frames.UNCOUNTED, "reserve an attempt first")
    return RefusedError(frames.PIN_INCORRECT, "the PIN does not fit the key")


def _check_policy(opened: Opened, request: Sign) -> None:
    if request.mechanism not in opened.policy.mechanisms:
        raise RefusedError(frames.POLICY, f"the key's policy does not allow {request.mechanism}")


@lru_cache(maxsize=1024)
def _scheme(mechanism: str, hash_: str | None, salt_length: int | None, mgf_hash: str | None, encoding: str) -> Scheme:
    return Scheme(
        Mechanism(mechanism),
        Hash(hash_) if hash_ else None,
        salt_length,
        Hash(mgf_hash) if mgf_hash else None,
        Encoding(encoding),
    )
