"""Sealed records open at their place only, and tickets for their owner only."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseal.keeper import sealing, slots
from privyseal.keeper.domain import DamagedError, DomainKey, Secrets
from privyseal.keeper.keyring import Keyring
from privyseal.keeper.pins import PINs, TicketError, Tickets, UncountedError
from privyseal.wire import frames
from privyseal.wire.frames import PINProof, SealedKey, Sign, TicketProof

DOMAIN = DomainKey(bytes(32))
BLANK = SealedKey("ab" * 8, 1, "ec:P-256", 1, frames.encode_policy(frames.Policy(("ECDSA",), pin=True)), b"")
RECORD = sealing.close(DOMAIN, BLANK, b"private", b"p" * 32)


def opened(record: SealedKey, domain: DomainKey = DOMAIN, pin_key: bytes = b"p" * 32) -> bytes:
    """Open both layers of a record."""
    return sealing.open_inner(record, sealing.open_outer(domain, record), pin_key)


def test_a_record_opens_with_its_domain_key_and_pin() -> None:
    """With both, and with neither missing."""
    assert opened(RECORD) == b"private"
    with pytest.raises(DamagedError):
        opened(RECORD, pin_key=b"q" * 32)
    with pytest.raises(DamagedError):
        opened(RECORD, domain=DomainKey.generate())


@pytest.mark.parametrize(
    "change",
    [
        {"id": "cd" * 8},
        {"core": 2},
        {"type": "ec:P-384"},
        {"version": 2},
        {"policy": frames.encode_policy(frames.Policy(("ECDSA",), pin=False))},
        {"policy": frames.encode_policy(frames.Policy(("ECDSA", "RSA-PSS"), pin=True))},
    ],
)
def test_a_record_cannot_be_moved_retyped_or_loosened(change: dict[str, object]) -> None:
    """Whoever has the database can neither give a key another place nor change its policy."""
    with pytest.raises(DamagedError):
        opened(msgspec.structs.replace(RECORD, **change))


@given(place=st.integers(0, len(RECORD.sealed) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_sealed_record_can_change(place: int, bit: int) -> None:
    """Any flipped bit is found."""
    sealed = bytearray(RECORD.sealed)
    sealed[place] ^= 1 << bit
    with pytest.raises(DamagedError):
        opened(msgspec.structs.replace(RECORD, sealed=bytes(sealed)))


def test_an_unlock_slot_opens_with_its_secret_only() -> None:
    """The domain key under the key file."""
    slot = slots.make(Secrets(DOMAIN), frames.Opener("key-file", b"file")).slot
    assert slots.open_slot(slot, b"file").current.key_for("x", 1) == DOMAIN.key_for("x", 1)
    with pytest.raises(slots.WrongSecretError):
        slots.open_slot(slot, b"other file")


def test_a_ticket_is_for_one_user_and_core_and_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody else, any other core, any other time and any other appliance is refused."""
    tickets = Tickets(DOMAIN)
    ticket = tickets.issue("alice", 1, b"pin key")
    assert tickets.redeem(ticket.text, "alice", 1) == b"pin key"
    for user, core in (("bob", 1), ("alice", 2)):
        with pytest.raises(TicketError):
            tickets.redeem(ticket.text, user, core)
    with pytest.raises(TicketError):
        Tickets(DomainKey.generate()).redeem(ticket.text, "alice", 1)
    with pytest.raises(TicketError):
        Tickets(DOMAIN, (ticket.id,)).redeem(ticket.text, "alice", 1)
    monkeypatch.setattr(time, "time", lambda: float(ticket.expires))
    with pytest.raises(TicketError):
        tickets.redeem(ticket.text, "alice", 1)


@given(st.text())
def test_nonsense_is_no_ticket(text: str) -> None:
    """Whatever comes in, the answer is a refusal."""
    with pytest.raises(TicketError):
        Tickets(DOMAIN).redeem(text, "alice", 1)


def test_a_pin_is_stretched_only_when_it_was_counted() -> None:
    """Before that it is unknown; after that it is recognised."""
    pins = PINs()
    with pytest.raises(UncountedError):
        pins.key(PINProof("12345678", b"s" * 16, counted=False))
    key = pins.key(PINProof("12345678", b"s" * 16, counted=True))
    assert pins.key(PINProof("12345678", b"s" * 16, counted=False)) == key
    assert pins.key(PINProof("12345678", b"t" * 16, counted=True)) != key


@pytest.fixture(scope="module")
def made() -> tuple[Keyring, frames.Generated]:
    """A keyring that is unlocked, and a P-256 key with a PIN in it."""
    keyring = Keyring({})
    keyring.handle(frames.Provision(frames.Opener("key-file", b"secret")))
    answer = keyring.handle(frames.Generate("ab" * 8, 1, "ec:P-256", "12345678", b"s" * 16))
    assert isinstance(answer, frames.Generated)
    return keyring, answer


def order(made: frames.Generated, **change: object) -> Sign:
    """A signing request with the right PIN, but for a change."""
    proof = PINProof("12345678", b"s" * 16, counted=True)
    right = Sign(
        sealing.name(made.record), "alice", 1, "ECDSA", "SHA-256", None, None, "der", (bytes(32),), proof, made.record
    )
    return msgspec.structs.replace(right, **change)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"mechanism": "RSA-PSS"}, frames.POLICY),
        ({"proof": None}, frames.PIN_REQUIRED),
        ({"proof": PINProof("87654321", b"s" * 16, counted=True)}, frames.PIN_INCORRECT),
        ({"proof": PINProof("87654321", b"s" * 16, counted=False)}, frames.UNCOUNTED),
        ({"proof": TicketProof("nonsense")}, frames.TICKET_INVALID),
        ({"core": 2}, frames.DAMAGED),
        ({"seal": bytes(32)}, frames.DAMAGED),
        ({"seal": bytes(32), "record": None}, frames.UNKNOWN_KEY),
        ({"inputs": (bytes(32), bytes(31))}, frames.INPUT),
        ({"hash": "MD5"}, frames.FAILED),
    ],
)
def test_the_keeper_refuses(made: tuple[Keyring, frames.Generated], change: dict[str, object], code: str) -> None:
    """The keeper has the last word, whatever a worker sends; a right request works before and after."""
    keyring, generated = made
    assert isinstance(keyring.handle(order(generated)), frames.Signatures)
    answer = keyring.handle(order(generated, **change))
    assert isinstance(answer, frames.Refused)
    assert answer.code == code
    assert isinstance(keyring.handle(order(generated)), frames.Signatures)


def test_a_locked_keeper_signs_nothing(made: tuple[Keyring, frames.Generated]) -> None:
    """Locking forgets opened keys and PINs; the same slot brings them back."""
    _, generated = made
    keyring = Keyring({})
    slot = keyring.handle(frames.Provision(frames.Opener("key-file", b"secret")))
    assert isinstance(slot, frames.Slot)
    key = keyring.handle(frames.Generate("cd" * 8, 1, "ed25519", None, b"s" * 16))
    assert isinstance(key, frames.Generated)
    request = Sign(
        sealing.name(key.record), "alice", 1, "EdDSA", None, None, None, "der", (b"message",), None, key.record
    )
    assert isinstance(keyring.handle(request), frames.Signatures)
    keyring.handle(frames.Lock())
    for what in (request, order(generated)):
        answer = keyring.handle(what)
        assert isinstance(answer, frames.Refused)
        assert answer.code == frames.LOCKED
    assert isinstance(keyring.handle(frames.Open((slot.sealed,), "key-file", b"wrong", ())), frames.Refused)
    assert isinstance(keyring.handle(frames.Open((slot.sealed,), "key-file", b"secret", ())), frames.Opening)
    assert isinstance(keyring.handle(request), frames.Signatures)


def test_no_message_shows_its_secrets() -> None:
    """What a traceback or a log would show of a request is its name."""
    assert repr(PINProof("12345678", b"s", counted=True)) == "PINProof(…)"
    assert "12345678" not in repr(frames.Login("alice", 1, PINProof("12345678", b"s", counted=True)))
