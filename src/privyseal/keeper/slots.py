"""Unlock slots: each opens the domain key with a secret of its own, which is stored nowhere.

A slot's secret gives an X25519 key pair (RFC 7748), and the domain key is sealed to its public half. So a new domain
key can be sealed for every slot without asking anybody for a passphrase; and who knew an old domain key cannot open
the slot that holds the new one. A mark under the domain key says that the public half is the slot's own: a slot that
somebody put into the database opens nothing and gets nothing.
"""

import hashlib
import hmac
import os
import unicodedata

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from privyseal.keeper import shares
from privyseal.keeper.domain import KEY_LENGTH, DamagedError, DomainKey, Secrets, derive, seal, unseal
from privyseal.keeper.pins import stretch
from privyseal.keeper.shares import Share
from privyseal.wire.frames import Opener

KEY_FILE, PASSPHRASE, SHARES = "key-file", "passphrase", "shares"
ITERATIONS, MEMORY = 3, 64 * 1024  # RFC 9106, section 4, second recommended option; MEMORY is in KiB
_ITERATIONS_MAX, _MEMORY_MAX = 16, 1024 * 1024  # what a slot from the database may ask for
_SLOT = b"privyseal unlock slot v2"
_FIRST_FORM = b"privyseal unlock slot v1"
_FIRST_FORM_LENGTH = 12 + KEY_LENGTH + 16


class WrongSecretError(Exception):
    """No slot opens with this."""


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """What the store keeps of a slot.

    Attributes:
        salt, iterations, memory: parameters of Argon2id (RFC 9106), for a passphrase.
        set, needed, checks: for shares, their set, how many open it, and a digest of each to find a wrong one at once.
        public: where the domain key is sealed to.
        mark: says under the domain key that all of this is its own.
        sealed: an ephemeral public key and what is sealed with it.
    """

    kind: str
    salt: bytes = b""
    iterations: int = 0
    memory: int = 0
    set: bytes = b""
    needed: int = 0
    checks: tuple[bytes, ...] = ()
    public: bytes = b""
    mark: bytes = b""
    sealed: bytes = b""


class Made(msgspec.Struct, frozen=True):
    """A new slot and, for shares, what to hand to their keepers: once, and never again."""

    slot: Slot
    shares: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show nothing."""
        return "Made(…)"


_decoder = msgspec.msgpack.Decoder(Slot)


def encode(slot: Slot) -> bytes:
    """Write a slot for the store."""
    return msgspec.msgpack.encode(slot)


def decode(data: bytes) -> Slot:
    """Read a slot from the store. Raises DamagedError."""
    try:
        slot = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise DamagedError("this is no unlock slot") from error
    if slot.iterations > _ITERATIONS_MAX or slot.memory > _MEMORY_MAX:
        raise DamagedError("the slot asks for more memory or time than any of ours")
    return slot


def is_first_form(data: bytes) -> bool:
    """Say whether a slot is of the first schema: nonce, sealed domain key and tag, and nothing else."""
    return len(data) == _FIRST_FORM_LENGTH


def open_first_form(data: bytes, secret: bytes) -> Secrets:
    """Open a slot of the first schema with its key file. Raises DamagedError."""
    return Secrets(DomainKey(unseal(derive(secret, _FIRST_FORM), data, _FIRST_FORM)))


def make(secrets: Secrets, opener: Opener) -> Made:
    """Make a slot. Raises ValueError for shares that cannot be."""
    match opener.way:
        case "passphrase":
            blank = Slot(PASSPHRASE, salt=os.urandom(16), iterations=ITERATIONS, memory=MEMORY)
            return Made(_fill(secrets, blank, from_passphrase(blank, opener.secret)))
        case "shares":
            return _make_shares(secrets, opener)
        case _:
            return Made(_fill(secrets, Slot(KEY_FILE), opener.secret))


def _make_shares(secrets: Secrets, opener: Opener) -> Made:
    secret, name = os.urandom(KEY_LENGTH), os.urandom(5)
    values = shares.split(secret, opener.needed, opener.total)
    every = [Share(name, opener.needed, number, value) for number, value in enumerate(values, 1)]
    blank = Slot(SHARES, set=name, needed=opener.needed, checks=tuple(_check(share) for share in every))
    return Made(_fill(secrets, blank, secret), tuple(shares.write(share) for share in every))


def _check(share: Share) -> bytes:
    """Give a digest that tells a right share from a wrong one; 256 random bits do not let themselves be guessed."""
    return hashlib.sha256(b"privyseal share check v1" + bytes((share.number,)) + share.value).digest()[:16]


def is_share_of(slot: Slot, share: Share) -> bool:
    """Say whether a share is one of this slot's, unaltered."""
    right_set = slot.kind == SHARES and hmac.compare_digest(slot.set, share.set) and slot.needed == share.needed
    known = 1 <= share.number <= len(slot.checks)
    return right_set and known and hmac.compare_digest(slot.checks[share.number - 1], _check(share))


def from_passphrase(slot: Slot, passphrase: bytes) -> bytes:
    """Stretch a passphrase with the slot's own parameters. One that was typed on another keyboard is the same."""
    text = unicodedata.normalize("NFKC", passphrase.decode())
    return stretch(text, slot.salt, slot.iterations, slot.memory)


def open_slot(slot: Slot, secret: bytes) -> Secrets:
    """Open a slot. Raises WrongSecretError when the secret does not fit, or the slot is not what it was."""
    private = _private(secret)
    try:
        there = X25519PublicKey.from_public_bytes(slot.sealed[:KEY_LENGTH])
        key = _agreed(private.exchange(there), slot.sealed[:KEY_LENGTH], _raw(private.public_key()))
        opened = Secrets.decode(unseal(key, slot.sealed[KEY_LENGTH:], _place(slot)))
    except (DamagedError, ValueError) as error:
        raise WrongSecretError("no slot opens with this") from error
    check_mark(opened.current, slot)
    return opened


def reseal(slot: Slot, secrets: Secrets, marked_by: DomainKey) -> Slot:
    """Seal other domain keys for a slot. Raises DamagedError when the mark is not `marked_by`'s."""
    check_mark(marked_by, slot)
    return _seal(secrets, slot)


def check_mark(domain: DomainKey, slot: Slot) -> None:
    """Check that a slot is one that this domain key marked; raises DamagedError."""
    if not hmac.compare_digest(slot.mark, domain.mark(_place(slot))):
        raise DamagedError("the unlock slot was not made here; remove it")


def _fill(secrets: Secrets, blank: Slot, secret: bytes) -> Slot:
    return _seal(secrets, msgspec.structs.replace(blank, public=_raw(_private(secret).public_key())))


def _seal(secrets: Secrets, slot: Slot) -> Slot:
    ephemeral = X25519PrivateKey.generate()
    public = _raw(ephemeral.public_key())
    key = _agreed(ephemeral.exchange(X25519PublicKey.from_public_bytes(slot.public)), public, slot.public)
    sealed = public + seal(key, secrets.encode(), _place(slot))
    return msgspec.structs.replace(slot, mark=secrets.current.mark(_place(slot)), sealed=sealed)


def _place(slot: Slot) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(slot, mark=b"", sealed=b""))


def _private(secret: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(derive(secret, _SLOT))


def _agreed(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    return derive(shared, _SLOT + b" seal" + ephemeral + public)


def _raw(public: X25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
