"""Is this record whole? From an export and the checkpoints that somebody kept, without server or database.

(1) key          the checkpoint that leads the export, and every kept one, is signed by the audit key
(2) tree         each event is hashed as it stands in the export; at the size of each checkpoint the root has to be its
(3) length       no checkpoint speaks of more events than there are
(4) signatures   what the keeper counted is there: each number once, and the running hash is the one it signed

A keeper that was killed takes its last signatures along, and nobody can say what they were: numbers that are missing at
the end of a run that is over, behind its last checkpoint, are a note and no finding.

An export is JSON lines: an object with `format`, `key` and `checkpoint`, then every event's leaf, which is a JSON array
with the number first. It is read line by line, so that its length does not matter.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from privyseal.audit import tree
from privyseal.model.event import MADE, Event
from privyseal.wire import notes
from privyseal.wire.notes import Checkpoint, NoteError, VerifierKey

EXPORT_FORMAT = "privyseal-record-1"
RECEIPT_FORMAT = "privyseal-receipt-1"
FIELDS = ("number", *Event.__struct_fields__)
_FINDINGS = 100  # more than that say no more
_OUT_OF_ORDER = 100_000  # signatures of one keeper between its smallest missing number and the newest
_ON_THE_WAY = 10_000  # signatures between a missing number and the last of its run; more are never on their way
_DONE, _WITHHELD = "done", "withheld"


class Header(msgspec.Struct, frozen=True):
    """The first line of an export."""

    format: str
    key: str
    checkpoint: str


class Shown(msgspec.Struct, frozen=True):
    """An event as it was hashed, and its inclusion proof from the leaf to the root."""

    leaf: str
    proof: tuple[bytes, ...]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What shows a third party that one event is in the record.

    Attributes:
        leaf: the event as it was hashed.
        proof: the inclusion proof, from the leaf to the root.
        made: earlier events that say which public halves the event's key got.
    """

    format: str = RECEIPT_FORMAT
    key: str
    leaf: str
    proof: tuple[bytes, ...]
    made: tuple[Shown, ...] = ()
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Receipted:
    """What a receipt shows.

    Attributes:
        event: its fields by name.
        public_keys: the SHA-256 of each public half (DER of the SubjectPublicKeyInfo) that the event's key had got
            until then, hexadecimal, the oldest first.
        checkpoint: what the proofs lead to.
    """

    event: dict[str, Any]
    public_keys: tuple[str, ...]
    checkpoint: Checkpoint


@dataclass(slots=True)
class Report:
    """What was found; the record verifies when there is no finding.

    Attributes:
        key: the key that the checkpoints were checked with.
        checkpoint: the export's own.
        kept: how many checkpoints from elsewhere were checked.
        signatures: how many the keeper counted and the record has.
        not_given_out: how many of them the record says nobody got.
        notes: what a verifier should know and compare with the journal, and what is no finding.
    """

    key: VerifierKey
    checkpoint: Checkpoint
    kept: int = 0
    events: int = 0
    signatures: int = 0
    not_given_out: int = 0
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, words: str) -> None:
        """Add a finding."""
        if len(self.findings) < _FINDINGS:
            self.findings.append(words)

    def note(self, words: str) -> None:
        """Add a note."""
        if len(self.notes) < _FINDINGS:
            self.notes.append(words)


Gaps = frozenset[tuple[str, int]]


def verify_export(
    lines: Iterable[bytes], key: VerifierKey | None, kept: Sequence[str], known_gaps: Gaps = frozenset()
) -> Report:
    """Verify an export.

    Args:
        lines: of the export, with or without their line ends.
        key: the audit key as the verifier knows it; None takes the word of the export for it.
        kept: notes with checkpoints that were kept outside.
        known_gaps: keepers and numbers of signatures whose absence is explained.

    Raises:
        NoteError: this is no export, or its checkpoint is not signed by this key.
    """
    source = iter(lines)
    header = _header(next(source, b""))
    trusted = key or VerifierKey.read(header.key)
    report = Report(trusted, notes.open_checkpoint(header.checkpoint, trusted))  # (1)
    checkpoints = [report.checkpoint, *_kept(kept, trusted, report)]
    _Reading(report, checkpoints, known_gaps).read(source)
    return report


def verify_receipt(document: bytes, key: VerifierKey | None) -> Receipted:
    """Give what a receipt shows; raises NoteError when it shows nothing."""
    try:
        receipt = msgspec.json.decode(document, type=Receipt)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise NoteError("this is no receipt") from error
    if receipt.format != RECEIPT_FORMAT:
        raise NoteError("this is no receipt that this version knows")
    checkpoint = notes.open_checkpoint(receipt.checkpoint, key or VerifierKey.read(receipt.key))
    event = _included(Shown(receipt.leaf, receipt.proof), checkpoint)
    public_keys = tuple(_public_key(_included(one, checkpoint), event) for one in receipt.made)
    return Receipted(event, public_keys, checkpoint)


def _included(shown: Shown, checkpoint: Checkpoint) -> dict[str, Any]:
    """Give the fields of an event that the checkpoint speaks of."""
    try:
        values = _values(shown.leaf.encode())
        leaf = tree.leaf_hash(shown.leaf.encode())
        tree.check_inclusion(leaf, values["number"] - 1, checkpoint.size, shown.proof, checkpoint.root)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise NoteError("this is no receipt") from error
    except tree.ProofError as error:
        raise NoteError(f"the event is not in the record of this checkpoint: {error}") from error
    return values


def _public_key(made: dict[str, Any], event: dict[str, Any]) -> str:
    """Give the public half that an event says its key got; it has to be about the key of the event in question."""
    same = all(made[name] == event[name] for name in ("core", "key")) and made["number"] < event["number"]
    if not same or made["operation"] not in MADE or not isinstance(made["input"], str):
        raise NoteError(f"event {made['number']} does not say which key event {event['number']} is about")
    return made["input"]


def _header(line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except msgspec.MsgspecError as error:
        raise NoteError("this is no export of a record") from error
    if header.format != EXPORT_FORMAT:
        raise NoteError("this is no export that this version knows")
    return header


def _kept(kept: Sequence[str], key: VerifierKey, report: Report) -> Iterator[Checkpoint]:
    for note in kept:
        try:
            yield notes.open_checkpoint(note, key)
            report.kept += 1
        except NoteError as error:
            report.find(f"a kept checkpoint cannot be used: {error}")


def _values(leaf: bytes) -> dict[str, Any]:
    """Give a leaf's fields by name; raises msgspec.MsgspecError."""
    values: Any = msgspec.json.decode(leaf)
    if not isinstance(values, list) or len(values) != len(FIELDS) or not isinstance(values[0], int):
        raise msgspec.ValidationError("this is no event")
    return dict(zip(FIELDS, values, strict=True))


class _Reading:
    """One walk through the events of an export."""

    def __init__(self, report: Report, checkpoints: Sequence[Checkpoint], known_gaps: Gaps) -> None:
        self._report = report
        self._sizes: dict[int, list[Checkpoint]] = {}
        self._runs: dict[str, _Run] = {}
        self._known_gaps = known_gaps
        for checkpoint in checkpoints:
            self._sizes.setdefault(checkpoint.size, []).append(checkpoint)
            self._run(checkpoint.uses.keeper).expect(checkpoint)
        self._last = max((checkpoint.size for checkpoint in checkpoints[1:]), default=0)
        self._edge = tree.Edge()
        self._good = 0
        self._number = 0
        self._broken = False

    def read(self, lines: Iterable[bytes]) -> None:
        """Read all events, then say what is missing at the end."""
        self._compare()
        for line in lines:
            self._event(line.rstrip(b"\r\n"))
        self._report.events = self._edge.size
        self._check_length()
        for run in self._runs.values():
            run.end()
            self._report.signatures += run.found
            self._report.not_given_out += run.not_given_out
            run.report(self._report, self._known_gaps)

    def _event(self, leaf: bytes) -> None:
        try:
            values = _values(leaf)
        except (msgspec.MsgspecError, UnicodeError):
            self._report.find(f"line {self._edge.size + 2}: this is no event; event {self._number + 1} is expected")
            values = {"number": self._number + 1, "use": None}
        self._order(values["number"])
        if isinstance(values["use"], int):
            self._run(str(values["keeper"])).add(values, self._report)
        self._edge.append(tree.leaf_hash(leaf))  # (2)
        self._compare()

    def _order(self, number: int) -> None:
        if number != self._number + 1:
            self._report.find(f"event {number} stands where event {self._number + 1} should be")
        self._number = number

    def _compare(self) -> None:
        for checkpoint in self._sizes.get(self._edge.size, ()):
            if self._edge.root() == checkpoint.root:
                self._good = checkpoint.size
            elif not self._broken:
                self._broken = True
                self._report.find(
                    f"events {self._good + 1} to {checkpoint.size} are not what the checkpoint of "
                    f"{checkpoint.size} events signed: at least one was changed, removed, inserted or moved"
                )

    def _check_length(self) -> None:  # (3)
        own, found = self._report.checkpoint.size, self._edge.size
        if own != found:
            self._report.find(f"the export has {found} events, and its checkpoint speaks of {own}")
        if self._last > found:
            self._report.find(
                f"the record has been cut off or replaced by an older one: it ends at event {found}, "
                f"and a kept checkpoint speaks of {self._last}"
            )

    def _run(self, keeper: str) -> "_Run":
        if keeper not in self._runs:
            self._runs[keeper] = _Run(keeper, is_over=keeper != self._report.checkpoint.uses.keeper)
        return self._runs[keeper]


class _Run:
    """One run of a keeper: its numbers in order, and its running hash beside them.

    Args:
        is_over: whether another keeper has signed the newest checkpoint.
    """

    def __init__(self, keeper: str, *, is_over: bool) -> None:
        self.keeper = keeper
        self.found = self.not_given_out = 0
        self._is_over = is_over
        self._chain = notes.first_hash(keeper)
        self._next = 1
        self._waiting: dict[int, bytes] = {}
        self._expected: dict[int, bytes] = {}
        self._gaps: list[tuple[int, int]] = []
        self._different: list[int] = []

    def expect(self, checkpoint: Checkpoint) -> None:
        """Take a checkpoint's count and running hash as what has to come out."""
        uses = checkpoint.uses
        if self._expected.setdefault(uses.count, uses.chain) != uses.chain:
            self._different.append(uses.count)

    def add(self, values: dict[str, Any], report: Report) -> None:
        """Take one signature's event."""
        use = values["use"]
        if use < self._next or use in self._waiting:
            if values["outcome"] != _WITHHELD:  # an answer that was lost may have been recorded a second time
                report.find(f"event {values['number']}: signature {use} of keeper {self.keeper} is recorded twice")
            return
        self.found += 1
        self.not_given_out += values["outcome"] != _DONE
        words = (str(values[name]) for name in ("key", "mechanism", "input"))
        self._waiting[use] = notes.use_entry(use, values["core"], *words)
        self._advance()
        if len(self._waiting) > _OUT_OF_ORDER:
            self._skip(min(self._waiting) - 1)

    def end(self) -> None:
        """Find what is still missing."""
        while self._waiting:
            self._skip(min(self._waiting) - 1)
        most = max(self._expected, default=0)
        if most >= self._next:
            self._skip(most)

    def report(self, report: Report, known: Gaps) -> None:  # (4)
        """Say what is missing, and whether the running hash was another."""
        for first, last in self._gaps:
            if last - first < _FINDINGS and all((self.keeper, use) in known for use in range(first, last + 1)):
                continue
            words, were = (f"signature {first}", "was") if first == last else (f"signatures {first} to {last}", "were")
            missing = (
                f"{words} of keeper {self.keeper} {were} made and {'is' if first == last else 'are'} not in the record"
            )
            if self._was_on_the_way(first):
                report.note(f"{missing}; nobody got {'it' if first == last else 'them'} if that keeper was killed then")
            else:
                report.find(missing)
        for count in self._different:
            report.find(f"the first {count} signatures of keeper {self.keeper} are not those that it counted")

    def _was_on_the_way(self, first: int) -> bool:
        """Say whether a gap is what a killed keeper leaves."""
        behind = first > max(self._expected, default=0)
        return self._is_over and behind and self._next - 1 - first < _ON_THE_WAY

    def _advance(self) -> None:
        while self._next in self._waiting:
            self._chain = notes.use_hash(self._chain, self._waiting.pop(self._next))
            expected = self._expected.get(self._next)
            if expected not in (None, self._chain) and not self._gaps:  # behind a gap no hash can fit
                self._different.append(self._next)
            self._next += 1

    def _skip(self, last: int) -> None:
        self._gaps.append((self._next, last))
        self._next = last + 1
        self._advance()
