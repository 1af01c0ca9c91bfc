"""Keys that wrap and unwrap other keys. What is unwrapped never leaves, and what is wrapped was made exportable.

A private key is wrapped as PKCS #8 (DER), a symmetric key as its bytes, as PKCS #11 does it.
"""

import msgspec

from privyseal.keeper import policies, signing
from privyseal.keeper.applying import DOES_NOT_FIT
from privyseal.keeper.counters import Counters
from privyseal.keeper.life import Keeping, Life
from privyseal.keeper.refused import RefusedError
from privyseal.keeper.unrecorded import Worker
from privyseal.keeper.uses import UseCounter
from privyseal.keeper.verbs import Key
from privyseal.model.keys import KeyType, Use
from privyseal.model.mechanisms import Mechanism
from privyseal.wire import frames, parameters


class Wrapping:
    """What happens to keys under other keys in one keeper."""

    def __init__(self, keyring: Keeping, life: Life, uses: UseCounter, counters: Counters) -> None:
        self._keyring = keyring
        self._life = life
        self._uses = uses
        self._counters = counters

    def wrap(self, request: frames.Wrap, worker: Worker | None = None) -> frames.Applied:
        """Wrap one key with another; both are opened by the same proof, and each policy has its say."""
        target = frames.policy(request.target.policy)
        if not target.exportable:
            raise RefusedError(frames.POLICY, "the policy of the key to wrap does not allow it to leave the appliance")
        key = self._open(request, Use.WRAP)
        material = self._keyring.open_private(msgspec.structs.replace(request, record=request.target)).pkcs8
        policies.check_time(target)
        uses, counter = self._counters.use(request.record, frames.policy(request.record.policy), request.counter)
        try:
            wrapped = key.wrap(Mechanism(request.mechanism), request.parameters, material)
        except ValueError as error:
            raise RefusedError(frames.INPUT, "the key to wrap is too long or too short for this mechanism") from error
        number = self._count(
            (request.user, worker), request, Use.WRAP, parameters.wrapped_input(request.target.id, wrapped)
        )
        return frames.Applied(wrapped, self._uses.keeper, number, uses, counter)

    def unwrap(self, request: frames.Unwrap, worker: Worker | None = None) -> frames.Unwrapped:
        """Unwrap a key and seal it as a new one."""
        key_type = KeyType(request.type)
        pin = request.new_pin is not None
        policy = policies.at_birth(key_type, request.policy, pin=pin, origin=policies.IMPORTED)
        key = self._open(request, Use.UNWRAP)
        uses, counter = self._counters.use(request.record, frames.policy(request.record.policy), request.counter)
        material = _unwrapped(key, request, key_type)
        number = self._count((request.user, worker), request, Use.UNWRAP, request.wrapped)
        if material is None:
            return frames.Unwrapped(None, self._uses.keeper, number, uses, counter)
        blank = frames.SealedKey(request.id, request.core, request.type, 1, frames.encode_policy(policy), b"")
        made = self._life.born(blank, material, self._life.new_pin_key(request.new_pin, request.salt))
        return frames.Unwrapped(made, self._uses.keeper, number, uses, counter)

    def _open(self, request: frames.Wrap | frames.Unwrap, use: Use) -> Key:
        """Open the key that wraps. First its PIN is checked: who has none does not learn what its policy allows."""
        key_type = KeyType(request.record.type)
        secret = self._keyring.open_private(request).pkcs8
        policies.check_use(frames.policy(request.record.policy), key_type, use, request.mechanism, request.parameters)
        return signing.load(key_type, secret)

    def _count(self, by: tuple[str, Worker | None], request: frames.Wrap | frames.Unwrap, use: Use, what: bytes) -> int:
        name = parameters.recorded(use.value, request.mechanism, request.parameters.hash)
        return self._uses.count(by, request.core, request.record.id, name, (what,))


def _unwrapped(key: Key, request: frames.Unwrap, key_type: KeyType) -> signing.Material | None:
    """Give the key that was wrapped, None when it is not one of the type that was said."""
    try:
        secret = key.unwrap(Mechanism(request.mechanism), request.parameters, request.wrapped)
        if key_type.is_symmetric:
            return signing.Material(secret, b"") if len(secret) == key_type.bits // 8 else None
        private, found = signing.from_elsewhere(secret)
    except (*DOES_NOT_FIT, signing.ForeignKeyError):
        return None
    return signing.material_of(private) if found is key_type else None
