"""What an operation works with: the store, the keeper, the recorder, and what is remembered between requests.

What is remembered (users, rules, cores, keys) carries the generation that it was read at. A decision may rest on
remembered things because the record refuses it when the generation has moved on: see `audit.recorder`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from privyseal.access.passwords import Recognised
from privyseal.audit.recorder import Recorder
from privyseal.errors import NotFoundError
from privyseal.keeper import sealing
from privyseal.keeper.client import KeeperClient
from privyseal.model.access import AccessRule, Group, User
from privyseal.model.approvals import Quorum
from privyseal.model.certificates import KnownCertificate
from privyseal.model.cores import Core
from privyseal.model.credentials import KnownCredential
from privyseal.model.keys import Key
from privyseal.operations.bearer import LastUses
from privyseal.operations.repeat import Answers
from privyseal.served_tls import ServedTLS
from privyseal.store import approvals, attempts, client_certificates, cores, credentials, groups, users
from privyseal.store.store import Store, generation
from privyseal.telemetry.bell import Bell
from privyseal.telemetry.metrics import Metrics
from privyseal.wire import frames
from privyseal.wire.frames import Policy, SealedKey

_REMEMBERED_KEYS = 20_000
_DIGITS = 18  # of a core's number; Python refuses to read more than some thousands


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything small that decisions rest on, as it was at one generation.

    Attributes:
        rules: by user name and core number, those of groups with each member's.
        certificates: by fingerprint.
        guarded: subjects with so many failures that no attempt at them may skip the counting.
        keys: what was looked up since, by core number and the name that it was asked for. They end with the snapshot,
            so that no key outlives a change; one that is newer than the snapshot is refused by the record.
    """

    generation: int
    users: Mapping[str, User]
    rules: Mapping[tuple[str, int], tuple[AccessRule, ...]]
    cores: Mapping[int, Core]
    guarded: frozenset[str]
    quorums: tuple[Quorum, ...] = ()
    credentials: Mapping[str, KnownCredential] = field(default_factory=dict)
    keys: "dict[tuple[int, str], KnownKey]" = field(default_factory=dict, repr=False)
    groups: Mapping[str, Group] = field(default_factory=dict)
    certificates: Mapping[str, KnownCertificate] = field(default_factory=dict)

    def core(self, ref: str) -> Core:
        """Find a core by number or name; raises NotFoundError."""
        if ref.isascii() and ref.isdigit() and len(ref) <= _DIGITS and int(ref) in self.cores:
            return self.cores[int(ref)]
        for core in self.cores.values():
            if core.name == ref:
                return core
        raise NotFoundError(f"there is no core '{ref}'; see `privyseal core list`")

    def rules_of(self, user: User, core: Core) -> tuple[AccessRule, ...]:
        """Give a user's rules in a core, those of the user's groups among them, by number."""
        return self.rules.get((user.name, core.number), ())

    def quorum(self, operation: str, core: int | None, key: str | None) -> Quorum | None:
        """Give who guards an act; of several the one that needs most, so that a new one never loosens an old one."""
        fitting = (one for one in self.quorums if one.covers(operation, core, key))
        return max(fitting, key=lambda one: one.needed, default=None)

    def remember(self, core: Core, ref: str, known: "KnownKey") -> None:
        """Remember a key under the name that it was asked for."""
        if len(self.keys) >= _REMEMBERED_KEYS:
            self.keys.clear()
        self.keys[core.number, ref] = known


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key with what the keeper needs: its record and the record's name.

    Attributes:
        unusable: why its private half may not be used now, None when it may be.
        closed: the same for what an old version may do too: opening what was made with it.
    """

    key: Key
    record: SealedKey
    seal: bytes
    policy: Policy
    unusable: str | None
    closed: str | None = None

    @classmethod
    def of(cls, key: Key) -> "KnownKey":
        """Prepare a key for the keeper."""
        record = SealedKey(key.id, key.core, key.type.value, key.version, key.policy, key.sealed)
        policy = frames.policy(key.policy)
        closed = _why_closed(key)
        return cls(key, record, sealing.name(record), policy, closed or _why_old(key, policy), closed)


def _why_closed(key: Key) -> str | None:
    if key.destroy_at is not None:
        return f"key '{key.label}' is scheduled for destruction and refuses use; `privyseal key restore` undoes that"
    if key.disabled:
        return f"key '{key.label}' is disabled; `privyseal key enable` undoes that"
    return None


def _why_old(key: Key, policy: Policy) -> str | None:
    if not key.current and not policy.sign_with_old_versions:
        return f"version {key.version} of key '{key.label}' is not the current one and signs no more"
    return None


@dataclass(slots=True)
class Appliance:
    """One API worker's view of the appliance.

    Attributes:
        node: empty until it is provisioned.
        tls: the certificate in force; None where nothing is served.
        kept_files: what belongs into a backup besides the database: the TLS authority that hosts trust.
        bell: tells the workers' TLS that client certificates have changed.
    """

    node: str
    store: Store
    keeper: KeeperClient
    recorder: Recorder
    snapshot: Snapshot
    metrics: Metrics = field(default_factory=Metrics, repr=False)
    tls: ServedTLS | None = None
    kept_files: tuple[Path, ...] = ()
    recognised: Recognised = field(default_factory=Recognised)
    verifying: dict[tuple[int, bytes], asyncio.Future[User]] = field(default_factory=dict, repr=False)
    turns: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary, repr=False)
    last_uses: LastUses = field(default_factory=LastUses, repr=False)
    answers: Answers = field(default_factory=Answers, repr=False)
    refreshing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    bell: Bell = field(default_factory=Bell, repr=False)

    @property
    def is_operational(self) -> bool:
        """Whether signatures can be made, as far as this worker knows; `operations.gate` finds out when it is not."""
        return self.keeper.unlocked and self.node != ""

    async def current(self) -> Snapshot:
        """Give the snapshot, read anew if anything has changed since.

        There is one snapshot of a generation, however many ask for it at once: callers compare snapshots by identity.
        """
        if await self._is_current():
            return self.snapshot
        async with self.refreshing:
            if not await self._is_current():  # whoever had the lock before has read it
                self.snapshot = await asyncio.to_thread(load, self.store)
        return self.snapshot

    async def _is_current(self) -> bool:
        return await asyncio.to_thread(_generation, self.store) == self.snapshot.generation


def nothing_yet() -> Snapshot:
    """Give the snapshot of an appliance that is not provisioned."""
    return Snapshot(0, {}, {}, {}, frozenset())


def load(store: Store) -> Snapshot:
    """Read a snapshot: one state, so that no rule is older than the generation that it goes by."""
    with store.frozen() as connection:
        found = {group.name: group for group in groups.every(connection)}
        accounts = {user.name: user for user in users.every(connection)}
        partitions = {core.number: core for core in cores.every(connection)}
        return Snapshot(
            generation=generation(connection),
            users=accounts,
            rules=_merged(users.every_rule(connection), found),
            cores=partitions,
            guarded=frozenset(known.subject for known in attempts.guarded(connection, partitions.values())),
            quorums=tuple(approvals.every_quorum(connection)),
            groups=found,
            credentials={one.id: KnownCredential.of(one, accounts[one.user]) for one in credentials.every(connection)},
            certificates={
                one.fingerprint: KnownCertificate.of(one, accounts[one.user])
                for one in client_certificates.every(connection)
            },
        )


def _merged(rules: Iterable[AccessRule], there: Mapping[str, Group]) -> dict[tuple[str, int], tuple[AccessRule, ...]]:
    merged: dict[tuple[str, int], list[AccessRule]] = defaultdict(list)
    for rule in rules:
        names = there[rule.group].members if rule.group is not None else () if rule.user is None else (rule.user,)
        for name in names:
            merged[name, rule.core].append(rule)
    return {place: tuple(one) for place, one in merged.items()}


def _generation(store: Store) -> int:
    with store.read() as connection:
        return generation(connection)
