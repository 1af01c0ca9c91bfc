"""Put back into the running appliance what a backup of it has and it has not: keys, cores, users, groups, rules.

(1) role        an administrator; whoever guards what comes back guards this too
(2) whole       the file is read to its end: nothing is touched before it is found whole and of this same appliance
(3) missing     what is here stays as it is; `store.merge` says what comes back and what does not
(4) reseal      the keeper seals the records with the present domain key; PINs stay as they are and are not needed
(5) put back    one transaction with its one event, all or nothing

It may be done again from the start when something has changed meanwhile, so the file is kept until the end.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from privyseal.errors import InvalidBackupError, StaleDecisionError
from privyseal.keeper.client import RecordDamagedError
from privyseal.model.access import Operation
from privyseal.model.approvals import Quorum
from privyseal.operations.appliance import Appliance
from privyseal.operations.manage import change, require_role
from privyseal.operations.perform import Act, Caller
from privyseal.operations.restore import fitting, nobody, plain, require_whole
from privyseal.store import dump, merge
from privyseal.store.merge import Missing, Row
from privyseal.store.store import Store
from privyseal.store.times import from_micros
from privyseal.wire import backups, frames
from privyseal.wire.backups import BackupError, Header
from privyseal.wire.frames import SealedKey

_GROUP = 200  # records in one frame to the keeper
_NAMES = 20  # in the event; the answer has them all
_GUARDED = (
    "appliance:merge",
    "core:create",
    "core:update",
    "group:add-member",
    "group:create",
    "quorum:create",
    "rule:create",
    "user:create",
)
"""A merge can do all of these, so the strictest quorum of any of them guards it."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What came back, or would come back, from which backup, and what could not."""

    header: Header
    missing: Missing
    done: bool


@dataclass(frozen=True, slots=True)
class _Opened:
    """A backup whose secret fits.

    Attributes:
        place: what the chunks are bound to; start: where they begin.
        secrets: the domain keys in it, sealed for the keeper.
    """

    file: BinaryIO
    header: Header
    place: bytes
    start: int
    file_key: bytes
    secrets: bytes

    def pieces(self) -> Iterator[dump.Rows | dump.File]:
        """Give rows and files."""
        return plain(self.file, self.file_key, self.place, self.start, lambda _: None)


async def merge_backup(
    appliance: Appliance, caller: Caller, act: Act, file: BinaryIO, secret: str, *, dry_run: bool
) -> Merged:
    """Merge a backup; with `dry_run` say what would come back and change nothing.

    Raises InvalidBackupError, ConflictError, ApprovalNeededError, AccessRefusedError.
    """
    require_role(caller, Operation.APPLIANCE_MANAGE)  # (1)
    try:
        opened = await _open(appliance, file, secret)
        await asyncio.to_thread(require_whole, opened.header, opened.pieces())  # (2)
    except (BackupError, dump.DumpError) as error:
        raise InvalidBackupError(str(error)) from error
    missing = await asyncio.to_thread(_find, appliance.store, opened)  # (3)
    await _reseal(appliance, opened.secrets, missing)  # (4)
    if not dry_run:
        words, quorum = _words(opened, missing), _guard(caller)
        await change(appliance, caller, act, words, lambda c: merge.put_back(c, missing), quorum)  # (5)
    return Merged(opened.header, missing, not dry_run)


async def _open(appliance: Appliance, file: BinaryIO, secret: str) -> _Opened:
    file.seek(0)
    header, place = await asyncio.to_thread(backups.read_header, file)
    start = file.tell()
    for recipient in fitting(header, secret):
        request = frames.OpenMerge(recipient.sealed, secret, recipient.salt)
        try:
            answer = await appliance.keeper.ask(request, frames.OpenedMerge)
        except RecordDamagedError:  # this secret is for another recipient
            continue
        return _Opened(file, header, place, start, answer.file_key, answer.secrets)
    raise nobody(header)


def _find(store: Store, opened: _Opened) -> Missing:
    missing = Missing()
    with store.frozen() as connection:
        for piece in opened.pieces():
            if isinstance(piece, dump.Rows):
                merge.find(connection, missing, piece)
        merge.settle(connection, missing)
    return missing


async def _reseal(appliance: Appliance, secrets: bytes, missing: Missing) -> None:
    """Seal what comes back; a key of which something does not open stays away, whole."""
    rows = missing.sealed()
    damaged: set[str] = set()
    for first in range(0, len(rows), _GROUP):
        damaged |= await _reseal_group(appliance, secrets, rows[first : first + _GROUP])
    for key_id in sorted(damaged):
        missing.give_up(key_id)


async def _reseal_group(appliance: Appliance, secrets: bytes, group: Sequence[tuple[Row, SealedKey]]) -> set[str]:
    request = frames.ResealMerged(secrets, tuple(record for _, record in group))
    try:
        answer = await appliance.keeper.ask(request, frames.Resealed)
    except RecordDamagedError as error:  # the domain key that sealed `secrets` is gone
        raise StaleDecisionError("the domain key was rotated meanwhile") from error
    for (row, _), sealed in zip(group, answer.sealed, strict=True):
        row["sealed"] = sealed
    return {group[index][1].id for index in answer.damaged}


def _guard(caller: Caller) -> Quorum | None:
    found = [caller.snapshot.quorum(operation, None, None) for operation in _GUARDED]
    return max((one for one in found if one is not None), key=lambda one: one.needed, default=None)


def _words(opened: _Opened, missing: Missing) -> str:
    """Say for the record and for approvers what is merged: the same words mean the same change."""
    header = opened.header
    made = from_micros(header.created).isoformat(timespec="seconds")
    parts = [f"backup {opened.place.hex()[:16]} of '{header.node}', {made}, event {header.last_event}"]
    named = {
        "core": [row["name"] for row in missing.cores.values()],
        "user": list(missing.users),
        "group": list(missing.groups),
        "key": [f"{row['core']}/{row['label']}" for row in missing.keys.values()],
    }
    parts += [_named(kind, names) for kind, names in named.items() if names]
    counts = {"member": missing.members, "rule": missing.rules, "quorum": missing.quorums}
    parts += [f"{len(rows)} {kind}(s)" for kind, rows in counts.items() if rows]
    return "; ".join(parts)


def _named(kind: str, names: Sequence[str]) -> str:
    more = ", …" if len(names) > _NAMES else ""
    return f"{len(names)} {kind}(s): {', '.join(names[:_NAMES])}{more}"
