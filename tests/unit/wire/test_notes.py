"""Notes are those of C2SP signed-note, and a checkpoint is read in one form only."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from privyseal.wire import notes

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "signed-note.json").read_text(encoding="utf-8"))
PUBLISHED = VECTOR["text"] + "\n" + VECTOR["signature"]
KEY = notes.VerifierKey.read(VECTOR["verifier_key"])
PRIVATE = Ed25519PrivateKey.from_private_bytes(base64.b64decode(VECTOR["signer_key"].split("+", 4)[4])[1:])
ORIGIN = "privyseal/0123456789abcdef"
OURS = notes.VerifierKey(ORIGIN, PRIVATE.public_key().public_bytes_raw())
USES = notes.Uses("ab" * 8, 41, bytes(range(32)))
CHECKPOINT = notes.Checkpoint(ORIGIN, 4711, bytes(32), USES, 1_700_000_000)
NUMBERS = st.integers(0, 10**18)
CHECKPOINTS = st.builds(
    notes.Checkpoint,
    st.just(ORIGIN),
    NUMBERS,
    st.binary(min_size=32, max_size=32),
    st.builds(
        notes.Uses, st.binary(min_size=8, max_size=8).map(bytes.hex), NUMBERS, st.binary(min_size=32, max_size=32)
    ),
    NUMBERS,
)


def test_the_published_note() -> None:
    """We make it byte for byte, and we open it."""
    assert notes.sign(VECTOR["text"], KEY.name, PRIVATE) == PUBLISHED
    assert notes.open_note(PUBLISHED, KEY) == VECTOR["text"]
    assert str(KEY) == VECTOR["verifier_key"]


@pytest.mark.parametrize("place", range(0, len(VECTOR["verifier_key"]), 3))
def test_a_mangled_key_is_none(place: int) -> None:
    """Whichever character is changed or left out."""
    text = VECTOR["verifier_key"]
    for mangled in (text[:place] + text[place + 1 :], text[:place] + "~" + text[place + 1 :], "", "a+b+c"):
        with pytest.raises(notes.NoteError):
            notes.VerifierKey.read(mangled)


@given(checkpoint=CHECKPOINTS)
def test_a_checkpoint_comes_back(checkpoint: notes.Checkpoint) -> None:
    """From a note that was signed."""
    assert notes.open_checkpoint(notes.sign(notes.checkpoint_text(checkpoint), ORIGIN, PRIVATE), OURS) == checkpoint


def test_other_signatures_are_passed_over() -> None:
    """A witness may have signed too; one of ours has to be there and to be right."""
    note = notes.sign(notes.checkpoint_text(CHECKPOINT), ORIGIN, PRIVATE)
    text, _, ours = note.rpartition("\n\n")
    witness = "\u2014 witness.example AAAAAAAA\n"
    assert notes.open_checkpoint(f"{text}\n\n{witness}{ours}", OURS) == CHECKPOINT
    for wrong in (
        f"{text}\n\n{witness}",
        note.replace("4711", "4712"),
        note[:-1],
        text,
        f"{text}\n\n\u2014 {ORIGIN} !\n",
        "",
        f"{text}\n\nno signature\n",
    ):
        with pytest.raises(notes.NoteError):
            notes.open_checkpoint(wrong, OURS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("4711", "04711"),
        ("4711", "+4711"),
        ("time 1700000000", "time x"),
        ("time ", "times "),
        ("keeper", "guard"),
        (" 41 ", " 041 "),
        ("abab", "ABAB"),
        (ORIGIN, "privyseal/elsewhere"),
        ("AAAA", "AAA"),
        ("A=\n", "B=\n"),
        ("\ntime", "\nmore\ntime"),
    ],
)
def test_a_checkpoint_has_one_form(old: str, new: str) -> None:
    """Anything else is refused, also when it is signed."""
    text = notes.checkpoint_text(CHECKPOINT)
    assert old in text
    with pytest.raises(notes.NoteError):
        notes.open_checkpoint(notes.sign(text.replace(old, new, 1), ORIGIN, PRIVATE), OURS)


def test_a_file_of_notes() -> None:
    """One after the other, with or without empty lines between them."""
    one, other = PUBLISHED, notes.sign(notes.checkpoint_text(CHECKPOINT), ORIGIN, PRIVATE)
    assert list(notes.split(one + other + "\n" + one)) == [one, other, one]
    assert list(notes.split("")) == []
    assert list(notes.split("junk\n")) == ["junk\n"]
