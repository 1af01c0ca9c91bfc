"""The keeper enforces what is sealed with a key, whatever an API worker asks."""

import base64
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from privyseal.keeper import signing
from privyseal.keeper.keyring import Keyring, refusal
from privyseal.model.keys import KeyType
from privyseal.wire import frames
from support.keeper import SALT, SECRET
from support.keyring import DIGEST, PIN, PROOF, code, generate, sign

SLOT_OF_ANOTHER = b"\0" * 60


def test_a_key_signs_with_its_pin_and_is_then_remembered(keyring: Keyring) -> None:
    """The first request brings the record; later ones need only its name, and the PIN need not be counted again."""
    request = sign(generate(keyring))
    assert code(keyring.handle(replace(request, record=None))) == frames.UNKNOWN_KEY
    assert isinstance(keyring.handle(request), frames.Signatures)
    known = replace(request, record=None, proof=frames.PINProof(PIN, SALT, counted=False))
    assert isinstance(keyring.handle(known), frames.Signatures)


@pytest.mark.parametrize("opened", [False, True])
def test_each_proof_that_is_not_one(keyring: Keyring, opened: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Also for a key that another request has opened: no PIN, a wrong one, one not counted, nonsense for a ticket."""
    record = generate(keyring)
    if opened:
        assert isinstance(keyring.handle(sign(record)), frames.Signatures)
    for proof, expected in (
        (None, frames.PIN_REQUIRED),
        (frames.PINProof("87654321", SALT, counted=True), frames.PIN_INCORRECT),
        (frames.PINProof("11111111", SALT, counted=False), frames.UNCOUNTED),
        (frames.PINProof(PIN, b"another core's s", counted=True), frames.PIN_INCORRECT),
        (frames.TicketProof("nonsense"), frames.TICKET_INVALID),
    ):
        assert code(keyring.handle(sign(record, proof))) == expected
    assert code(keyring.handle(sign(record, frames.PINProof("87654321", SALT, counted=False)))) == frames.UNCOUNTED


def test_a_ticket_opens_what_its_pin_opens(keyring: Keyring) -> None:
    """And no key with another PIN; another user's request with it is refused; after a logout it opens nothing."""
    fits, other = generate(keyring), generate(keyring, pin="another PIN")
    answer = keyring.handle(frames.Login("alice", 1, PROOF))
    assert isinstance(answer, frames.LoggedIn)
    ticket = frames.TicketProof(answer.ticket)
    assert isinstance(keyring.handle(sign(fits, ticket)), frames.Signatures)
    assert code(keyring.handle(sign(other, ticket))) == frames.PIN_REQUIRED
    assert code(keyring.handle(replace(sign(fits, ticket), user="bob"))) == frames.TICKET_INVALID
    assert isinstance(keyring.handle(frames.Logout("alice", 1, answer.ticket)), frames.TicketEnded)
    assert code(keyring.handle(sign(fits, ticket))) == frames.TICKET_INVALID


def test_a_login_tells_which_keys_the_pin_opens(keyring: Keyring) -> None:
    """The tag of the login is the tag of the keys that were made with this PIN, and of no others."""
    made = [keyring.handle(frames.Generate("a" * 16, 1, "ed25519", pin, SALT)) for pin in (PIN, "another PIN")]
    answer = keyring.handle(frames.Login("alice", 1, PROOF))
    assert isinstance(answer, frames.LoggedIn)
    assert [one.pin_tag == answer.pin_tag for one in made if isinstance(one, frames.Generated)] == [True, False]


def test_the_sealed_policy_has_the_last_word(keyring: Keyring) -> None:
    """A mechanism that is not in it is refused; a record whose policy was loosened does not open."""
    record = generate(keyring, "rsa:2048")
    assert code(keyring.handle(sign(record))) == frames.POLICY
    loose = frames.encode_policy(frames.Policy(("RSA-PKCS1", "ECDSA"), pin=False))
    assert code(keyring.handle(sign(replace(record, policy=loose), None))) == frames.DAMAGED


def test_a_key_stays_in_its_core(keyring: Keyring) -> None:
    """A request for another core is refused, before the key is opened and after."""
    request = sign(generate(keyring))
    assert code(keyring.handle(replace(request, core=2))) == frames.DAMAGED
    keyring.handle(request)
    assert code(keyring.handle(replace(request, core=2))) == frames.DAMAGED
    moved = replace(generate(keyring), core=2)
    assert code(keyring.handle(replace(sign(moved), core=2))) == frames.DAMAGED


def test_a_record_under_another_name(keyring: Keyring) -> None:
    """What is sent along has to be what was named."""
    request = sign(generate(keyring))
    assert code(keyring.handle(replace(request, seal=bytes(32)))) == frames.DAMAGED


def test_an_input_that_does_not_fit_is_named(keyring: Keyring) -> None:
    """The index of the bad one in a batch; none of the others is answered."""
    request = replace(sign(generate(keyring)), inputs=(DIGEST, b"short", DIGEST))
    answer = keyring.handle(request)
    assert isinstance(answer, frames.Refused)
    assert (answer.code, answer.index) == (frames.INPUT, 1)


REQUESTS: list[Callable[[frames.SealedKey], frames.Request]] = [
    sign,
    lambda _: frames.Generate("a" * 16, 1, "ec:P-256", PIN, SALT),
    lambda _: frames.Login("alice", 1, PROOF),
    lambda _: frames.Logout("alice", 1, "ticket"),
]


@pytest.mark.parametrize("request_for", REQUESTS)
def test_a_locked_keeper_does_nothing(keyring: Keyring, request_for: Callable[..., frames.Request]) -> None:
    """It forgets what was open; the slot's secret opens it again, and nothing else does."""
    record = generate(keyring)
    keyring.handle(sign(record))
    made = keyring.handle(frames.AddSlot(frames.Opener("key-file", SECRET)))
    assert isinstance(made, frames.Slot)
    slot = made.sealed
    keyring.handle(frames.Lock())
    assert code(keyring.handle(request_for(record))) == frames.LOCKED
    assert keyring.handle(frames.Inspect()) == frames.Status(unlocked=False, hardening={}, change=2)
    for wrong in ((slot, b"no"), (SLOT_OF_ANOTHER, SECRET)):
        answer = keyring.handle(frames.Open((wrong[0],), "key-file", wrong[1], ()))
        assert code(answer) in (frames.DAMAGED, frames.SECRET_INCORRECT)
    opening = keyring.handle(frames.Open((slot,), "key-file", SECRET, ()))
    assert opening == frames.Opening(unlocked=True, have=0, needed=0)
    assert isinstance(keyring.handle(sign(record)), frames.Signatures)


def test_a_keeper_is_provisioned_once(keyring: Keyring) -> None:
    """A second domain key would make every sealed key worthless."""
    assert code(keyring.handle(frames.Provision(frames.Opener("key-file", SECRET)))) == frames.FAILED


def test_only_open_fast_keys_are_quick(keyring: Keyring) -> None:
    """What opens a key, stretches a PIN or takes long goes to a thread."""
    request = sign(generate(keyring))
    uncounted = replace(request, proof=frames.PINProof(PIN, SALT, counted=False))
    assert not keyring.is_quick(uncounted)
    keyring.handle(request)
    assert keyring.is_quick(uncounted)
    assert not keyring.is_quick(request)
    assert not keyring.is_quick(replace(uncounted, inputs=(DIGEST,) * 129))
    assert not keyring.is_quick(frames.Inspect())


def test_a_faulty_signature_becomes_a_failure(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keeper says that it failed and gives no byte of what came out."""

    class Faulty:
        def sign(self, *_: object) -> bytes:
            raise signing.FaultError("the signature did not verify and was thrown away")

    monkeypatch.setattr(signing, "from_pkcs8", lambda _: Faulty())
    assert code(keyring.handle(sign(generate(keyring)))) == frames.FAILED


def test_the_unexpected_leaves_without_its_words() -> None:
    """An error that nobody foresaw could hold anything."""
    assert refusal(RuntimeError("secret")) == frames.Refused(frames.FAILED, "the keeper failed with RuntimeError")


@pytest.mark.parametrize("key_type", ["rsa:1024", "ec:P-257", ""])
def test_an_unknown_type_makes_no_key(keyring: Keyring, key_type: str) -> None:
    """Only the types of the table."""
    assert code(keyring.handle(frames.Generate("a" * 16, 1, key_type, PIN, SALT))) == frames.FAILED


def test_two_keys_are_never_the_same(keyring: Keyring) -> None:
    """Neither their halves nor their records."""
    made = [keyring.handle(frames.Generate("a" * 16, 1, KeyType.P256.value, None, SALT)) for _ in range(20)]
    assert len({one.public_key for one in made if isinstance(one, frames.Generated)}) == 20


def test_tickets_are_text(keyring: Keyring) -> None:
    """URL-safe base64, and nothing in it can be read."""
    answer = keyring.handle(frames.Login("alice", 1, PROOF))
    assert isinstance(answer, frames.LoggedIn)
    assert b"alice" not in base64.urlsafe_b64decode(answer.ticket)


def test_numbers_for_monitoring(keyring: Keyring) -> None:
    """Whether it is unlocked, how many keys are open, and how many uses found theirs open."""
    record = generate(keyring)
    for _ in range(3):
        keyring.handle(sign(record))
    assert keyring.handle(frames.Measure()) == frames.Measured(unlocked=True, keys=1, hits=2, misses=1)
