"""How fast an appliance signs from this host, beside what this host's own processor could do with such a key.

The limit is a loop around the same library in this process, on one core, with a key that is thrown away.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

from privyseal.client.cores import KeyClient
from privyseal.client.records import Key
from privyseal.model.keys import Family, KeyType
from privyseal.wire.primitives import CURVES

BATCH = 100
_DIGEST_BYTES = 32
_HASHED = utils.Prehashed(hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Speed:
    """One figure: what was done, signatures per second, and the ratio to this host's limit."""

    what: str
    per_second: float
    ratio: float


def limit(key_type: KeyType, seconds: float) -> float:
    """Give the signatures per second of a bare loop on one core."""
    sign = _loop(key_type)
    return _counted(lambda: sign(os.urandom(_DIGEST_BYTES)), seconds)


def _loop(key_type: KeyType) -> Callable[[bytes], object]:
    match key_type.family:
        case Family.EC:
            key = ec.generate_private_key(CURVES[key_type])
            return lambda digest: key.sign(digest, ec.ECDSA(_HASHED))
        case Family.RSA:
            rsa_key = rsa.generate_private_key(65537, key_type.bits)
            return lambda digest: rsa_key.sign(digest, padding.PKCS1v15(), _HASHED)
        case _:
            made = ed25519.Ed25519PrivateKey if key_type is KeyType.ED25519 else ed448.Ed448PrivateKey
            return made.generate().sign


def measure(open_key: Callable[[], Iterator[KeyClient]], record: Key, threads: int, seconds: float) -> list[Speed]:
    """Measure single requests from one and from several threads, and batches; each signature makes an event.

    Args:
        open_key: gives the key on a connection of its own, as a generator that closes it.
        record: of the key.
    """
    bare = limit(KeyType(record.type), seconds)
    with _keys(open_key, threads) as keys:
        figures = [
            ("one request at a time", _together(keys[:1], _single(record), seconds)),
            (f"{threads} at a time", _together(keys, _single(record), seconds)),
            (f"batches of {BATCH}, {threads} at a time", BATCH * _together(keys, _batch, seconds)),
        ]
    return [Speed("bare loop on one core of this host", bare, 1.0)] + [
        Speed(what, per_second, per_second / bare) for what, per_second in figures
    ]


@contextmanager
def _keys(open_key: Callable[[], Iterator[KeyClient]], count: int) -> Iterator[list[KeyClient]]:
    opened = [open_key() for _ in range(count)]
    try:
        yield [next(one) for one in opened]
    finally:
        for one in opened:
            next(one, None)


def _single(record: Key) -> Callable[[KeyClient], object]:
    if KeyType(record.type).family is Family.ED:
        return lambda key: key.sign(data=os.urandom(_DIGEST_BYTES))
    return lambda key: key.sign(digest=os.urandom(_DIGEST_BYTES), hash_name="SHA-256")


def _batch(key: KeyClient) -> object:
    return key.sign_batch([os.urandom(_DIGEST_BYTES) for _ in range(BATCH)])


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
