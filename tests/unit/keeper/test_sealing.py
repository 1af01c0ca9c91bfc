"""Sealed records open at their place, under their key and PIN, and nowhere else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from privyseal.keeper import sealing, slots
from privyseal.keeper.domain import DamagedError, DomainKey, Secrets, derive
from privyseal.wire import frames

DOMAIN, PIN_KEY = DomainKey(bytes(range(32))), b"p" * 32
POLICY = frames.encode_policy(frames.Policy(("ECDSA",), pin=True))
BLANK = frames.SealedKey("f90fb8e79e60a1b2", 1, "ec:P-256", 1, POLICY, b"")
LOOSER = frames.encode_policy(frames.Policy(("ECDSA", "RSA-PSS"), pin=False))
MOVED: list[dict[str, object]] = [
    {"id": "f90fb8e79e60a1b3"},
    {"core": 2},
    {"type": "ed25519"},
    {"version": 2},
    {"policy": LOOSER},
]


@given(private=st.binary(max_size=300), pin_key=st.none() | st.binary(min_size=32, max_size=32))
def test_what_was_sealed_comes_back(private: bytes, pin_key: bytes | None) -> None:
    """With a PIN's layer and without one; and with it, the outer layer alone does not show the private key."""
    record = sealing.close(DOMAIN, BLANK, private, pin_key)
    inner = sealing.open_outer(DOMAIN, record)
    assert private == (inner if pin_key is None else sealing.open_inner(record, inner, pin_key))
    assert pin_key is None or len(private) < 4 or private not in inner


@pytest.mark.parametrize("change", MOVED, ids=lambda change: next(iter(change)))
def test_a_moved_record_opens_neither_layer(change: dict[str, object]) -> None:
    """Another id, core, type, version or policy: each layer refuses by itself."""
    record = sealing.close(DOMAIN, BLANK, b"private", PIN_KEY)
    inner = sealing.open_outer(DOMAIN, record)
    with pytest.raises(DamagedError):
        sealing.open_outer(DOMAIN, replace(record, **change))
    with pytest.raises(DamagedError):
        sealing.open_inner(replace(record, **change), inner, PIN_KEY)


@given(data=st.data())
def test_an_altered_record_does_not_open(data: st.DataObject) -> None:
    """Any bit turned over, or any end cut off."""
    record = sealing.close(DOMAIN, BLANK, b"private", None)
    place = data.draw(st.integers(0, len(record.sealed) - 1))
    turned = bytearray(record.sealed)
    turned[place] ^= 1 << data.draw(st.integers(0, 7))
    for sealed in (bytes(turned), record.sealed[:place]):
        with pytest.raises(DamagedError):
            sealing.open_outer(DOMAIN, replace(record, sealed=sealed))


def test_another_domain_key_or_pin_opens_nothing() -> None:
    """A stolen record is worth nothing elsewhere; another PIN is as good as none."""
    record = sealing.close(DOMAIN, BLANK, b"private", PIN_KEY)
    with pytest.raises(DamagedError):
        sealing.open_outer(DomainKey.generate(), record)
    with pytest.raises(DamagedError):
        sealing.open_inner(record, sealing.open_outer(DOMAIN, record), b"q" * 32)


def test_a_slot_opens_with_its_secret_only() -> None:
    """And gives back the same domain key."""
    slot = slots.make(Secrets(DOMAIN), frames.Opener("key-file", b"secret")).slot
    assert slots.open_slot(slot, b"secret").current.key_for("a", 1) == DOMAIN.key_for("a", 1)
    for damaged in (slot.sealed[:-1], b"", slot.sealed[:32] + bytes(len(slot.sealed) - 32)):
        with pytest.raises(slots.WrongSecretError):
            slots.open_slot(msgspec.structs.replace(slot, sealed=damaged), b"secret")
    with pytest.raises(slots.WrongSecretError):
        slots.open_slot(slot, b"another")
    with pytest.raises(DamagedError):
        DomainKey(b"too short")


def test_no_two_uses_share_a_key() -> None:
    """Keys differ by id, by version and by purpose; a PIN's tag differs by core."""
    keys = {DOMAIN.key_for("a", 1), DOMAIN.key_for("a", 11), DOMAIN.key_for("a 1", 1), derive(bytes(range(32)), b"")}
    assert len(keys) == 4
    assert DOMAIN.pin_tag(1, PIN_KEY) != DOMAIN.pin_tag(2, PIN_KEY)


def test_every_change_changes_a_records_name() -> None:
    """An opened key is remembered under a name that no other record has."""
    record = sealing.close(DOMAIN, BLANK, b"private", None)
    changes: list[dict[str, object]] = [{}, *MOVED, {"sealed": b""}]
    names = {sealing.name(replace(record, **change)) for change in changes}
    assert len(names) == len(MOVED) + 2


def test_the_domain_key_does_not_print_itself() -> None:
    """Neither do messages that carry secrets."""
    assert repr(DOMAIN) == "DomainKey(…)"
    assert "12345678" not in repr(frames.PINProof("12345678", b"", counted=True))
    assert "ticket" not in repr(frames.Logout("alice", 1, "ticket")).lower()
