"""What is going on when the power goes: requests to a real appliance in this process, and what must hold afterwards."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
from sqlalchemy import Connection, text

from privyseal.access.attempts import key_subject
from privyseal.access.passwords import hash_password
from privyseal.keeper import sealing, slots
from privyseal.keeper.client import ask_once
from privyseal.keeper.domain import DamagedError
from privyseal.model.access import Role
from privyseal.model.event import Event, Outcome
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.manage_cores import blank_core
from privyseal.rest import api
from privyseal.store import appliance as appliance_rows
from privyseal.store import attempts, cores, events, keys, sealed, users
from privyseal.store.store import Store
from privyseal.wire import frames
from support.keeper import SECRET, Keeper

PIN = "12345678"
WRONG = "87654321"
Answer = Sequence[Any]
Say = Callable[..., None]
Ask = Callable[..., Awaitable[httpx2.Response]]
_USERS = {"admin": Role.ADMINISTRATOR, "alice": Role.OPERATOR, "bob": Role.OPERATOR}
_STORED = hash_password("a password for all")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Requests before (`setup`) and during the cut (`play`), and what is wrong with what it leaves (`check`).

    Attributes:
        finish: what the next start does by itself before that, with the store and requests.
    """

    setup: Callable[[Ask], Awaitable[None]]
    play: Callable[[Ask, Say], Awaitable[None]]
    check: Callable[["Remains"], Iterator[str]]
    finish: Callable[[Store], Callable[[Ask], Awaitable[None]]] | None = None


@dataclass(frozen=True, slots=True)
class Remains:
    """What a cut has left: the store, what had been answered before it, the record, and the keeper to try keys with."""

    connection: Connection
    answers: Sequence[Answer]
    events: Sequence[Event]
    keeper: Keeper

    @staticmethod
    def slots(store: Store) -> list[bytes]:
        """The unlock slots that a cut has left."""
        with store.read() as connection:
            return [slot.sealed for slot in appliance_rows.slots(connection)]

    def told(self, kind: str) -> list[Any]:
        """What the client was told of one kind."""
        return [answer[1] for answer in self.answers if answer[0] == kind]

    def done(self, operation: str) -> list[Event]:
        """The events of an operation that was carried out."""
        return [event for event in self.events if (event.operation, event.outcome) == (operation, Outcome.DONE)]

    def unusable(self) -> Iterator[str]:
        """Each key that does not sign with its PIN."""
        core = cores.every(self.connection)[0]
        for _, key in keys.page(self.connection, 1, 0, 1000):
            known = KnownKey.of(key)
            proof = frames.PINProof(PIN, core.pin_salt, counted=True) if key.has_pin else None
            request = frames.Sign(
                known.seal, "alice", 1, "ECDSA", "SHA-256", None, None, "der", (bytes(32),), proof, known.record
            )
            try:
                ask_once(self.keeper.path, request, frames.Signatures)
            except Exception as error:  # noqa: BLE001 - whatever it is, the key is lost
                yield f"key {key.label} does not sign: {error}"


def unlock(keeper: Keeper, slots: Sequence[bytes], secret: bytes = SECRET) -> None:
    """Let a keeper forget all that it knows, and unlock as at a start."""
    ask_once(keeper.path, frames.Lock(), frames.Done)
    ask_once(keeper.path, frames.Open(tuple(slots), "key-file", secret, ()), frames.Opening)


def provision(store: Store, slot: bytes) -> None:
    """An appliance with core 1 and three users, who have one password."""
    with store.write() as connection:
        appliance_rows.create(connection, "node")
        appliance_rows.add_slot(connection, "key-file", slot)
        cores.add(connection, blank_core("core1", pin_required=False))
        for name, role in _USERS.items():
            users.add(connection, name, role, _STORED)
        event = Event(time=1, node="node", user="admin", operation="appliance:provision", outcome=Outcome.DONE)
        events.append(connection, [event])


def asker(appliance: Appliance) -> Ask:
    """Requests to the application in this process. Passwords are recognised already: they are not what is cut."""
    application = api.build(appliance)

    async def ask(user: str, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        header = "Basic " + base64.b64encode(f"{user}:a password for all".encode()).decode()
        appliance.recognised.remember(f"127.0.0.1 {header}".encode(), user, _STORED)
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="https://appliance") as client:
            return await client.request(method, f"/api/v1{path}", json=body, headers={"Authorization": header})

    return ask


async def _allow(ask: Ask) -> None:
    body = {"user": "alice", "core": 1, "operations": ["key:sign", "key:generate", "key:destroy"], "keys": "*"}
    assert (await ask("admin", "POST", "/rules", body)).status_code == 201
    for label, pin in (("plain", None), ("secret", PIN)):
        body = {"label": label, "type": "ec:P-256"} | ({"pin": pin} if pin else {})
        assert (await ask("alice", "POST", "/cores/1/keys", body)).status_code == 201


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


async def _sign(ask: Ask, number: int, key: str = "plain", **more: Any) -> httpx2.Response:
    body = {"digest": base64.b64encode(_digest(number)).decode(), "hash": "SHA-256", **more}
    return await ask("alice", "POST", f"/cores/1/keys/{key}/sign", body)


async def _play_signing(ask: Ask, say: Say) -> None:
    for number in range(4):
        answer = await _sign(ask, number)
        say("signed", answer.json()["event"], _digest(number).hex())
    digests = [base64.b64encode(_digest(number)).decode() for number in range(50)]
    body = {"digests": digests, "hash": "SHA-256"}
    first = (await ask("alice", "POST", "/cores/1/keys/plain/sign-batch", body)).json()["first_event"]
    for number in range(50):
        say("signed", first + number, _digest(number).hex())


def _check_signing(remains: Remains) -> Iterator[str]:
    batch = [event.input for event in remains.done("key:sign")][4:]
    if len(batch) not in (0, 50):
        yield f"half a batch is on record: {len(batch)}"


async def _play_generating(ask: Ask, say: Say) -> None:
    for number in range(3):
        body = {"label": f"new {number}", "type": "ec:P-256", **({"pin": PIN} if number else {})}
        answer = await ask("alice", "POST", "/cores/1/keys", body)
        say("made", answer.json()["id"])


def _check_generating(remains: Remains) -> Iterator[str]:
    there = {key.id for _, key in keys.page(remains.connection, 1, 0, 1000)}
    recorded = {event.key for event in remains.done("key:generate")}
    if there != recorded:
        yield f"keys {there ^ recorded} have no event, or the event no key"
    if not there.issuperset(remains.told("made")):
        yield "a key that a client was told of is lost"
    yield from remains.unusable()


async def _play_destroying(ask: Ask, say: Say) -> None:
    answer = await ask("alice", "DELETE", "/cores/1/keys/plain")
    say("destroyed", answer.status_code)
    answer = await ask("alice", "POST", "/cores/1/keys", {"label": "after", "type": "ec:P-256"})
    say("made", answer.json()["id"])


async def _play_guessing(ask: Ask, say: Say) -> None:
    for number in range(4):
        answer = await _sign(ask, number, "secret", pin=WRONG)
        say("wrong", answer.json()["attempts_left"])


def _check_guessing(remains: Remains) -> Iterator[str]:
    key = keys.by_label(remains.connection, 1, "secret")
    assert key is not None
    counted = attempts.get(remains.connection, key_subject(1, key.id)).failures
    if counted < len(remains.told("wrong")):
        yield f"{len(remains.told('wrong'))} wrong PINs were answered and {counted} are counted"


async def _setup_approving(ask: Ask) -> None:
    await _allow(ask)
    body = {"operation": "key:sign", "core": 1, "key": "plain", "needed": 1, "approvers": ["bob"]}
    assert (await ask("admin", "POST", "/quorums", body)).status_code == 201


async def _play_approving(ask: Ask, say: Say) -> None:
    for number in range(2):
        waiting = (await _sign(ask, number)).json()["approval"]
        await ask("bob", "POST", f"/approvals/{waiting}/approve")
        say("agreed", waiting)
        answer = await _sign(ask, number)
        say("signed", answer.json()["event"], _digest(number).hex())


def _check_approving(remains: Remains) -> Iterator[str]:
    used = remains.connection.execute(text("SELECT count(*) FROM approvals WHERE used IS NOT NULL")).scalar_one()
    signed = len(remains.done("key:sign"))
    if used != signed:
        yield f"{used} approvals are used up for {signed} signatures"
    agreed = remains.connection.execute(text("SELECT approval FROM votes")).scalars()
    if not set(agreed).issuperset(remains.told("agreed")):
        yield "a vote is forgotten"


async def _play_nothing(_: Ask, __: Say) -> None:
    """What is cut off is a restore of this appliance's backup elsewhere; see `restore_cut.py`."""


async def _play_rotating(ask: Ask, say: Say) -> None:
    assert (await ask("admin", "POST", "/domain-key/rotate")).status_code == 202
    say("begun", 1)
    await _until_rotated(ask)
    say("rotated", 1)


async def _until_rotated(ask: Ask) -> None:
    while (await ask("admin", "GET", "/domain-key")).json()["rotating"]:  # noqa: ASYNC110 - it comes by HTTP
        await asyncio.sleep(0.01)


def _finish_rotating(store: Store) -> Callable[[Ask], Awaitable[None]]:
    """Quarter of a minute later the worker that was killed counts as gone, and another goes on."""
    with store.write() as connection:
        connection.execute(text("UPDATE domain_rotation SET lease = 0"))
    return _until_rotated


def _check_rotating(remains: Remains) -> Iterator[str]:
    """The domain key is the old one or the new one, it alone opens every record, and the record says which."""
    slot = slots.decode(appliance_rows.slots(remains.connection)[0].sealed)
    held = slots.open_slot(slot, SECRET)
    before = slots.open_slot(slots.decode(remains.keeper.slot.sealed), SECRET).current.name
    if held.following is not None:
        yield "the slot still holds two domain keys"
    for source in sealed.SOURCES:
        for _, record in source.page(remains.connection, 0, 100):
            try:
                sealing.open_outer(held.current, record)
            except DamagedError:
                yield f"{source.name} {record.id} does not open with the domain key"
    done = len(remains.done("domain-key:rotate"))  # begun, and carried out
    if (held.current.name != before) != (done == 2) or done == 1:
        yield f"the domain key is {'the old' if held.current.name == before else 'a new'} one after {done} events"
    if remains.told("begun") and held.current.name == before:
        yield "a rotation that had begun is forgotten"
    yield from remains.unusable()


SCENARIOS = {
    "approving": Scenario(_setup_approving, _play_approving, _check_approving),
    "destroying": Scenario(_allow, _play_destroying, Remains.unusable),
    "generating": Scenario(_allow, _play_generating, _check_generating),
    "guessing": Scenario(_allow, _play_guessing, _check_guessing),
    "restoring": Scenario(_allow, _play_nothing, Remains.unusable),
    "rotating": Scenario(_allow, _play_rotating, _check_rotating, _finish_rotating),
    "signing": Scenario(_allow, _play_signing, _check_signing),
}
