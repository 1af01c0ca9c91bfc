"""Secrets on their way into a backup and out of it: into a new keeper, and beside the domain key of a running one."""

import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from msgspec.structs import replace

from privyseal.keeper import backups, sealing, slots
from privyseal.keeper.domain import DamagedError, DomainKey, Secrets
from privyseal.keeper.keyring import Keyring
from privyseal.wire import frames
from support.client_certificates import CURVE, NO_CURVE
from support.keyring import code, generate, sign

PASSPHRASE, SALT = "what opens the safe", b"s" * 16
FILE = b"f" * 32


def pem(key: X25519PrivateKey | ed25519.Ed25519PrivateKey) -> str:
    """A private key as text."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def of_no_curve() -> str:
    """A private key on a curve that there is not, as text."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).replace(CURVE, NO_CURVE)
    return f"-----BEGIN PRIVATE KEY-----\n{base64.b64encode(der).decode()}\n-----END PRIVATE KEY-----\n"


def backed_up(ring: Keyring, rotating: str | None = None) -> frames.SealedBackup:
    """What a backup for the passphrase has in its header."""
    answer = ring.handle(frames.BackupKey(PASSPHRASE, SALT))
    assert isinstance(answer, frames.BackupPublic)
    sealed = ring.handle(frames.SealBackup((answer.public_key,), rotating))
    assert isinstance(sealed, frames.SealedBackup)
    return sealed


def merging(ring: Keyring, sealed: frames.SealedBackup) -> frames.Answer:
    """What a keyring says to a backup beside its own domain key."""
    return ring.handle(frames.OpenMerge(sealed.sealed[0], PASSPHRASE, SALT))


def opened(ring: Keyring, sealed: frames.SealedBackup) -> bytes:
    """The handle of an opened backup."""
    answer = merging(ring, sealed)
    assert isinstance(answer, frames.OpenedMerge)
    assert answer.file_key == sealed.file_key
    return answer.secrets


def successor(ring: Keyring) -> frames.Slots:
    """The first step of a rotation."""
    slot = ring.handle(frames.AddSlot(frames.Opener(slots.KEY_FILE, FILE)))
    assert isinstance(slot, frames.Slot)
    made = ring.handle(frames.Succeed((slot.sealed,)))
    assert isinstance(made, frames.Slots)
    return made


def test_a_passphrase_and_a_private_key_open_what_was_sealed_for_them() -> None:
    """And nothing else: another secret, a damaged file, a key of another kind, no key at all."""
    contents = backups.Contents(backups.new_file_key(), b"secrets")
    private = X25519PrivateKey.generate()
    for public, secret, salt in (
        (backups.public_key(PASSPHRASE, SALT), PASSPHRASE, SALT),
        (private.public_key().public_bytes_raw(), pem(private), b""),
    ):
        sealed = backups.seal(contents, public)
        assert backups.unseal(sealed, secret, salt) == contents
        with pytest.raises(DamagedError, match="does not open"):
            backups.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), secret, salt)
    for secret, said in (
        (pem(X25519PrivateKey.generate()), "does not open"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "not of type X25519"),
        ("-----BEGIN PRIVATE KEY-----", "cannot be read"),
        (of_no_curve(), "cannot be read"),
    ):
        with pytest.raises(DamagedError, match=said):
            backups.unseal(sealed, secret, b"")
    assert repr(contents) == "Contents(…)"


def test_a_new_keeper_takes_the_domain_key_over_once(keyring: Keyring) -> None:
    """The keeper that has one already refuses; the new one signs with the records of the old one."""
    record, sealed = generate(keyring), backed_up(keyring)
    request = frames.OpenBackup(sealed.sealed[0], PASSPHRASE, SALT, FILE)
    assert code(keyring.handle(request)) == frames.FAILED
    new = Keyring({})
    assert isinstance(new.handle(request), frames.OpenedBackup)
    assert isinstance(new.handle(sign(record)), frames.Signatures)
    assert code(new.handle(replace(request, secret="another passphrase"))) == frames.DAMAGED


def test_a_domain_key_that_is_on_its_way_goes_along(keyring: Keyring) -> None:
    """If the rows speak of it: a keeper made of the backup goes on with that rotation. Else it stays away."""
    made = successor(keyring)
    assert backed_up(keyring).domain == backed_up(keyring, made.name).domain
    for rotating, answer in ((made.name, frames.Done), ("another", frames.Refused), (None, frames.Refused)):
        new = Keyring({})
        sealed = backed_up(keyring, rotating).sealed[0]
        assert isinstance(new.handle(frames.OpenBackup(sealed, PASSPHRASE, SALT, FILE)), frames.OpenedBackup)
        assert isinstance(new.handle(frames.Adopt(made.name)), answer)


def test_records_of_an_earlier_backup_are_sealed_anew(keyring: Keyring) -> None:
    """Those from before a rotation, and those from its middle under either key; damaged ones are told apart."""
    old = generate(keyring)
    before = backed_up(keyring)
    made = successor(keyring)
    assert isinstance(keyring.handle(frames.Adopt(made.name)), frames.Done)
    new = generate(keyring)
    middle = backed_up(keyring)
    assert isinstance(keyring.handle(frames.Conclude(made.sealed)), frames.Slots)
    for sealed, records in ((before, (old,)), (middle, (old, new))):
        broken = replace(old, sealed=os.urandom(60))
        request = frames.ResealMerged(opened(keyring, sealed), (*records, broken))
        answer = keyring.handle(request)
        assert isinstance(answer, frames.Resealed)
        assert answer.damaged == (len(records),)
        assert answer.sealed[-1] is None
        for record, anew in zip(records, answer.sealed, strict=False):
            assert anew is not None
            held = keyring.custody.secrets().following
            assert held is not None
            assert sealing.open_outer(held, replace(record, sealed=anew))
            assert isinstance(keyring.handle(sign(replace(record, sealed=anew))), frames.Signatures)


def test_another_appliances_backup_is_not_merged(keyring: Keyring) -> None:
    """Neither a stranger's, nor with a handle that another domain key made."""
    stranger = Keyring({})
    stranger.handle(frames.Provision(frames.Opener(slots.KEY_FILE, FILE)))
    assert code(merging(keyring, backed_up(stranger))) == frames.FOREIGN
    handle = opened(stranger, backed_up(stranger))
    assert code(keyring.handle(frames.ResealMerged(handle, ()))) == frames.DAMAGED
    assert not DomainKey.generate().is_kin(DomainKey.generate())
    keyring.handle(frames.Lock())
    assert code(merging(keyring, backed_up(stranger))) == frames.LOCKED


def test_secrets_are_written_down_with_a_successor() -> None:
    """As a slot has them: both keys come back, with one key for the tags of PINs."""
    current = DomainKey.generate()
    secrets = Secrets.decode(Secrets(current, current.successor()).encode())
    assert secrets.following is not None
    assert secrets.current.is_kin(secrets.following)
