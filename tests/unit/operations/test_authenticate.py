"""Requests that bring one header at the same time share its verification, and never across a change."""

import asyncio
import base64
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from privyseal.access import passwords
from privyseal.access.passwords import hash_password
from privyseal.audit.recorder import Recorder
from privyseal.errors import TooManyAttemptsError, UnauthenticatedError
from privyseal.keeper.client import KeeperClient
from privyseal.model.access import Role
from privyseal.operations.appliance import Appliance, load
from privyseal.operations.authenticate import Credentials, authenticate
from privyseal.operations.manage_cores import blank_core
from privyseal.store import appliance as appliance_rows
from privyseal.store import cores, users
from privyseal.store.store import Store

OLD, NEW = hash_password("the old password"), hash_password("the new password")
HEADER = "Basic " + base64.b64encode(b"alice:the old password").decode()


def run(folder: Path, work: Callable[[Appliance], Coroutine[Any, Any, None]]) -> None:
    """Run a test on an appliance whose user alice has the old password; no keeper is asked."""
    store = Store(f"sqlite:///{folder / 'store.db'}")
    store.migrate()
    with store.write() as connection:
        appliance_rows.create(connection, "node")
        users.add(connection, "alice", Role.ADMINISTRATOR, OLD)
    recorder = Recorder(store)
    try:
        asyncio.run(work(Appliance("node", store, KeeperClient(folder / "none"), recorder, load(store))))
    finally:
        recorder.close()
        store.close()


async def arrive(appliance: Appliance, header: str = HEADER) -> asyncio.Task[Any]:
    """A request that has come as far as the verification."""
    credentials = Credentials(header, "127.0.0.1")
    task = asyncio.create_task(authenticate(appliance, appliance.snapshot, credentials))
    while not appliance.verifying:  # noqa: ASYNC110 - nothing tells when
        await asyncio.sleep(0.001)
    return task


@pytest.mark.parametrize("change", [{"password": NEW}, {"role": "operator"}], ids=["password", "role"])
def test_a_verification_is_not_shared_over_a_change(tmp_path: Path, change: dict[str, object]) -> None:
    """Who comes after a change meets it, though the same header is just being verified as it was before."""

    async def work(appliance: Appliance) -> None:
        for _ in range(2):
            passwords._AT_ONCE.acquire()  # the verification waits until we let it go
        try:
            before = await arrive(appliance)
            with appliance.store.write() as connection:
                users.change(connection, "alice", change)
            await appliance.current()
            after = await arrive(appliance)
            await asyncio.sleep(0.2)
        finally:
            for _ in range(2):
                passwords._AT_ONCE.release()
        assert (await before).role is Role.ADMINISTRATOR
        if "password" in change:
            with pytest.raises(UnauthenticatedError):
                await after
        else:
            assert (await after).role is Role.OPERATOR

    run(tmp_path, work)


def test_who_comes_together_is_verified_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty requests with one header cost one Argon2id, and each knows who calls."""
    verified: list[str] = []
    verify = passwords.verify_password

    def counting(password: str, stored: str | None) -> bool:
        verified.append(password)
        return verify(password, stored)

    monkeypatch.setattr("privyseal.operations.authenticate.verify_password", counting)

    async def work(appliance: Appliance) -> None:
        found = await asyncio.gather(
            *(authenticate(appliance, appliance.snapshot, Credentials(HEADER, "127.0.0.1")) for _ in range(20))
        )
        assert {user.name for user in found} == {"alice"}
        assert verified == ["the old password"]
        assert appliance.verifying == {}

    run(tmp_path, work)


def test_a_header_is_recognised_from_its_address_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same header from elsewhere is verified and counted like any guess."""

    async def work(appliance: Appliance) -> None:
        await authenticate(appliance, appliance.snapshot, Credentials(HEADER, "127.0.0.1"))
        monkeypatch.setattr("privyseal.operations.authenticate.verify_password", lambda *_: False)
        await authenticate(appliance, appliance.snapshot, Credentials(HEADER, "127.0.0.1"))
        with pytest.raises(UnauthenticatedError):
            await authenticate(appliance, appliance.snapshot, Credentials(HEADER, "127.0.0.2"))

    run(tmp_path, work)


@pytest.mark.parametrize("with_a_core", [False, True])
def test_a_name_that_no_user_has_is_counted_like_one(tmp_path: Path, with_a_core: bool) -> None:  # noqa: FBT001 - a case
    """Four times Argon2id and 401, and from the fifth failure on 429; the name itself is nowhere in the database."""
    header = "Basic " + base64.b64encode(b"mallory:a wrong password").decode()

    async def work(appliance: Appliance) -> None:
        if with_a_core:
            with appliance.store.write() as connection:
                cores.add(connection, blank_core("core1", pin_required=True))
        seen: list[type[Exception]] = []
        for _ in range(6):
            with pytest.raises((UnauthenticatedError, TooManyAttemptsError)) as caught:
                await authenticate(appliance, await appliance.current(), Credentials(header, "127.0.0.1"))
            seen.append(caught.type)
        assert seen == [UnauthenticatedError] * 5 + [TooManyAttemptsError]

    run(tmp_path, work)
    assert b"mallory" not in (tmp_path / "store.db").read_bytes()


def test_many_who_meet_a_change_at_once_see_one_snapshot(tmp_path: Path) -> None:
    """Snapshots are compared by identity: were each to read its own, each would make all others stale."""

    async def work(appliance: Appliance) -> None:
        before = appliance.snapshot
        with appliance.store.write() as connection:
            users.change(connection, "alice", {"role": "operator"})
        found = await asyncio.gather(*(appliance.current() for _ in range(40)))
        assert found[0].generation == before.generation + 1
        assert all(one is found[0] for one in found)
        assert await appliance.current() is found[0]

    run(tmp_path, work)
