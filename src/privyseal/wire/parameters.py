"""From the words of a request (iv, aad, hash ...) to the parameters of a mechanism that fits the key, checked once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from privyseal.errors import FieldError, InvalidRequestError
from privyseal.model.keys import KeyType, Use
from privyseal.model.mechanisms import Hash, Mechanism
from privyseal.wire.bodies import DATA_MAX
from privyseal.wire.encryption import rsa_room
from privyseal.wire.frames import Parameters

BLOCK = 16
VERIFY = "verify"
"""The verb of what only the secret key can do beside its uses: checking a MAC."""
X963 = "X9.63"
DERIVED_MAX = 255 * 28  # bytes; what HKDF gives at most with the shortest hash
_GCM_IV = (8, 128)  # bytes; the library's limits
_TAG = (12, 16)  # SP 800-38D, section 5.2.1.2; shorter tags are for special protocols
_SHARED_MAX = 4096
_DERIVING = (Mechanism.ECDH, Mechanism.HKDF, Mechanism.SP800_108_COUNTER)
_CAPSULES = {KeyType.ML_KEM_768: 1088, KeyType.ML_KEM_1024: 1568}  # FIPS 203, table 3
_IV_LENGTHS = {Mechanism.AES_GCM: 12, Mechanism.AES_CBC: BLOCK, Mechanism.AES_CBC_PAD: BLOCK, Mechanism.AES_CTR: BLOCK}
_FIELDS: dict[Mechanism, tuple[str, ...]] = {
    Mechanism.AES_CBC: ("iv",),
    Mechanism.AES_CBC_PAD: ("iv",),
    Mechanism.AES_CTR: ("iv", "counter"),
    Mechanism.AES_GCM: ("iv", "aad", "tag_length"),
    Mechanism.ECDH: ("public_key", "kdf", "hash", "shared_info", "length"),
    Mechanism.HKDF: ("hash", "salt", "info", "length"),
    Mechanism.RSA_OAEP: ("hash", "mgf_hash", "label"),
    Mechanism.SP800_108_COUNTER: ("hash", "label", "context", "length"),
}
"""The fields that go with each mechanism; those that are not here have none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One use of a key with all its parameters."""

    use: Use
    mechanism: Mechanism
    parameters: Parameters

    @property
    def name(self) -> str:
        """The use as the record writes it, for example `decrypt RSA-OAEP-SHA-256`."""
        return recorded(self.use.value, self.mechanism.value, self.parameters.hash)


def recorded(verb: str, mechanism: str, hash_: str | None) -> str:
    """Name a use for the record.

    The verb stands in front where one mechanism has several, so that none passes for another.
    """
    name = mechanism if hash_ is None else f"{mechanism}-{hash_}"
    return name if verb == Use.DERIVE.value else f"{verb} {name}"


def verb_of(name: str) -> str:
    """Give the verb of a use by its name in the record."""
    verb, _, mechanism = name.partition(" ")
    if mechanism:
        return verb
    derives = any(name.startswith(one.value) for one in _DERIVING)
    return Use.DERIVE.value if derives else Use.SIGN.value


def counted(verb: str, data: bytes, parameters: Parameters, value: bytes | None) -> bytes:
    """Give what the record has the digest of: never a plaintext, because a short one could be guessed from it."""
    match verb:
        case Use.ENCRYPT.value:
            return value or b""
        case Use.DERIVE.value:
            return parameters.public_key or parameters.info or parameters.context
        case _:
            return data


def wrapped_input(key_id: str, wrapped: bytes) -> bytes:
    """Give what the record has the digest of when a key leaves wrapped: which one, and in which form."""
    return key_id.encode() + b"\0" + wrapped


def wanted(key_type: KeyType, use: Use, mechanism: Mechanism | None, given: Mapping[str, Any]) -> Wanted:
    """Make the parameters for one request; raises InvalidRequestError with every field that does not fit.

    Args:
        given: by the names of `Parameters`, what the request brings; hashes as `Hash`.
    """
    fitting = key_type.mechanisms_for(use)
    if not fitting:
        raise InvalidRequestError.of("mechanism", f"a key of type {key_type.value} cannot {use.value}")
    chosen = mechanism or fitting[0]
    if chosen not in fitting:
        words = f"to {use.value} with a key of type {key_type.value} use {' or '.join(one.value for one in fitting)}"
        raise InvalidRequestError.of("mechanism", words)
    allowed = _FIELDS.get(chosen, ())
    values = {name: value.value if isinstance(value, Hash) else value for name, value in given.items()}
    errors = [FieldError(f"body.{name}", f"{chosen.value} has none") for name in values if name not in allowed]
    parameters = _with_hash(chosen, msgspec.structs.replace(Parameters(), **values))
    errors += _errors(chosen, use, parameters)
    if errors:
        raise InvalidRequestError(*errors)
    return Wanted(use, chosen, parameters)


def iv_length(mechanism: Mechanism) -> int:
    """Say how long the initialisation vector is that the appliance makes; 0 for a mechanism without one."""
    return _IV_LENGTHS.get(mechanism, 0)


def check_data(key_type: KeyType, wish: Wanted, data: bytes, field: str = "data") -> None:
    """Refuse data whose length does not fit; raises InvalidRequestError. The length is no secret."""
    checks = _ENCRYPTED if wish.use is Use.ENCRYPT else _DECRYPTED
    check = checks.get(wish.mechanism)
    message = check(key_type, wish.parameters, len(data)) if check else None
    if message:
        raise InvalidRequestError.of(field, message)


def _with_hash(mechanism: Mechanism, parameters: Parameters) -> Parameters:
    """Put the hash in where one is needed and none was named."""
    needs = mechanism is not Mechanism.ECDH or parameters.kdf is not None
    if parameters.hash is not None or "hash" not in _FIELDS.get(mechanism, ()) or not needs:
        return parameters
    return msgspec.structs.replace(parameters, hash=Hash.SHA_256.value)


def _errors(mechanism: Mechanism, use: Use, parameters: Parameters) -> list[FieldError]:
    errors = _iv_errors(mechanism, use, parameters)
    if not _TAG[0] <= parameters.tag_length <= _TAG[1]:
        errors.append(FieldError("body.tag_length", f"a tag has {_TAG[0]} to {_TAG[1]} bytes"))
    if not 1 <= parameters.counter <= 8 * BLOCK:
        errors.append(FieldError("body.counter", f"1 to {8 * BLOCK} bits of the block count"))
    if parameters.length is not None and not 1 <= parameters.length <= DERIVED_MAX:
        errors.append(FieldError("body.length", f"1 to {DERIVED_MAX} bytes can be derived"))
    if mechanism is Mechanism.ECDH:
        errors += _ecdh_errors(parameters)
    if len(parameters.aad) > DATA_MAX:
        errors.append(FieldError("body.aad", f"at most {DATA_MAX} bytes go in here"))
    errors += [
        FieldError(f"body.{name}", f"at most {_SHARED_MAX} bytes go in here")
        for name in ("public_key", "shared_info", "salt", "info", "context", "label")
        if len(getattr(parameters, name)) > _SHARED_MAX
    ]
    return errors


def _iv_errors(mechanism: Mechanism, use: Use, parameters: Parameters) -> list[FieldError]:
    length, given = iv_length(mechanism), len(parameters.iv)
    if length == 0 or (given == 0 and use is Use.ENCRYPT):  # then the appliance makes one
        return []
    if given == 0:
        return [FieldError("body.iv", "this field is missing: it came with the ciphertext")]
    if mechanism is Mechanism.AES_GCM:
        fits = _GCM_IV[0] <= given <= _GCM_IV[1]
        return [] if fits else [FieldError("body.iv", f"an iv for GCM has {_GCM_IV[0]} to {_GCM_IV[1]} bytes")]
    return [] if given == length else [FieldError("body.iv", f"an iv has {length} bytes, not {given}")]


def _ecdh_errors(parameters: Parameters) -> list[FieldError]:
    errors = []
    if not parameters.public_key:
        errors.append(FieldError("body.public_key", "this field is missing: the other's public key"))
    if parameters.kdf not in (None, X963):
        errors.append(FieldError("body.kdf", f"null for the shared secret itself, or {X963}"))
    if parameters.kdf is None and (parameters.hash or parameters.shared_info or parameters.length is not None):
        errors.append(FieldError("body.kdf", f"hash, shared_info and length are for {X963}"))
    return errors


_Check = Callable[[KeyType, Parameters, int], str | None]


def _blocks(_: KeyType, __: Parameters, length: int) -> str | None:
    return None if length % BLOCK == 0 else f"without padding the data has a multiple of {BLOCK} bytes, not {length}"


def _padded(_: KeyType, __: Parameters, length: int) -> str | None:
    fits = length > 0 and length % BLOCK == 0
    return None if fits else f"the ciphertext has a multiple of {BLOCK} bytes, not {length}"


def _counted(_: KeyType, parameters: Parameters, length: int) -> str | None:
    start = int.from_bytes(parameters.iv, "big") % 2**parameters.counter
    blocks = -(-length // BLOCK)
    return None if start + blocks <= 2**parameters.counter else "the counter would overflow, and the key stream repeat"


def _tagged(_: KeyType, parameters: Parameters, length: int) -> str | None:
    least = parameters.tag_length
    return None if length >= least else f"the ciphertext has {least} bytes or more, the tag behind it"


def _modulus(key_type: KeyType, _: Parameters, length: int) -> str | None:
    wants = key_type.bits // 8
    return None if length == wants else f"the ciphertext has as many bytes as the modulus, {wants}, not {length}"


def _room(mechanism: Mechanism) -> _Check:
    def check(key_type: KeyType, parameters: Parameters, length: int) -> str | None:
        room = rsa_room(key_type.bits, mechanism, parameters)
        return None if length <= room else f"with this key and hash {max(room, 0)} bytes can be encrypted, not {length}"

    return check


def _capsule(key_type: KeyType, _: Parameters, length: int) -> str | None:
    wants = _CAPSULES[key_type]
    return None if length == wants else f"a ciphertext for this key has {wants} bytes, not {length}"


_ENCRYPTED: dict[Mechanism, _Check] = {
    Mechanism.AES_CBC: _blocks,
    Mechanism.AES_CTR: _counted,
    Mechanism.AES_ECB: _blocks,
    Mechanism.RSA_OAEP: _room(Mechanism.RSA_OAEP),
    Mechanism.RSA_PKCS1: _room(Mechanism.RSA_PKCS1),
}
_DECRYPTED: dict[Mechanism, _Check] = {
    Mechanism.AES_CBC: _blocks,
    Mechanism.AES_CBC_PAD: _padded,
    Mechanism.AES_CTR: _counted,
    Mechanism.AES_ECB: _blocks,
    Mechanism.AES_GCM: _tagged,
    Mechanism.ML_KEM: _capsule,
    Mechanism.RSA_OAEP: _modulus,
    Mechanism.RSA_PKCS1: _modulus,
}
