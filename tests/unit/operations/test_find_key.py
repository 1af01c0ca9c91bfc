"""A key that the caller may not know of is looked for like one that is not there, whatever others have used."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from privyseal.audit.recorder import Recorder
from privyseal.errors import AccessRefusedError, KeyNotFoundError
from privyseal.keeper.client import KeeperClient
from privyseal.model.access import AccessRule, Operation, Role
from privyseal.model.keys import Key, KeyType
from privyseal.operations.appliance import Appliance, load
from privyseal.operations.find_key import find_key
from privyseal.operations.manage_cores import blank_core
from privyseal.operations.perform import Act, Caller
from privyseal.store import appliance as appliance_rows
from privyseal.store import cores, keys, users
from privyseal.store.store import Store
from privyseal.store.times import now
from privyseal.wire.frames import Policy, encode_policy

POLICY = encode_policy(Policy(("EdDSA",), pin=False))


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    """An appliance where alice may sign with `used` and mallory with `own`; no keeper is asked."""
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.migrate()
    with store.write() as connection:
        appliance_rows.create(connection, "node")
        cores.add(connection, blank_core("core1", pin_required=False))
        for number, (user, label) in enumerate((("alice", "used"), ("mallory", "own")), start=1):
            users.add(connection, user, Role.OPERATOR, "hash")
            users.add_rule(connection, AccessRule(0, user, 1, frozenset({Operation.KEY_SIGN}), label, now()))
            key = Key(
                f"{number:016x}", 1, label, KeyType.ED25519, bytes(32), has_pin=False, sealed=b"s", policy=POLICY,
                version=1, created=now(),
            )  # fmt: skip
            keys.add(connection, key, None)
    recorder = Recorder(store)
    yield Appliance("node", store, KeeperClient(tmp_path / "none"), recorder, load(store))
    recorder.close()
    store.close()


def look(appliance: Appliance, user: str, key: str, operation: Operation = Operation.KEY_SIGN) -> list[str]:
    """Look for a key; gives the statements that the database was sent for it, or raises what `find_key` does."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    caller = Caller(appliance.snapshot.users[user], appliance.snapshot)
    engine = appliance.store._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        asyncio.run(find_key(appliance, caller, Act("key:sign"), "1", key, operation))
    except KeyNotFoundError:
        sent.append("not found")
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return sent


def test_what_is_remembered_for_others_is_no_shorter_way(appliance: Appliance) -> None:
    """The same statements for `used`, which alice's use has remembered, as for a key that is not there."""
    assert len(look(appliance, "alice", "used")) > 0
    assert look(appliance, "alice", "used") == []
    for _ in range(2):
        hidden, absent = look(appliance, "mallory", "used"), look(appliance, "mallory", "nothing")
        assert hidden == absent
        assert len(hidden) > 1
        assert hidden[-1] == "not found"


def test_what_one_may_not_know_of_is_not_remembered_for_others(appliance: Appliance) -> None:
    """Else a guess of mallory's would show in the time of somebody else's first use."""
    look(appliance, "mallory", "used")
    assert appliance.snapshot.keys == {}


def test_who_may_know_is_told_the_rule(appliance: Appliance) -> None:
    """A key that the caller may use for something is refused for another thing, remembered or not."""
    for _ in range(2):
        with pytest.raises(AccessRefusedError, match="key:export"):
            look(appliance, "mallory", "own", Operation.KEY_EXPORT)
