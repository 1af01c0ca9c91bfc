"""The keeper counts what it signs, and its audit key signs checkpoints and nothing else."""

import hashlib
import threading

import pytest
from msgspec.structs import replace

from privyseal.keeper import auditing, sealing, uses
from privyseal.keeper.keyring import Keyring
from privyseal.keeper.uses import UseCounter
from privyseal.wire import frames, notes

KEY_ID = "0123456789abcdef"
ROOT = bytes(range(32))


def audit_key(ring: Keyring) -> frames.Generated:
    """Make an audit key."""
    made = ring.handle(frames.GenerateAuditKey(KEY_ID))
    assert isinstance(made, frames.Generated)
    return made


def counted(ring: Keyring) -> frames.Counted:
    """What the keeper has counted."""
    answer = ring.handle(frames.CountUses())
    assert isinstance(answer, frames.Counted)
    return answer


def refused(answer: frames.Answer) -> str:
    """The code of a refusal."""
    assert isinstance(answer, frames.Refused), answer
    return answer.code


def test_a_checkpoint_is_signed(keyring: Keyring) -> None:
    """With the keeper's own words around what it was told, under a name that is made of the key's id."""
    made, present = audit_key(keyring), counted(keyring)
    note = keyring.handle(frames.SignCheckpoint(made.record, 42, ROOT, present.count))
    assert isinstance(note, frames.Note)
    key = notes.VerifierKey(notes.ORIGIN + KEY_ID, made.public_key)
    checkpoint = notes.open_checkpoint(note.text, key)
    assert (checkpoint.size, checkpoint.root) == (42, ROOT)
    assert checkpoint.uses == notes.Uses(present.keeper, 0, present.chain)


def test_only_an_audit_key_signs_checkpoints(keyring: Keyring) -> None:
    """A user's key does not, whatever its record is made to look like; nor does the audit key under another id."""
    made = keyring.handle(frames.Generate("f" * 16, 1, "ed25519", None, b""))
    assert isinstance(made, frames.Generated)
    counted(keyring)
    for record in (
        made.record,
        replace(made.record, type=auditing.TYPE, core=0),
        replace(audit_key(keyring).record, id="e" * 16),
    ):
        assert refused(keyring.handle(frames.SignCheckpoint(record, 1, ROOT, 0))) == frames.DAMAGED


def test_the_audit_key_signs_nothing_else(keyring: Keyring) -> None:
    """Whatever mechanism, core and record a worker names."""
    record = audit_key(keyring).record
    for one in (record, replace(record, type="ed25519"), replace(record, core=1)):
        for mechanism in ("EdDSA", "checkpoint"):
            name = sealing.name(one)
            request = frames.Sign(name, "u", one.core, mechanism, None, None, None, "der", (b"x",), None, one)
            assert refused(keyring.handle(request)) in {frames.POLICY, frames.DAMAGED}


def test_nonsense_is_not_signed(keyring: Keyring) -> None:
    """A root of another length, a size that no record has, a count that was not asked for; nothing while locked."""
    record = audit_key(keyring).record
    assert refused(keyring.handle(frames.SignCheckpoint(record, 1, ROOT, 0))) == frames.FAILED
    counted(keyring)
    for size, root in ((1, b"short"), (-1, ROOT), (10**18, ROOT)):
        assert refused(keyring.handle(frames.SignCheckpoint(record, size, root, 0))) == frames.FAILED
    keyring.handle(frames.Lock())
    assert refused(keyring.handle(frames.SignCheckpoint(record, 1, ROOT, 0))) == frames.LOCKED
    assert refused(keyring.handle(frames.GenerateAuditKey(KEY_ID))) == frames.LOCKED


def test_every_signature_has_its_number(keyring: Keyring) -> None:
    """In order, over batches; the running hash is what the events alone give. What is refused is not counted."""
    made = keyring.handle(frames.Generate("f" * 16, 1, "ed25519", None, b""))
    assert isinstance(made, frames.Generated)
    request = frames.Sign(
        sealing.name(made.record), "u", 1, "EdDSA", None, None, None, "der", (b"a", b"b"), None, made.record
    )
    chain, next_use = notes.first_hash(counted(keyring).keeper), 1
    for inputs in ((b"a", b"b"), (b"c",), ()):
        answer = keyring.handle(replace(request, inputs=inputs))
        assert isinstance(answer, frames.Signatures)
        assert answer.first_use == next_use
        for use, value in enumerate(inputs, next_use):
            digest = hashlib.sha256(value).hexdigest()
            chain = notes.use_hash(chain, notes.use_entry(use, 1, "f" * 16, "EdDSA", digest))
        next_use += len(inputs)
    refused(keyring.handle(replace(request, mechanism="ECDSA")))
    present = counted(keyring)
    assert (present.count, present.chain) == (3, chain)


def test_threads_share_no_number() -> None:
    """Each gets a run of its own."""
    counter, firsts = UseCounter(), list[int]()

    def work() -> None:
        for _ in range(200):
            firsts.append(counter.count(("u", None), 1, "k", "m", (b"1", b"2", b"3")))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(firsts) == list(range(1, 2400, 3))


def test_an_old_count_makes_no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker cannot hide later signatures behind a count from before."""
    counter = UseCounter()
    counter.mark()
    assert counter.marked(0) is not None
    monkeypatch.setattr(uses, "MARK_SECONDS", -1.0)
    assert counter.marked(0) is None
