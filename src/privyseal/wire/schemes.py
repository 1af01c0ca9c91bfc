"""From the words of a request (mechanism, hash, salt ...) to a `Scheme` that fits the key, checked once."""

from dataclasses import replace
from functools import lru_cache

from privyseal.errors import FieldError, InvalidRequestError
from privyseal.model.keys import Family, KeyType, Use
from privyseal.model.mechanisms import MAC_MECHANISMS, MESSAGE_MECHANISMS, Encoding, Hash, Mechanism, Scheme

_RAW_ECDSA_MAX = 64  # bytes; the longest digest there is
_CMAC_LENGTH = 16
_MAC_MIN = 4  # SP 800-107, section 5.3.3: at least 32 bits
_CONTEXT_MAX = 255  # FIPS 204, algorithm 2
_MU_LENGTH = 64  # FIPS 204, algorithm 7, line 6
_HASH_NEEDED = (Mechanism.RSA_PSS, Mechanism.HASH_ML_DSA)
_PSS_OVERHEAD = 2  # RFC 8017, section 9.1.1: emLen >= hLen + sLen + 2


@lru_cache(maxsize=1024)  # hosts ask for the same few schemes again and again
def scheme_for(
    key_type: KeyType,
    *,
    mechanism: Mechanism | None,
    hash_: Hash | None,
    salt_length: int | None,
    mgf_hash: Hash | None,
    encoding: Encoding,
    context: bytes = b"",
    length: int | None = None,
    hashed_here: bool,
) -> Scheme:
    """Make the scheme for one request; raises InvalidRequestError with every field that does not fit.

    Args:
        key_type: the type of the key that is meant.
        hashed_here: whether the request brings data that the appliance hashes, so that a hash is needed.
    """
    fitting = key_type.mechanisms_for(Use.SIGN)
    if not fitting:
        raise InvalidRequestError.of("mechanism", f"a key of type {key_type.value} cannot sign")
    chosen = mechanism or fitting[0]
    if chosen is Mechanism.ML_DSA and hash_ is not None:
        chosen = Mechanism.HASH_ML_DSA
    if hash_ is None and (chosen is Mechanism.HMAC or (hashed_here and chosen not in MESSAGE_MECHANISMS)):
        hash_ = Hash.SHA_512 if chosen is Mechanism.HASH_ML_DSA else Hash.SHA_256
    scheme = Scheme(chosen, hash_, salt_length, mgf_hash, encoding, context, length=length)
    errors = [*_mechanism_errors(key_type, scheme), *_parameter_errors(key_type, scheme)]
    if errors:
        raise InvalidRequestError(*errors)
    return scheme


def with_mu(scheme: Scheme) -> Scheme:
    """Give the ML-DSA scheme for a message representative; raises InvalidRequestError when a context comes along."""
    if scheme.context:
        raise InvalidRequestError.of("context", "the context is in the message representative already; leave it out")
    return replace(scheme, mu=True)


def check_input(key_type: KeyType, scheme: Scheme, data: bytes, field: str) -> None:
    """Refuse a digest that does not fit; raises InvalidRequestError."""
    message = _length_error(key_type, scheme, len(data))
    if message:
        raise InvalidRequestError.of(field, message)


def _mechanism_errors(key_type: KeyType, scheme: Scheme) -> list[FieldError]:
    if scheme.mechanism in key_type.mechanisms_for(Use.SIGN):
        return []
    fitting = " or ".join(mechanism.value for mechanism in key_type.mechanisms_for(Use.SIGN))
    message = f"{scheme.mechanism.value} does not go with a key of type {key_type.value}; use {fitting}"
    return [FieldError("body.mechanism", message)]


def _parameter_errors(key_type: KeyType, scheme: Scheme) -> list[FieldError]:
    errors = []
    if scheme.mechanism in (Mechanism.EDDSA, Mechanism.AES_CMAC) and scheme.hash:
        errors.append(FieldError("body.hash", f"{scheme.mechanism.value} takes no hash; leave it out"))
    if scheme.mechanism in _HASH_NEEDED and not scheme.hash:
        errors.append(FieldError("body.hash", f"{scheme.mechanism.value} needs a hash"))
    if scheme.mechanism is not Mechanism.RSA_PSS and scheme.salt_length is not None:
        errors.append(FieldError("body.salt_length", "only RSA-PSS has a salt"))
    if scheme.mechanism is not Mechanism.RSA_PSS and scheme.mgf_hash is not None:
        errors.append(FieldError("body.mgf_hash", "only RSA-PSS has a mask generation function"))
    if key_type.family is not Family.EC and scheme.encoding is not Encoding.DER:
        errors.append(FieldError("body.encoding", "only ECDSA signatures have two encodings; leave encoding out"))
    return errors + _salt_errors(key_type, scheme) + _context_errors(scheme) + _mac_errors(scheme)


def _mac_errors(scheme: Scheme) -> list[FieldError]:
    if scheme.length is None:
        return []
    if scheme.mechanism not in MAC_MECHANISMS:
        return [FieldError("body.length", "only HMAC and AES-CMAC can be cut; leave length out")]
    longest = scheme.hash.length if scheme.hash else _CMAC_LENGTH
    if _MAC_MIN <= scheme.length <= longest:
        return []
    return [FieldError("body.length", f"this MAC has {_MAC_MIN} to {longest} bytes")]


def _context_errors(scheme: Scheme) -> list[FieldError]:
    if scheme.context and scheme.mechanism not in (Mechanism.ML_DSA, Mechanism.HASH_ML_DSA):
        return [FieldError("body.context", "only ML-DSA has a context")]
    if len(scheme.context) > _CONTEXT_MAX:
        return [FieldError("body.context", f"a context has at most {_CONTEXT_MAX} bytes, not {len(scheme.context)}")]
    return []


def _salt_errors(key_type: KeyType, scheme: Scheme) -> list[FieldError]:
    if scheme.salt_length is None or scheme.hash is None:
        return []
    room = (key_type.bits + 7) // 8 - scheme.hash.length - _PSS_OVERHEAD
    if 0 <= scheme.salt_length <= room:
        return []
    return [FieldError("body.salt_length", f"with this key and hash a salt has 0 to {room} bytes")]


def _length_error(key_type: KeyType, scheme: Scheme, length: int) -> str | None:
    if scheme.takes_message:
        return None
    if scheme.hash:
        wanted = scheme.hash.length
        return None if length == wanted else f"a {scheme.hash.value} digest has {wanted} bytes, not {length}"
    if scheme.mu and length != _MU_LENGTH:
        return f"without a hash this is the message representative of {_MU_LENGTH} bytes, not {length}"
    if key_type.family is Family.EC and not 1 <= length <= _RAW_ECDSA_MAX:
        return f"a digest without a hash has 1 to {_RAW_ECDSA_MAX} bytes, not {length}"
    if key_type.family is Family.RSA and length > key_type.bits // 8 - 11:  # RFC 8017, section 9.2
        return f"an encoded message for this key has at most {key_type.bits // 8 - 11} bytes, not {length}"
    return None
