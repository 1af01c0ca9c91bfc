"""What the appliance does by itself with keys, and counted uses over a restart of the keeper."""

import asyncio
import hashlib
import logging
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from privyseal.audit.recorder import Recorder
from privyseal.errors import AccessRefusedError, StaleDecisionError, UnavailableError
from privyseal.keeper.client import KeeperClient
from privyseal.model.access import Role
from privyseal.model.event import Outcome
from privyseal.model.keys import Key, KeyType
from privyseal.model.mechanisms import Hash, Mechanism, Scheme
from privyseal.operations import upkeep
from privyseal.operations.appliance import Appliance, KnownKey, load
from privyseal.operations.conclude import Done, conclude
from privyseal.operations.count_uses import kept_counter
from privyseal.operations.generate_key import generate_key
from privyseal.operations.manage_cores import blank_core
from privyseal.operations.perform import Act, Caller
from privyseal.operations.sign import Words, sign
from privyseal.operations.use_pin import Secret, signatures
from privyseal.store import appliance as appliance_rows
from privyseal.store import attempts, cores, events, key_life, keys, users
from privyseal.store.store import Store
from privyseal.store.times import now
from support.keeper import Keeper

DIGEST = hashlib.sha256(b"message").digest()
Work = Callable[[Appliance], Coroutine[Any, Any, None]]


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    """A keeper with a fresh domain key."""
    with tempfile.TemporaryDirectory(prefix="keeper-") as folder:  # pytest's own is too long: unix(7) has 108 bytes
        started = Keeper(Path(folder) / "keeper.sock")
        try:
            yield started
        finally:
            started.stop()


def run(store: Store, keeper: Keeper, work: Work) -> None:
    """Run a test on an appliance with an administrator and core 1, where a PIN is not needed."""
    with store.write() as connection:
        appliance_rows.create(connection, "node")
        cores.add(connection, blank_core("core1", pin_required=False))
        users.add(connection, "admin", Role.ADMINISTRATOR, "hash")

    async def whole() -> None:
        client = KeeperClient(keeper.path)
        recorder = Recorder(store)
        try:
            await work(Appliance("node", store, client, recorder, load(store)))
        finally:
            recorder.close()
            await client.close()

    asyncio.run(whole())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty SQLite store."""
    opened = Store(f"sqlite:///{tmp_path / 'store.db'}")
    opened.migrate()
    yield opened
    opened.close()


async def make(appliance: Appliance, label: str, **policy: Any) -> Key:
    """Make a key without a PIN."""
    caller = await caller_of(appliance)
    key = await generate_key(appliance, caller, Act("key:generate"), "1", label, KeyType.P256, None, policy)
    await appliance.current()
    return key


async def caller_of(appliance: Appliance) -> Caller:
    """The administrator, now."""
    snapshot = await appliance.current()
    return Caller(snapshot.users["admin"], snapshot)


def change(appliance: Appliance, key: Key, **values: Any) -> Key:
    """Change a key in the database."""
    changed = replace(key, **values)
    with appliance.store.write() as connection:
        key_life.change(connection, changed)
    return stored(appliance, key) or changed


def stored(appliance: Appliance, key: Key) -> Key | None:
    """The key as it is now."""
    with appliance.store.read() as connection:
        return keys.by_id(connection, key.core, key.id)


def recorded(appliance: Appliance) -> list[tuple[str, str, str | None]]:
    """User, operation and reason of all events."""
    with appliance.store.read() as connection:
        return [(one.event.user, one.event.operation, one.event.reason) for one in events.page(connection, 0, 99)]


def test_what_is_due_is_done(store: Store, keeper: Keeper) -> None:
    """Once, with its event, and nothing that is not due."""

    async def work(appliance: Appliance) -> None:
        made = [await make(appliance, label) for label in ("ending", "ageing", "staying")]
        ending = change(appliance, made[0], destroy_at=now())
        ageing = change(appliance, made[1], rotate_after=1)
        tomorrow = now() + timedelta(days=1)
        assert upkeep._is_ours_to_do(store, "a")
        assert not upkeep._is_ours_to_do(store, "b")
        for _ in range(2):
            await upkeep.once(appliance, tomorrow)
        assert stored(appliance, ending) is None
        after = stored(appliance, ageing)
        assert after is not None
        assert (after.version, after.public_key != ageing.public_key) == (2, True)
        assert stored(appliance, made[2]) == replace(made[2], created=(stored(appliance, made[2]) or made[2]).created)
        assert not upkeep._is_ours_to_do(store, "a")
        assert recorded(appliance)[3:] == [
            ("(appliance)", "key:destroy", "label 'ending', as scheduled"),
            ("(appliance)", "key:rotate", "version 2 of key 'ageing', by age"),
        ]

    run(store, keeper, work)


def test_a_flood_of_names_is_washed_away(store: Store, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many names that no user has are due by themselves, and those beyond the number are forgotten."""
    monkeypatch.setattr(attempts, "UNKNOWN_MAX", 2)

    async def work(appliance: Appliance) -> None:
        for name in ("a", "b", "c"):
            assert not upkeep._is_ours_to_do(store, "a")
            with store.write() as connection:
                attempts.fail(connection, f"unknown:{name}")
        assert upkeep._is_ours_to_do(store, "a")
        await upkeep.once(appliance, now())
        assert not upkeep._is_ours_to_do(store, "a")
        with store.read() as connection:
            assert sum(attempts.get(connection, f"unknown:{name}").failures for name in "abc") == 2

    run(store, keeper, work)


def test_what_was_changed_meanwhile_is_left_alone(store: Store, keeper: Keeper) -> None:
    """A key that was restored or is gone is not destroyed; one that was changed is rotated another time."""

    async def work(appliance: Appliance) -> None:
        key = await make(appliance, "key")
        upkeep._destroy(appliance, key.id, 1, now())
        change(appliance, key, destroy_at=now() + timedelta(days=7))
        upkeep._destroy(appliance, key.id, 1, now())
        upkeep._destroy(appliance, "0" * 16, 1, now())
        known = stored(appliance, key)
        assert known is not None
        change(appliance, key, disabled=True)
        with pytest.raises(StaleDecisionError):
            await upkeep._rotate(appliance, known)
        assert (stored(appliance, key) or known).version == 1

    run(store, keeper, work)


def test_upkeep_survives_a_database_that_fails(
    store: Store, keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so and tries again; and then it does what is due."""
    tries = iter([UnavailableError("gone"), ValueError("unexpected"), None])
    real = upkeep._is_ours_to_do

    def flaky(store: Store, holder: str) -> bool:
        error = next(tries, None)
        if error is not None:
            raise error
        return real(store, holder)

    async def work(appliance: Appliance) -> None:
        monkeypatch.setattr(upkeep, "_is_ours_to_do", flaky)
        monkeypatch.setattr(upkeep, "INTERVAL_SECONDS", 0.01)
        key = change(appliance, await make(appliance, "key"), destroy_at=now())
        task = asyncio.create_task(upkeep.run(appliance))
        while stored(appliance, key) is not None:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
        task.cancel()

    with caplog.at_level(logging.WARNING):
        run(store, keeper, work)
    assert "upkeep has to wait: gone" in caplog.text
    assert "upkeep has to wait: ValueError" in caplog.text


def test_a_key_that_cannot_be_rotated_keeps_no_other_waiting(
    store: Store, keeper: Keeper, caplog: pytest.LogCaptureFixture
) -> None:
    """Its record does not open; the next key is rotated all the same."""

    async def work(appliance: Appliance) -> None:
        broken, other = [await make(appliance, label) for label in ("broken", "other")]
        change(appliance, broken, rotate_after=1, sealed=bytes(100))
        change(appliance, other, rotate_after=1)
        await upkeep.once(appliance, now() + timedelta(days=1))
        versions = [one.version for one in (stored(appliance, broken), stored(appliance, other)) if one is not None]
        assert versions == [1, 2]

    with caplog.at_level(logging.WARNING):
        run(store, keeper, work)
    assert "does not open" in caplog.text


def test_an_old_count_over_a_restart_delivers_nothing_more(store: Store, keeper: Keeper) -> None:
    """A worker has read the count, another one uses the key up, the keeper is restarted: the first gets nothing."""

    async def work(appliance: Appliance) -> None:
        key = await make(appliance, "key", max_uses=1)
        caller, known = await caller_of(appliance), KnownKey.of(key)
        scheme, act = Scheme(Mechanism.ECDSA, Hash.SHA_256), Act("key:sign", 1, key.id)
        old = await kept_counter(appliance, caller, known)
        event = act.event(appliance, "admin", Outcome.DONE, reason="why")
        for restarts in range(2):
            answer = await signatures(appliance, caller, known, scheme, (DIGEST,), Secret(), counter=old)
            assert answer.uses == 1
            if restarts:
                with pytest.raises(AccessRefusedError, match="used up"):
                    await conclude(appliance, caller, act, Done(known, answer, [event]))
            else:
                await conclude(appliance, caller, act, Done(known, answer, [event]))
                await asyncio.to_thread(keeper.kill)
                await asyncio.to_thread(keeper.restart)
                await asyncio.sleep(0.1)
        assert "why; use 1 of 1" in [reason for _, _, reason in recorded(appliance)]

    run(store, keeper, work)


def test_a_stale_decision_costs_no_use(store: Store, keeper: Keeper) -> None:
    """It is found before the keeper counts; at the commit it would be too late for that, and nothing is recorded."""

    async def work(appliance: Appliance) -> None:
        key = await make(appliance, "key", max_uses=1)
        caller, known = await caller_of(appliance), KnownKey.of(key)
        scheme, old = Scheme(Mechanism.ECDSA, Hash.SHA_256), await kept_counter(appliance, caller, known)
        change(appliance, await make(appliance, "other"), disabled=True)
        with pytest.raises(StaleDecisionError):
            await kept_counter(appliance, caller, known)
        answer = await signatures(appliance, caller, known, scheme, (DIGEST,), Secret(), counter=old)
        with pytest.raises(StaleDecisionError):
            await conclude(appliance, caller, Act("key:sign", 1, key.id), Done(known, answer, []))

    run(store, keeper, work)


def test_administrators_sign_with_no_key_of_any_version(store: Store, keeper: Keeper) -> None:
    """The rules are asked before the version is looked for."""

    async def work(appliance: Appliance) -> None:
        await make(appliance, "key")
        caller = await caller_of(appliance)
        for version in (None, 1, 2):
            act = Act("key:sign")
            with pytest.raises(AccessRefusedError):
                await sign(appliance, caller, act, ("1", "key"), Words(), Secret(), digest=DIGEST, version=version)

    run(store, keeper, work)
