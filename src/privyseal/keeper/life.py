"""A key's life beside its use: made, imported, rotated, given another policy, exported.

A private key is in the clear here only from opening to closing. Two things leave: sealed records, and for a key that
was made exportable the key wrapped to a public key. An import key serves once, whatever comes of it: who guesses at it
has one guess.
"""

import os
import time
from dataclasses import dataclass
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from privyseal.keeper import policies, sealing, signing
from privyseal.keeper.counters import Counters
from privyseal.keeper.domain import DamagedError, DomainKey
from privyseal.keeper.pins import PINs, Remembered
from privyseal.keeper.refused import RefusedError
from privyseal.model.keys import KeyType
from privyseal.wire import frames, keywrap
from privyseal.wire.frames import Answer, PINProof, SealedKey

Opening = frames.ChangePolicy | frames.Rotate | frames.Export | frames.Wrap | frames.Unwrap
"""The requests that open a key for something else than using it again and again."""
LIFE = (
    frames.Generate,
    frames.ChangePolicy,
    frames.Rotate,
    frames.NewImportKey,
    frames.Import,
    frames.Export,
)
"""The requests that this room answers."""
IMPORT_KEY_BITS = 4096
IMPORT_KEY_SECONDS = 600
_IMPORT_KEYS = 64  # that wait at once; the oldest goes first


class Keeping(Protocol):
    """What this room needs of the keyring around it."""

    def domain(self) -> DomainKey:
        """Give the domain key; raises RefusedError while locked."""

    def open_private(self, request: "Opening") -> "Private":
        """Open the record of a request with its proof; raises as signing with it would."""


@dataclass(frozen=True, slots=True, repr=False)
class Private:
    """A key as it was sealed (PKCS #8, or a symmetric key's bytes), and the key of its PIN."""

    pkcs8: bytes
    pin_key: bytes | None


@dataclass(frozen=True, slots=True, repr=False)
class _Waiting:
    key: rsa.RSAPrivateKey
    user: str
    core: int
    expires: int


class Life:
    """What happens to keys in one keeper."""

    def __init__(self, keyring: Keeping, pins: PINs, counters: Counters) -> None:
        self._keyring = keyring
        self._pins = pins
        self._counters = counters
        self._waiting: Remembered[_Waiting] = Remembered(_IMPORT_KEYS)

    def handle(self, request: frames.Generate | frames.KeyLifeRequest) -> Answer:
        """Answer one of its requests; raises RefusedError, DamagedError and the errors of PINs and tickets."""
        match request:
            case frames.Generate():
                return self._generate(request)
            case frames.ChangePolicy():
                return self._change_policy(request)
            case frames.Rotate():
                return self._rotate(request)
            case frames.NewImportKey():
                return self._new_import_key(request)
            case frames.Import():
                return self._import(request)
            case _:
                return self._export(request)

    def forget(self) -> None:
        """Forget the import keys that wait."""
        self._waiting.clear()

    def _generate(self, request: frames.Generate) -> Answer:
        self._keyring.domain()
        key_type = KeyType(request.type)
        policy = policies.at_birth(key_type, request.policy, pin=request.pin is not None, origin=policies.GENERATED)
        blank = SealedKey(request.id, request.core, request.type, 1, frames.encode_policy(policy), b"")
        return self.born(blank, signing.make(key_type), self.new_pin_key(request.pin, request.salt))

    def _change_policy(self, request: frames.ChangePolicy) -> Answer:
        old = frames.policy(request.record.policy)
        policy = policies.changed(KeyType(request.record.type), old, request.policy)
        private = self._keyring.open_private(request)
        blank = msgspec.structs.replace(request.record, policy=frames.encode_policy(policy))
        record = sealing.close(self._keyring.domain(), blank, private.pkcs8, private.pin_key)
        if old.max_uses is not None and request.counter is None:
            raise DamagedError("a key with limited uses comes with its count")
        counter = None
        if policy.max_uses is not None:
            counter = self._counters.carried(record, request.counter)
        return frames.PolicyChanged(record, counter)

    def _rotate(self, request: frames.Rotate) -> Answer:
        pin_key = self._keyring.open_private(request).pin_key
        policy = frames.policy(request.record.policy)
        if request.new_pin is not None:
            pin_key = self.new_pin_key(request.new_pin, request.salt)
            policy = policies.with_pin(policy)
        version = request.record.version + 1
        blank = msgspec.structs.replace(request.record, version=version, policy=frames.encode_policy(policy))
        return self.born(blank, signing.make(KeyType(request.record.type)), pin_key)

    def _new_import_key(self, request: frames.NewImportKey) -> Answer:
        self._keyring.domain()
        key = rsa.generate_private_key(65537, IMPORT_KEY_BITS)
        name, expires = os.urandom(16).hex(), int(time.time()) + IMPORT_KEY_SECONDS
        self._waiting.put(name.encode(), _Waiting(key, request.user, request.core, expires))
        der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return frames.ImportKey(name, der, expires)

    def _import(self, request: frames.Import) -> Answer:
        self._keyring.domain()
        private, key_type = signing.from_elsewhere(self._unwrap(request))
        policy = policies.at_birth(key_type, request.policy, pin=request.pin is not None, origin=policies.IMPORTED)
        blank = SealedKey(request.id, request.core, key_type.value, 1, frames.encode_policy(policy), b"")
        material = signing.material_of(private)
        return self.born(blank, material, self.new_pin_key(request.pin, request.salt))

    def _unwrap(self, request: frames.Import) -> bytes:
        waiting = self._waiting.pop(request.import_key.encode())
        if waiting is None or waiting.expires <= time.time():
            raise RefusedError(frames.IMPORT_KEY, "there is no such import key any more; ask for another one")
        if (waiting.user, waiting.core) != (request.user, request.core):
            raise RefusedError(frames.IMPORT_KEY, "the import key is another user's or core's; ask for one of your own")
        try:
            return keywrap.unwrap(waiting.key, request.wrapped)
        except keywrap.UnwrapError as error:
            raise RefusedError(frames.WRAPPED, str(error)) from error

    def _export(self, request: frames.Export) -> Answer:
        policy = frames.policy(request.record.policy)
        if not policy.exportable:
            raise RefusedError(frames.POLICY, "the key's policy does not allow it to leave the appliance")
        private = self._keyring.open_private(request)  # before the clock: what it says is nobody's who has no PIN
        policies.check_time(policy)
        try:
            wrapping_key = keywrap.load_wrapping_key(request.public_key)
        except ValueError as error:
            raise RefusedError(frames.PUBLIC_KEY, "this is no RSA public key of 3072 bits or more") from error
        return frames.Exported(keywrap.wrap(wrapping_key, private.pkcs8))

    def born(self, blank: SealedKey, material: signing.Material, pin_key: bytes | None) -> frames.Generated:
        """Seal a new key."""
        domain = self._keyring.domain()
        record = sealing.close(domain, blank, material.secret, pin_key)
        tag = None if pin_key is None else domain.pin_tag(blank.core, pin_key)
        limited = frames.policy(blank.policy).max_uses is not None
        counter = self._counters.new(record) if limited else None
        return frames.Generated(record, material.public, tag, counter)

    def new_pin_key(self, pin: str | None, salt: bytes) -> bytes | None:
        """Give the key of a new PIN, None for no PIN."""
        return None if pin is None else self._pins.key(PINProof(pin, salt, counted=True))
