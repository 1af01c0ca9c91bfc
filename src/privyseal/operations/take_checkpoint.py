"""Take a checkpoint: how long the record is, the root of its tree, and the keeper's own count, signed by the keeper.

(1) the audit key, made here if there is none yet
(2) the keeper's count, from before the length of the record is read
(3) a moment for what was counted to become durable; what a worker that ended had in hand is recorded here
(4) length and root
(5) the keeper signs what it counted at (2) together with (4)

So what a checkpoint counts is in the record that it speaks of, unless somebody kept it out.
"""

import asyncio
import os
import time
from dataclasses import dataclass

from privyseal.audit.tree import ProofError
from privyseal.errors import ConflictError, UnavailableError
from privyseal.keeper.auditing import CORE, TYPE
from privyseal.keeper.client import KeeperClient
from privyseal.model.event import Event, Outcome
from privyseal.operations.record_abandoned import record_abandoned
from privyseal.store import appliance as appliance_rows
from privyseal.store import events, record
from privyseal.store.record import AuditKey
from privyseal.store.store import Store
from privyseal.store.times import now_micros
from privyseal.wire import frames
from privyseal.wire.notes import ORIGIN, VerifierKey

APPLIANCE = "privyseal"
"""Who is the user of an event that the appliance itself brings about."""

_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Taken:
    """A checkpoint: the signed note, how long the record was, and the key that it verifies with."""

    note: str
    size: int
    root: bytes
    key: VerifierKey


def verifier_key(key: AuditKey) -> VerifierKey:
    """Give the public half of the audit key as notes name it."""
    return VerifierKey(ORIGIN + key.id, key.public_key)


async def take_checkpoint(store: Store, keeper: KeeperClient) -> Taken:
    """Take a checkpoint. Raises ApplianceLockedError or UnavailableError."""
    key = await audit_key(store, keeper)  # (1)
    counted = await keeper.ask(frames.CountUses(), frames.Counted)  # (2)
    await _settled(store, keeper, counted.count)  # (3)
    size, root = await asyncio.to_thread(_edge, store)  # (4)
    sealed = frames.SealedKey(key.id, CORE, TYPE, key.version, key.policy, key.sealed)
    signed = await keeper.ask(frames.SignCheckpoint(sealed, size, root, counted.count), frames.Note)  # (5)
    return Taken(signed.text, size, root, verifier_key(key))


async def audit_key(store: Store, keeper: KeeperClient) -> AuditKey:
    """Give the audit key; the first to ask for it has it made."""
    found = await asyncio.to_thread(_key, store)
    if found is None:
        made = await keeper.ask(frames.GenerateAuditKey(os.urandom(8).hex()), frames.Generated)
        found = await asyncio.to_thread(_keep, store, made)
    return found


def _key(store: Store) -> AuditKey | None:
    with store.read() as connection:
        return record.key(connection)


def _keep(store: Store, made: frames.Generated) -> AuditKey:
    """Keep a new audit key; when another process was faster, theirs."""
    sealed = made.record
    key = AuditKey(sealed.id, made.public_key, sealed.sealed, sealed.policy, sealed.version)
    try:
        with store.write() as connection:
            node = appliance_rows.node(connection) or ""
            record.keep_key(connection, key)
            events.append(connection, [own_event(node, "audit:key", key=key.id)])
    except ConflictError:
        found = _key(store)
        assert found is not None  # noqa: S101 - that is the conflict
        return found
    return key


def own_event(
    node: str, operation: str, outcome: Outcome = Outcome.DONE, *, key: str | None = None, reason: str | None = None
) -> Event:
    """Make the event of something that the appliance does by itself."""
    return Event(
        time=now_micros(), node=node, user=APPLIANCE, operation=operation, key=key, outcome=outcome, reason=reason
    )


async def _settled(store: Store, keeper: KeeperClient, count: int) -> None:
    """Wait until every signature that was counted is in the record, or for five seconds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while await record_abandoned(store, keeper, count):
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_POLL_SECONDS)


def _edge(store: Store) -> tuple[int, bytes]:
    with store.read() as connection:
        try:
            edge = record.edge(connection)
        except ProofError as error:
            raise UnavailableError(f"the record is damaged: {error}") from error
        return edge.size, edge.root()
