"""Who holds the domain key: slots of every kind, shares that wait, and every step of a rotation, also cut off."""

import itertools
import os

import msgspec
import pytest

from privyseal.keeper import sealing, shares, slots
from privyseal.keeper.custody import SHARE_SECONDS, Custody, RefusedError
from privyseal.keeper.domain import DamagedError, DomainKey, Secrets, derive, seal
from privyseal.keeper.keyring import Keyring, refusal
from privyseal.keeper.pins import TicketError
from privyseal.keeper.shares import ShareError
from privyseal.keeper.slots import WrongSecretError
from privyseal.wire import frames
from privyseal.wire.frames import Opener, SealedKey

FILE = Opener("key-file", b"f" * 32)
PHRASE = Opener("passphrase", "correct hörse".encode())
SHARES = Opener("shares", b"", 2, 3)
BLANK = SealedKey("a" * 16, 1, "ed25519", 1, frames.encode_policy(frames.Policy(("EdDSA",), pin=False)), b"")


class Clock:
    """Seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def provisioned(opener: Opener = FILE, clock: Clock | None = None) -> tuple[Custody, frames.Slot]:
    """A custody with a domain key, and its first slot."""
    custody = Custody(clock or Clock())
    slot = custody.provision(frames.Provision(opener))
    assert isinstance(slot, frames.Slot)
    return custody, slot


def opening(custody: Custody, slot: bytes, way: str, secret: bytes) -> frames.Answer:
    """What the custody says of a secret."""
    return custody.open(frames.Open((slot,), way, secret, ()))


def all_slots(custody: Custody) -> tuple[bytes, ...]:
    """A slot of each kind."""
    made = [custody.add_slot(frames.AddSlot(opener)) for opener in (FILE, PHRASE, SHARES)]
    return tuple(slot.sealed for slot in made if isinstance(slot, frames.Slot))


@pytest.mark.parametrize("opener", [FILE, PHRASE])
def test_a_slot_opens_with_its_secret(opener: Opener) -> None:
    """And with nothing else, whatever comes in between."""
    custody, slot = provisioned(opener)
    name = custody.domain().name
    custody.lock()
    for wrong in (b"g" * 32, b"correct horse"):
        with pytest.raises(WrongSecretError):
            opening(custody, slot.sealed, opener.way, wrong)
    assert not custody.unlocked
    assert opening(custody, slot.sealed, opener.way, opener.secret) == frames.Opening(unlocked=True, have=0, needed=0)
    assert custody.domain().name == name


def test_a_passphrase_is_the_same_from_every_keyboard() -> None:
    """An o with two dots is one character here and two there (Unicode Standard Annex 15)."""
    custody, slot = provisioned(PHRASE)
    custody.lock()
    opening(custody, slot.sealed, "passphrase", "correct ho\u0308rse".encode())
    assert custody.unlocked


def test_the_slot_of_another_kind_is_not_tried() -> None:
    """A passphrase is no key file."""
    custody, slot = provisioned()
    with pytest.raises(WrongSecretError):
        opening(custody, slot.sealed, "passphrase", FILE.secret)


def test_two_of_three_shares_open() -> None:
    """Any two; the same one twice is still one."""
    custody, slot = provisioned(SHARES)
    for first, second in itertools.permutations(slot.shares, 2):
        custody.lock()
        for _ in range(2):
            answer = opening(custody, slot.sealed, "share", first.encode())
            assert answer == frames.Opening(unlocked=False, have=1, needed=2)
            assert custody.waiting() == (1, 2)
        assert opening(custody, slot.sealed, "share", second.encode()) == frames.Opening(
            unlocked=True, have=2, needed=2
        )
        assert custody.waiting() == (0, 0)


def test_shares_are_forgotten_after_a_while() -> None:
    """Who has not come within fifteen minutes does not come today."""
    clock = Clock()
    custody, slot = provisioned(SHARES, clock)
    custody.lock()
    opening(custody, slot.sealed, "share", slot.shares[0].encode())
    clock.now += SHARE_SECONDS + 1
    assert custody.waiting() == (0, 0)
    assert opening(custody, slot.sealed, "share", slot.shares[1].encode()) == frames.Opening(
        unlocked=False, have=1, needed=2
    )


def test_shares_of_two_sets_do_not_mix() -> None:
    """Whoever begins with another set means that one."""
    custody, first = provisioned(SHARES)
    second = custody.add_slot(frames.AddSlot(SHARES))
    assert isinstance(second, frames.Slot)
    both = (first.sealed, second.sealed)
    custody.lock()
    for share, have in ((first.shares[0], 1), (second.shares[0], 1), (second.shares[1], 2)):
        answer = custody.open(frames.Open(both, "share", share.encode(), ()))
        assert isinstance(answer, frames.Opening)
        assert answer.have == have
    assert custody.unlocked


def test_a_wrong_share_is_found_at_once() -> None:
    """One of another appliance, and one that somebody made up with a right checksum."""
    custody, slot = provisioned(SHARES)
    custody.lock()
    own = shares.read(slot.shares[0])
    forged = [
        shares.Share(own.set, own.needed, own.number, bytes(32)),
        shares.Share(own.set, own.needed, 9, own.value),
        shares.Share(b"other", own.needed, own.number, own.value),
    ]
    for share in forged:
        with pytest.raises(ShareError, match=f"share {share.number} belongs to no unlock slot"):
            opening(custody, slot.sealed, "share", shares.write(share).encode())
    assert custody.waiting() == (0, 0)


def test_shares_that_cannot_be_are_refused() -> None:
    """With words for whoever asked."""
    custody, _ = provisioned()
    with pytest.raises(RefusedError, match="shares"):
        custody.add_slot(frames.AddSlot(Opener("shares", b"", 3, 2)))


@pytest.mark.parametrize("data", [b"", b"\xc0", slots.encode(slots.Slot("passphrase", memory=1 << 30))])
def test_a_damaged_slot_is_refused_before_it_costs_anything(data: bytes) -> None:
    """Also one that somebody changed to ask for a terabyte of memory."""
    with pytest.raises(DamagedError):
        slots.decode(data)


def test_a_slot_from_elsewhere_gets_no_domain_key() -> None:
    """Who can write to the database cannot add a slot of their own, nor make one of another appliance open."""
    custody, slot = provisioned()
    foreign = slots.encode(slots.make(Secrets(DomainKey.generate()), FILE).slot)
    for request in (frames.Succeed((foreign,)), frames.Conclude((foreign,))):
        with pytest.raises((DamagedError, RefusedError)):
            custody.succeed(request) if isinstance(request, frames.Succeed) else custody.conclude(request)
    own = slots.decode(slot.sealed)
    with pytest.raises(WrongSecretError):
        slots.open_slot(msgspec.structs.replace(own, needed=9), FILE.secret)


def test_a_locked_custody_does_nothing() -> None:
    """It says so, whatever is asked."""
    custody = Custody()
    for work in (custody.domain, custody.tickets, custody.secrets):
        with pytest.raises(RefusedError, match="locked"):
            work()
    with pytest.raises(RefusedError, match="locked"):
        custody.reseal(frames.Reseal(()))
    assert custody.following is None


def rotated(custody: Custody, kept: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The slots once the custody has adopted a successor."""
    answer = custody.succeed(frames.Succeed(kept))
    assert isinstance(answer, frames.Slots)
    assert custody.following is None  # not before it is stored
    custody.adopt(frames.Adopt(answer.name))
    assert custody.following == answer.name
    return answer.sealed


def test_a_rotation_from_end_to_end() -> None:
    """Old records open throughout, new ones are sealed with the new key, and in the end the old key opens nothing."""
    custody, _ = provisioned()
    kept = all_slots(custody)
    old = custody.domain()
    before = sealing.close(old, BLANK, b"private", None)
    kept = rotated(custody, kept)
    new = custody.domain()
    assert new.name != old.name
    assert new.pin_tag(1, b"pin key") == old.pin_tag(1, b"pin key")
    assert custody.open_outer(before) == b"private"
    answer = custody.reseal(frames.Reseal((before, sealing.close(new, BLANK, b"new", None), BLANK)))
    assert isinstance(answer, frames.Resealed)
    assert answer.sealed[1:] == (None, None)
    assert answer.damaged == (2,)
    assert answer.sealed[0] is not None
    after = msgspec.structs.replace(before, sealed=answer.sealed[0])
    assert custody.open_outer(after) == sealing.open_outer(new, after) == b"private"
    with pytest.raises(DamagedError):
        custody.forget(frames.Forget(kept))  # the store has not the new slots yet
    concluded = custody.conclude(frames.Conclude(kept))
    assert isinstance(concluded, frames.Slots)
    custody.forget(frames.Forget(concluded.sealed))
    custody.forget(frames.Forget(concluded.sealed))
    assert custody.following is None
    with pytest.raises(DamagedError):
        custody.open_outer(before)
    custody.lock()
    opening(custody, concluded.sealed[1], "passphrase", PHRASE.secret)
    assert custody.domain().name == new.name


def test_a_rotation_goes_on_after_a_restart() -> None:
    """Every slot opens both keys until it is over, also from a keeper that was started anew."""
    custody, _ = provisioned()
    kept = rotated(custody, all_slots(custody))
    new = custody.domain().name
    for slot, way, secret in ((kept[0], "key-file", FILE.secret), (kept[1], "passphrase", PHRASE.secret)):
        other = Custody()
        opening(other, slot, way, secret)
        assert other.following == new
        other.adopt(frames.Adopt(new))
        again = other.succeed(frames.Succeed(kept))
        assert isinstance(again, frames.Slots)
        assert again.name == new


def test_a_successor_stays_the_same_until_it_is_stored() -> None:
    """Two workers that begin at once must not make two."""
    custody, slot = provisioned()
    names = {custody.succeed(frames.Succeed((slot.sealed,))).name for _ in range(2)}  # type: ignore[union-attr]
    assert len(names) == 1
    with pytest.raises(RefusedError, match="lock and unlock"):
        custody.adopt(frames.Adopt("another"))
    custody.lock()
    opening(custody, slot.sealed, "key-file", FILE.secret)
    with pytest.raises(RefusedError, match="lock and unlock"):
        custody.adopt(frames.Adopt(names.pop()))


def test_nothing_is_resealed_without_a_successor() -> None:
    """Neither records nor slots."""
    custody, slot = provisioned()
    for work in (
        lambda: custody.reseal(frames.Reseal(())),
        lambda: custody.conclude(frames.Conclude((slot.sealed,))),
    ):
        with pytest.raises(RefusedError):
            work()


def test_tickets_outlive_a_rotation() -> None:
    """Nobody has to log in again because of it, and one that is no ticket still is none."""
    custody, slot = provisioned()
    ticket = custody.tickets().issue("alice", 1, b"k" * 32)
    rotated(custody, (slot.sealed,))
    custody.tickets()._read.clear()
    later = custody.tickets().issue("alice", 1, b"l" * 32)
    assert custody.tickets().redeem(ticket.text, "alice", 1) == b"k" * 32
    assert custody.tickets().redeem(later.text, "alice", 1) == b"l" * 32
    with pytest.raises(TicketError):
        custody.tickets().redeem("AAAA", "alice", 1)


def test_nothing_shows_a_secret() -> None:
    """What a log or traceback would show."""
    domain = DomainKey.generate()
    made = slots.make(Secrets(domain), SHARES)
    shown = repr((domain, domain.for_tickets(), made, Secrets(domain), FILE, refusal(WrongSecretError("no"))))
    assert all(secret not in shown for secret in (*made.shares, "ffff"))


def test_a_key_with_a_pin_needs_no_pin_to_be_rotated() -> None:
    """Only the outer layer is sealed anew; the key signs as before, with its PIN and not without."""
    keyring = Keyring({})
    slot = keyring.handle(frames.Provision(FILE))
    made = keyring.handle(frames.Generate("b" * 16, 1, "ed25519", "12345678", b"s" * 16))
    assert isinstance(slot, frames.Slot)
    assert isinstance(made, frames.Generated)
    rotated(keyring.custody, (slot.sealed,))
    answer = keyring.handle(frames.Reseal((made.record,)))
    assert isinstance(answer, frames.Resealed)
    assert answer.sealed[0] is not None
    record = msgspec.structs.replace(made.record, sealed=answer.sealed[0])
    proof = frames.PINProof("12345678", b"s" * 16, counted=True)
    request = frames.Sign(
        sealing.name(record), "alice", 1, "EdDSA", None, None, None, "der", (b"message",), proof, record
    )
    assert isinstance(keyring.handle(request), frames.Signatures)
    assert isinstance(keyring.handle(msgspec.structs.replace(request, proof=None)), frames.Refused)


def test_a_slot_of_the_first_schema_opens_and_is_renewed() -> None:
    """It held the domain key alone, under the key file; what replaces it opens with the same file."""
    secret, domain = b"s" * 32, os.urandom(32)
    label = b"privyseal unlock slot v1"
    old = seal(derive(secret, label), domain, label)
    custody = Custody()
    with pytest.raises(WrongSecretError):
        custody.open(frames.Open((old,), "key-file", b"another secret of 32 bytes, long", ()))
    opening = custody.open(frames.Open((old,), "key-file", secret, ()))
    assert isinstance(opening, frames.Opening)
    assert opening.renewed is not None
    again = Custody()
    assert again.open(frames.Open((opening.renewed,), "key-file", secret, ())) == frames.Opening(
        unlocked=True, have=0, needed=0
    )
    assert again.domain().name == custody.domain().name == DomainKey(domain).name
