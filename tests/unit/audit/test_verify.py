"""Verification says yes to what is whole and names what is not; no appliance is near."""

import base64
import hashlib
from collections.abc import Sequence

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.audit import tree, verify
from privyseal.audit.verify import Header, Receipt, Report, Shown, verify_export, verify_receipt
from privyseal.model.event import Event, Outcome, encode, leaf
from privyseal.wire import notes
from privyseal.wire.notes import Checkpoint, NoteError, Uses, VerifierKey

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
ORIGIN = "privyseal/0123456789abcdef"
KEY = VerifierKey(ORIGIN, PRIVATE.public_key().public_bytes_raw())
KEEPER = "ab" * 8
DIGEST = hashlib.sha256(b"x").hexdigest()


def event(use: int | None = None, outcome: Outcome = Outcome.DONE, user: str = "alice") -> Event:
    """A signature's event, or one of no signature."""
    keeper = None if use is None else KEEPER
    return Event(
        time=1, node="n", user=user, operation="key:sign", core=1, key="k", mechanism="EdDSA", input=DIGEST,
        outcome=outcome, keeper=keeper, use=use,
    )  # fmt: skip


def leaves_of(events: Sequence[Event]) -> list[bytes]:
    """Their leaves, numbered."""
    return [leaf(number, encode(each)) for number, each in enumerate(events, 1)]


def chain(count: int) -> bytes:
    """The keeper's running hash after so many signatures."""
    value = notes.first_hash(KEEPER)
    for use in range(1, count + 1):
        value = notes.use_hash(value, notes.use_entry(use, 1, "k", "EdDSA", DIGEST))
    return value


def signed(
    leaves: Sequence[bytes], count: int, value: bytes | None = None, private: Ed25519PrivateKey = PRIVATE
) -> str:
    """A checkpoint over leaves, with the keeper's count."""
    root = tree.root_of(map(tree.leaf_hash, leaves))
    uses = Uses(KEEPER, count, chain(count) if value is None else value)
    return notes.sign(notes.checkpoint_text(Checkpoint(ORIGIN, len(leaves), root, uses, 1)), ORIGIN, private)


def export(leaves: Sequence[bytes], note: str) -> list[bytes]:
    """An export's lines."""
    return [msgspec.json.encode(Header(verify.EXPORT_FORMAT, str(KEY), note)), *leaves]


BORN = msgspec.structs.replace(event(), operation="key:generate")
SIGNATURES = [BORN, event(1), event(2), event(), event(4), event(3), event(5)]
LEAVES = leaves_of(SIGNATURES)
WHOLE = export(LEAVES, signed(LEAVES, 5))


def findings(lines: Sequence[bytes], *kept: str, gaps: verify.Gaps = frozenset()) -> str:
    """What is found, in one text."""
    return "\n".join(verify_export([line + b"\n" for line in lines], KEY, kept, gaps).findings)


def test_a_whole_record() -> None:
    """With checkpoints from any time; the report counts what was there."""
    kept = [signed(LEAVES[:3], 2), signed(LEAVES[:6], 3), signed(LEAVES, 5), signed([], 0)]
    report = verify_export(WHOLE, None, kept)
    assert report == Report(KEY, report.checkpoint, kept=4, events=7, signatures=5)
    empty = export([], signed([], 0))
    assert findings(empty) == ""


@settings(max_examples=50)
@given(place=st.integers(0, len(LEAVES) - 1), data=st.data())
def test_no_event_can_be_touched(place: int, data: st.DataObject) -> None:
    """Changed anywhere, left out, doubled or moved."""
    line = LEAVES[place]
    where, bit = data.draw(st.integers(0, len(line) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(line)
    changed[where] ^= 1 << bit
    if changed[where] in b"\r\n":
        return
    other = (place + 1) % len(LEAVES)
    moved = [*LEAVES]
    moved[place], moved[other] = moved[other], moved[place]
    note = signed(LEAVES, 5)
    for leaves in (
        [*LEAVES[:place], bytes(changed), *LEAVES[place + 1 :]],
        [*LEAVES[:place], *LEAVES[place + 1 :]],
        [*LEAVES[:place], line, *LEAVES[place:]],
        moved,
    ):
        assert findings(export(leaves, note))


def test_where_it_is_wrong() -> None:
    """By its number, or between the checkpoints around it, once."""
    bad = leaves_of([*SIGNATURES[:4], event(4, user="bob"), *SIGNATURES[5:]])
    kept = [signed(LEAVES[:3], 2), signed(LEAVES[:6], 4)]
    found = findings(export(bad, signed(LEAVES, 5)), *kept)
    assert found.startswith("events 4 to 6 are not what the checkpoint of 6 events signed")
    assert found.count("\n") == 0
    missing = [*LEAVES[:3], *LEAVES[4:]]
    found = findings(export(missing, signed(missing, 5)))
    assert found == "event 5 stands where event 4 should be"
    junk = [*LEAVES[:3], b"junk", *LEAVES[4:]]
    assert findings(export(junk, signed(junk, 5))) == "line 5: this is no event; event 4 is expected"
    for other in (b"{}", b"[1]", b'["1",' + LEAVES[3].partition(b",")[2], b"\xff"):
        assert "no event" in findings(export([*LEAVES[:3], other, *LEAVES[4:]], signed(LEAVES, 5)))


def test_its_length() -> None:
    """Shorter or longer than the checkpoint says, or than one that was kept."""
    assert "has 6 events, and its checkpoint speaks of 7" in findings(WHOLE[:-1])
    older = export(LEAVES[:4], signed(LEAVES[:4], 2))
    assert "older one: it ends at event 4, and a kept checkpoint speaks of 7" in findings(older, signed(LEAVES, 5))


def test_missing_signatures() -> None:
    """In the middle and at the end, one and several; explained ones are not told."""
    gap = leaves_of([event(1), event(3), event(6)])
    lines = export(gap, signed(gap, 8))
    words = f"of keeper {KEEPER}"
    assert findings(lines).splitlines() == [
        f"signature 2 {words} was made and is not in the record",
        f"signatures 4 to 5 {words} were made and are not in the record",
        f"signatures 7 to 8 {words} were made and are not in the record",
    ]
    known = frozenset((KEEPER, use) for use in (2, 4, 5, 7, 8))
    assert findings(lines, gaps=known) == ""


def signed_later(leaves: Sequence[bytes]) -> str:
    """A checkpoint of the keeper that came after."""
    root, uses = tree.root_of(map(tree.leaf_hash, leaves)), Uses("cd" * 8, 0, notes.first_hash("cd" * 8))
    return notes.sign(notes.checkpoint_text(Checkpoint(ORIGIN, len(leaves), root, uses, 2)), ORIGIN, PRIVATE)


def test_what_a_killed_keeper_takes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the last checkpoint of a run that is over, near its end, gaps are notes; everywhere else findings."""
    gaps = leaves_of([event(1), event(3), event(6)])
    lines = [line + b"\n" for line in export(gaps, signed_later(gaps))]
    report = verify_export(lines, KEY, [signed(gaps[:1], 1)])
    words, killed = f"of keeper {KEEPER}", "if that keeper was killed then"
    assert report.findings == []
    assert report.notes == [
        f"signature 2 {words} was made and is not in the record; nobody got it {killed}",
        f"signatures 4 to 5 {words} were made and are not in the record; nobody got them {killed}",
    ]
    counted = verify_export(lines, KEY, [signed(gaps[:2], 3, bytes(32))])
    assert [len(counted.findings), len(counted.notes)] == [1, 1]
    monkeypatch.setattr(verify, "_ON_THE_WAY", 3)
    late = verify_export(lines, KEY, [])
    assert [len(late.findings), len(late.notes)] == [1, 1]
    many = leaves_of([event(use) for use in range(2, 600, 2)])
    monkeypatch.setattr(verify, "_ON_THE_WAY", 1000)
    assert len(verify_export(export(many, signed_later(many)), KEY, []).notes) == 100


def test_signatures_that_nobody_got_are_counted() -> None:
    """A record full of them is one to ask about."""
    some = leaves_of([event(1), event(2, Outcome.WITHHELD), event(3, Outcome.DROPPED), event()])
    assert verify_export(export(some, signed(some, 3)), KEY, []).not_given_out == 2


def test_a_use_has_one_event() -> None:
    """A second one is told, unless it says that the signature was withheld; numbers out of order are none."""
    double = leaves_of([event(1), event(2), event(2)])
    assert findings(export(double, signed(double, 2))) == f"event 3: signature 2 of keeper {KEEPER} is recorded twice"
    ahead = leaves_of([event(2), event(2), event(1)])
    assert "recorded twice" in findings(export(ahead, signed(ahead, 2)))
    withheld = leaves_of([event(1), event(2), event(2, Outcome.WITHHELD)])
    assert findings(export(withheld, signed(withheld, 2))) == ""


def test_the_running_hash() -> None:
    """Events that are not what the keeper counted, and two checkpoints that contradict each other."""
    words = f"signatures of keeper {KEEPER} are not those that it counted"
    assert findings(export(LEAVES, signed(LEAVES, 5, bytes(32)))) == f"the first 5 {words}"
    assert f"the first 5 {words}" in findings(WHOLE, signed(LEAVES, 5, bytes(32)))


def test_many_gaps_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a missing number is bounded, and so are the findings."""
    monkeypatch.setattr(verify, "_OUT_OF_ORDER", 10)
    leaves = leaves_of([event(use) for use in range(2, 600, 2)])
    found = findings(export(leaves, signed(leaves, 600)))
    assert len(found.splitlines()) == 100


def test_only_this_key_counts() -> None:
    """Another key's checkpoint leads no export, and is told when it was kept."""
    stranger = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    forged = signed(LEAVES, 5, private=stranger)
    with pytest.raises(NoteError, match="not signed by"):
        verify_export(export(LEAVES, forged), KEY, [])
    assert findings(WHOLE, forged) == f"a kept checkpoint cannot be used: the note is not signed by {ORIGIN}"
    for first in (b"", b"{}", b"[]", msgspec.json.encode(Header("other", str(KEY), forged))):
        with pytest.raises(NoteError, match="no export"):
            verify_export([first], KEY, [])


def shown(at: int, leaves: Sequence[bytes] = LEAVES) -> Shown:
    """One event with its inclusion proof."""
    hashes = [tree.leaf_hash(each) for each in leaves]

    class Nodes:
        def span(self, level: int, first: int, last: int) -> Sequence[bytes]:
            assert level == 0
            return hashes[first:last]

    return Shown(leaves[at].decode(), tuple(tree.inclusion_proof(Nodes(), at, len(leaves))))


def receipt(**changes: object) -> bytes:
    """The receipt of event 5, with the one that made its key."""
    itself = shown(4)
    whole = Receipt(key=str(KEY), leaf=itself.leaf, proof=itself.proof, made=(shown(0),), checkpoint=signed(LEAVES, 5))
    return msgspec.json.encode(msgspec.structs.replace(whole, **changes))


def test_a_receipt() -> None:
    """It gives the event by the names of its fields; with the key given or taken from it."""
    for key in (KEY, None):
        found = verify_receipt(receipt(), key)
        values = found.event
        assert (values["number"], values["user"], values["use"], found.checkpoint.size) == (5, "alice", 4, 7)
        assert found.public_keys == (DIGEST,)


@pytest.mark.parametrize(
    "changes",
    [
        {"leaf": LEAVES[5].decode()},
        {"leaf": "[]"},
        {"leaf": "junk"},
        {"proof": ()},
        {"made": (Shown(LEAVES[1].decode(), shown(0).proof),)},
        {"made": (Shown("junk", ()),)},
        {"made": (shown(1),)},  # a signature says nothing of a public half
        {"proof": (bytes(32),) * 3},
        {"format": "other"},
        {"key": "no key"},
        {"checkpoint": signed(LEAVES[:5], 4)},
        {"checkpoint": signed(LEAVES, 5, private=Ed25519PrivateKey.from_private_bytes(b"s" * 32))},
    ],
)
def test_a_receipt_that_is_none(changes: dict[str, object]) -> None:
    """Whatever is changed in it."""
    with pytest.raises(NoteError):
        verify_receipt(receipt(**changes), None)
    with pytest.raises(NoteError):
        verify_receipt(base64.b64encode(receipt()), KEY)


@pytest.mark.parametrize(
    ("events", "made"),
    [
        ([msgspec.structs.replace(BORN, key="l"), event(1)], 0),
        ([msgspec.structs.replace(BORN, core=2), event(1)], 0),
        ([msgspec.structs.replace(BORN, input=None), event(1)], 0),
        ([event(1), BORN], 1),
    ],
    ids=["another key", "another core", "without its public half", "later"],
)
def test_what_made_a_key_is_about_that_key(events: Sequence[Event], made: int) -> None:
    """Else a receipt would show one key's public half beside another's signature."""
    leaves = leaves_of(events)
    itself, about = shown(1 - made, leaves), shown(made, leaves)
    document = receipt(leaf=itself.leaf, proof=itself.proof, made=(about,), checkpoint=signed(leaves, 1))
    with pytest.raises(NoteError, match="does not say which key"):
        verify_receipt(document, KEY)
