"""Credentials between a worker's snapshot and the store: what is told, what is asked again, what is written."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from privyseal.access.tokens import Token, new_token
from privyseal.audit.recorder import Recorder
from privyseal.errors import StaleDecisionError, UnauthenticatedError
from privyseal.keeper.client import KeeperClient
from privyseal.model.access import Role
from privyseal.model.credentials import Credential
from privyseal.operations.appliance import Appliance, load
from privyseal.operations.authenticate import Credentials, authenticate
from privyseal.store import appliance as appliance_rows
from privyseal.store import credentials, users
from privyseal.store.store import Store, generation
from privyseal.store.times import now

DAY = timedelta(days=1)


def run(folder: Path, work: Callable[[Appliance], Coroutine[Any, Any, None]]) -> None:
    """Run a test on an appliance with the operator alice; no keeper is asked."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    store.migrate()
    with store.write() as connection:
        appliance_rows.create(connection, "node")
        users.add(connection, "alice", Role.OPERATOR, "")
    recorder = Recorder(store)
    try:
        asyncio.run(work(Appliance("node", store, KeeperClient(folder / "none"), recorder, load(store))))
    finally:
        recorder.close()
        store.close()


def add(appliance: Appliance, expires: datetime | None = None) -> Token:
    """A credential of alice's, made by another worker."""
    token = new_token()
    made = Credential(token.id, "alice", "ci", None, None, "*", token.digest, now(), expires or now() + DAY)
    with appliance.store.write() as connection:
        credentials.add(connection, made)
    return token


def brought(token: str) -> Credentials:
    """What a request brings."""
    return Credentials(f"Bearer {token}", "127.0.0.1")


def test_a_worker_reads_again_before_it_refuses(tmp_path: Path) -> None:
    """A credential that was made a moment ago is not called wrong."""

    async def work(appliance: Appliance) -> None:
        token = add(appliance)
        with pytest.raises(StaleDecisionError):
            await authenticate(appliance, appliance.snapshot, brought(token.text))
        user = await authenticate(appliance, appliance.snapshot, brought(token.text))
        assert user.scope is not None
        assert (user.name, user.scope.credential) == ("alice", token.id)

    run(tmp_path, work)


def other_at(text: str, place: int) -> str:
    """The same text with another digit at one place."""
    return text[:place] + ("1" if text[place] == "0" else "0") + text[place + 1 :]


def test_words_about_its_end_are_for_its_holder(tmp_path: Path) -> None:
    """Who has only the id learns nothing, and is nobody in the record."""

    async def work(appliance: Appliance) -> None:
        token, revoked = add(appliance, now() - DAY), add(appliance)
        with appliance.store.write() as connection:
            credentials.revoke(connection, revoked.id, now())
        await appliance.current()
        for one, words in ((token, "expired on"), (revoked, "was revoked on")):
            holder, other = brought(one.text), brought(other_at(one.text, 30))
            with pytest.raises(UnauthenticatedError, match=words):
                await authenticate(appliance, appliance.snapshot, holder)
            assert holder.name == "alice"
            with pytest.raises(UnauthenticatedError, match=r"mistyped|not right"):
                await authenticate(appliance, appliance.snapshot, other)
            assert other.name == "anonymous"

    run(tmp_path, work)


def test_the_last_use_is_written_once_an_hour(tmp_path: Path) -> None:
    """Beside the requests, and without a new generation: no decision rests on it."""

    async def work(appliance: Appliance) -> None:
        token = add(appliance)
        snapshot = await appliance.current()
        for _ in range(100):
            await authenticate(appliance, snapshot, brought(token.text))
            assert len(appliance.last_uses._writing) <= 1
        await asyncio.gather(*appliance.last_uses._writing)
        with appliance.store.read() as connection:
            found = credentials.get(connection, token.id)
            assert generation(connection) == snapshot.generation
        assert found is not None
        assert found.last_used is not None
        await authenticate(appliance, snapshot, brought(token.text))
        assert not appliance.last_uses._writing

    run(tmp_path, work)


def test_a_database_that_is_away_stops_no_request(tmp_path: Path) -> None:
    """The last use is a courtesy."""

    async def work(appliance: Appliance) -> None:
        token = add(appliance)
        await appliance.current()
        appliance.store = Store(f"sqlite:///{tmp_path / 'no' / 'store.db'}")
        await authenticate(appliance, appliance.snapshot, brought(token.text))
        await asyncio.gather(*appliance.last_uses._writing)

    run(tmp_path, work)


def test_ended_ones_are_forgotten_after_a_while(tmp_path: Path) -> None:
    """And those that stand are not."""

    async def work(appliance: Appliance) -> None:
        old, ended, stands = add(appliance, now() - 40 * DAY), add(appliance, now() - DAY), add(appliance)
        with appliance.store.write() as connection:
            credentials.forget(connection, now() - 30 * DAY)
            left = {one.id for one in credentials.every(connection)}
        assert left == {ended.id, stands.id}
        assert old.id not in left

    run(tmp_path, work)


def test_nothing_shows_a_digest() -> None:
    """Neither a credential nor what brings it shows more than its id."""
    token = new_token()
    made = Credential(token.id, "alice", "ci", None, None, "*", token.digest, now(), now() + DAY)
    assert repr(replace(made, name="other")) == f"Credential('{token.id}', 'alice')"
    assert token.text not in repr(brought(token.text))
