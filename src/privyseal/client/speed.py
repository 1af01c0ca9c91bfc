"""How fast an appliance signs from this host, beside what this host's own processor could do with such a key.

The limit is a loop around the same library in this process, on one core, with a key that is thrown away.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa, utils

from privyseal.client.cores import KeyClient
from privyseal.client.errors import InvalidInputError
from privyseal.client.records import Key
from privyseal.model.keys import Family, KeyType
from privyseal.wire.primitives import CURVES


class _Signs(Protocol):
    """A private key that signs a whole message."""

    def sign(self, data: bytes, /) -> bytes:
        """Its signature."""


BATCH = 100
_DIGEST_BYTES = 32
_HASH = "SHA-256"
_OF_MESSAGES: dict[KeyType, Callable[[], _Signs]] = {
    KeyType.ED25519: ed25519.Ed25519PrivateKey.generate,
    KeyType.ED448: ed448.Ed448PrivateKey.generate,
    KeyType.ML_DSA_44: mldsa.MLDSA44PrivateKey.generate,
    KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey.generate,
    KeyType.ML_DSA_87: mldsa.MLDSA87PrivateKey.generate,
}
_HASHED = utils.Prehashed(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Speed:
    """One figure: what was done, signatures per second, and the ratio to this host's limit."""

    what: str
    per_second: float
    ratio: float


def limit(key_type: KeyType, seconds: float) -> float:
    """Give the signatures per second of a bare loop on one core; errors as for `measure`."""
    sign = _loop(key_type)
    return _counted(lambda: sign(os.urandom(_DIGEST_BYTES)), seconds)


def _loop(key_type: KeyType) -> Callable[[bytes], object]:
    if key_type in _OF_MESSAGES:
        return _OF_MESSAGES[key_type]().sign
    if key_type.family is Family.EC:
        key = ec.generate_private_key(CURVES[key_type])
        return lambda digest: key.sign(digest, ec.ECDSA(_HASHED))
    if key_type.family is Family.RSA:
        rsa_key = rsa.generate_private_key(65537, key_type.bits)
        return lambda digest: rsa_key.sign(digest, padding.PKCS1v15(), _HASHED)
    raise InvalidInputError(f"a key of type {key_type.value} is not measured: RSA, EC, Ed25519, Ed448 and ML-DSA are")


def measure(
    open_key: Callable[[], AbstractContextManager[KeyClient]], record: Key, threads: int, seconds: float
) -> list[Speed]:
    """Measure single requests from one and from several threads, and batches; each signature makes an event.

    Args:
        open_key: gives the key on a connection of its own, which ends with the context.
        record: of the key. There is no figure for batches where its policy refuses digests.
        threads: how many.
        seconds: for each figure.

    Raises:
        InvalidInputError: there is no limit for keys of this type.
    """
    bare = limit(KeyType(record.type), seconds)
    with ExitStack() as opened:
        keys = [opened.enter_context(open_key()) for _ in range(threads)]
        figures = [
            ("one request at a time", _together(keys[:1], _single(record), seconds)),
            (f"{threads} at a time", _together(keys, _single(record), seconds)),
        ]
        if record.signs_messages or not record.wants_data:
            per_second = BATCH * _together(keys, _batch(record), seconds)
            figures.append((f"batches of {BATCH}, {threads} at a time", per_second))
    return [Speed("bare loop on one core of this host", bare, 1.0)] + [
        Speed(what, per_second, per_second / bare) for what, per_second in figures
    ]


def _single(record: Key) -> Callable[[KeyClient], object]:
    if record.wants_data:
        hash_name = None if record.signs_messages else _HASH
        return lambda key: key.sign(data=os.urandom(_DIGEST_BYTES), hash_name=hash_name)
    return lambda key: key.sign(digest=os.urandom(_DIGEST_BYTES), hash_name=_HASH)


def _batch(record: Key) -> Callable[[KeyClient], object]:
    hash_name = None if record.signs_messages else _HASH
    return lambda key: key.sign_batch([os.urandom(_DIGEST_BYTES) for _ in range(BATCH)], hash_name=hash_name)


def _together(keys: list[KeyClient], work: Callable[[KeyClient], object], seconds: float) -> float:
    with ThreadPoolExecutor(len(keys)) as pool:
        return sum(pool.map(lambda key: _counted(lambda: work(key), seconds), keys))


def _counted(work: Callable[[], object], seconds: float) -> float:
    """Give how often a second something was done, in at least so many seconds and at least once."""
    began, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds or not count:
        work()
        count += 1
    return count / passed if passed else 0.0
