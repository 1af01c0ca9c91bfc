"""Make a key: the keeper makes and seals it, the store keeps the sealed record and the event in one transaction."""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from privyseal.access.decide import decide
from privyseal.errors import AccessRefusedError, ConflictError, InvalidRequestError, StaleDecisionError
from privyseal.model.access import Operation
from privyseal.model.cores import Core
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key, KeyType
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import require_entry
from privyseal.operations.perform import Act, Caller
from privyseal.store import events, key_life, keys
from privyseal.store.store import Store, generation
from privyseal.store.times import now
from privyseal.wire import frames, names, policies


async def generate_key(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    core_ref: str,
    label: str,
    key_type: KeyType,
    pin: str | None,
    policy: Mapping[str, Any] | None = None,
    *,
    tags: Sequence[str] = (),
    object_id: str | None = None,
) -> Key:
    """Make a key.

    Args:
        object_id: what PKCS #11 hosts see as its CKA_ID, in hexadecimal; None means the key's id.
        policy: what its policy shall restrict, see `wire.policies`; None allows everything but to leave.
        tags: its tags, see `wire.names.tags`.

    Raises:
        InvalidRequestError: label, PIN or policy do not fit, or this core wants a PIN.
        ConflictError: the label is taken in this core.
        NotFoundError, AccessRefusedError, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    act.mechanism = key_type.value
    named = Named(label, names.tags(tags), names.object_id(object_id))
    core = await place_for(appliance, caller, act, core_ref, named, pin, Operation.KEY_GENERATE)
    wanted = policies.changed(policies.EVERYTHING, policy or {}, key_type)
    made = await appliance.keeper.ask(
        frames.Generate(os.urandom(8).hex(), core.number, key_type.value, pin, core.pin_salt, wanted), frames.Generated
    )
    return await keep(appliance, caller, act, made, named)


@dataclass(frozen=True, slots=True)
class Named:
    """What a new key is called."""

    label: str
    tags: tuple[str, ...] = ()
    object_id: str | None = None


async def place_for(
    appliance: Appliance,
    caller: Caller,
    act: Act,
    core_ref: str,
    named: Named,
    pin: str | None,
    operation: Operation,
) -> Core:
    """Give the core in which the caller may put a new key with these names and PIN; raises as `generate_key`."""
    label = named.label
    core = caller.snapshot.core(core_ref)
    act.core, act.key = core.number, label[:128]
    names.label(label)
    require_entry(caller, core, operation, label)
    rules = caller.snapshot.rules_of(caller.user, core)
    decision = decide(caller.user, operation, core.number, label, rules, None, named.tags)
    if not decision.allowed:
        raise AccessRefusedError(decision)
    _check_pin(core, pin)
    await asyncio.to_thread(_check_label, appliance.store, core.number, label)  # before a minute of RSA-8192
    return core


async def keep(appliance: Appliance, caller: Caller, act: Act, made: frames.Generated, named: Named) -> Key:
    """Keep a key that the keeper made or took in, with its event. Raises ConflictError, StaleDecisionError."""
    key = made_key(made, named)
    act.key, act.mechanism = key.id, key.type.value
    event = act.event(appliance, caller.user.name, Outcome.DONE, input=public_half(key), reason=words_of(key))
    await asyncio.to_thread(_keep, appliance.store, caller, key, made, event, act.repeat)
    return key


def words_of(key: Key) -> str:
    """Say for the record what a new key is: rules go by its label and its tags."""
    tagged = f", tags {','.join(key.tags)}" if key.tags else ""
    return f"label '{key.label}', type {key.type.value}{tagged}"


def public_half(key: Key) -> str | None:
    """Give the SHA-256 of a key's public half (DER of the SubjectPublicKeyInfo), hexadecimal, as the record has it."""
    return hashlib.sha256(key.public_key).hexdigest() if key.public_key else None


def add(connection: Connection, key: Key, made: frames.Generated) -> None:
    """Keep a new key with all that the keeper gave with it."""
    keys.add(connection, key, made.pin_tag)
    if made.counter is not None:
        key_life.set_counter(connection, key, made.counter)


def _check_pin(core: Core, pin: str | None) -> None:
    if pin is not None:
        names.pin(pin)
    elif core.pin_required:
        raise InvalidRequestError.of("pin", f"core {core.number} wants a PIN for every key (8 to 128 characters)")


def _check_label(store: Store, core: int, label: str) -> None:
    with store.read() as connection:
        if keys.by_label(connection, core, label) is not None:
            raise ConflictError(f"core {core} has a key with label '{label}' already")


def made_key(made: frames.Generated, named: Named) -> Key:
    """Give the key of a record that the keeper made."""
    record = made.record
    return Key(
        id=record.id,
        core=record.core,
        label=named.label,
        type=KeyType(record.type),
        public_key=made.public_key,
        has_pin=made.pin_tag is not None,
        sealed=record.sealed,
        policy=record.policy,
        version=record.version,
        created=now(),
        tags=named.tags,
        object_id=named.object_id or "",
    )


def _keep(
    store: Store, caller: Caller, key: Key, made: frames.Generated, event: Event, again: repeat.Repeat | None
) -> None:
    with store.write() as connection:
        if generation(connection) != caller.snapshot.generation:
            raise StaleDecisionError("rules, users or keys have changed")
        repeat.claim(connection, again)
        add(connection, key, made)
        events.append(connection, [event])
        repeat.keep(connection, again, key)
