"""Sealed key records: what a stolen database holds.

A record opens only at its place: id, core, type, version and policy are the associated data of the outer layer
(AES-256-GCM under the domain key) and of the inner one (under the key's PIN). Nobody can move, retype or loosen it.
"""

import contextlib
import hashlib

import msgspec

from privyseal.keeper.domain import DamagedError, DomainKey, Secrets, derive, seal, unseal
from privyseal.wire.frames import SealedKey


def place(record: SealedKey) -> bytes:
    """Write down where a record belongs, as the associated data of its layers."""
    return msgspec.msgpack.encode((record.id, record.core, record.type, record.version, record.policy))


def close(domain: DomainKey, record: SealedKey, private: bytes, pin_key: bytes | None) -> SealedKey:
    """Seal a private key into a record; with `pin_key` there are two layers."""
    where = place(record)
    inner = private if pin_key is None else seal(_inner_key(record, pin_key), private, where)
    return close_outer(domain, record, inner)


def close_outer(domain: DomainKey, record: SealedKey, inner: bytes) -> SealedKey:
    """Seal what `open_outer` gave, under any domain key."""
    outer = seal(domain.key_for(record.id, record.version), inner, place(record))
    return msgspec.structs.replace(record, sealed=outer)


def open_outer(domain: DomainKey, record: SealedKey) -> bytes:
    """Open the outer layer: the private key, or for a key with a PIN the inner layer. Raises DamagedError."""
    return unseal(domain.key_for(record.id, record.version), record.sealed, place(record))


def open_either(secrets: Secrets, record: SealedKey) -> bytes:
    """Open the outer layer with the next domain key, if one is on its way, or the present one. Raises DamagedError."""
    if secrets.following is not None:
        with contextlib.suppress(DamagedError):  # not sealed anew yet
            return open_outer(secrets.following, record)
    return open_outer(secrets.current, record)


def open_inner(record: SealedKey, inner: bytes, pin_key: bytes) -> bytes:
    """Open the inner layer with the PIN's key. Raises DamagedError when the PIN does not fit."""
    return unseal(_inner_key(record, pin_key), inner, place(record))


def name(record: SealedKey) -> bytes:
    """Give the name under which an opened key is remembered: any change to the record changes it."""
    return hashlib.sha256(place(record) + record.sealed).digest()


def _inner_key(record: SealedKey, pin_key: bytes) -> bytes:
    return derive(pin_key, f"privyseal pin layer v1 {record.id} {record.version}".encode())
