"""Make a key: the keeper makes and seals it, the store keeps the sealed record and the event in one transaction."""

import asyncio
import os

from privyseal.access.decide import decide
from privyseal.errors import AccessRefusedError, ConflictError, InvalidRequestError, StaleDecisionError
from privyseal.model.access import Operation
from privyseal.model.cores import Core
from privyseal.model.event import Event, Outcome
from privyseal.model.keys import Key, KeyType
from privyseal.operations.appliance import Appliance
from privyseal.operations.find_key import require_entry
from privyseal.operations.perform import Act, Caller
from privyseal.operations.repeat import Repeat, claim, keep
from privyseal.store import events, keys
from privyseal.store.store import Store, generation
from privyseal.store.times import now
from privyseal.wire import frames, names


async def generate_key(
    appliance: Appliance, caller: Caller, act: Act, core_ref: str, label: str, key_type: KeyType, pin: str | None
) -> Key:
    """Make a key.

    Raises:
        InvalidRequestError: label or PIN do not fit, or this core wants a PIN.
        ConflictError: the label is taken in this core.
        NotFoundError, AccessRefusedError, ApplianceLockedError, UnavailableError, StaleDecisionError
    """
    core = caller.snapshot.core(core_ref)
    act.core, act.key, act.mechanism = core.number, label[:128], key_type.value
    names.label(label)
    require_entry(caller, core, Operation.KEY_GENERATE, label)
    rules = caller.snapshot.rules_of(caller.user, core)
    decision = decide(caller.user, Operation.KEY_GENERATE, core.number, label, rules)
    if not decision.allowed:
        raise AccessRefusedError(decision)
    _check_pin(core, pin)
    await asyncio.to_thread(_check_label, appliance.store, core.number, label)  # before a minute of RSA-8192
    made = await appliance.keeper.ask(
        frames.Generate(os.urandom(8).hex(), core.number, key_type.value, pin, core.pin_salt), frames.Generated
    )
    key = _key(made, label, key_type)
    act.key = key.id
    event = act.event(appliance, caller.user.name, Outcome.DONE, reason=f"label '{label}', type {key_type.value}")
    await asyncio.to_thread(_keep, appliance.store, caller, key, made.pin_tag, event, act.repeat)
    return key


def _check_pin(core: Core, pin: str | None) -> None:
    if pin is not None:
        names.pin(pin)
    elif core.pin_required:
        raise InvalidRequestError.of("pin", f"core {core.number} wants a PIN for every key (8 to 128 characters)")


def _check_label(store: Store, core: int, label: str) -> None:
    with store.read() as connection:
        if keys.by_label(connection, core, label) is not None:
            raise ConflictError(f"core {core} has a key with label '{label}' already")


def _key(made: frames.Generated, label: str, key_type: KeyType) -> Key:
    record = made.record
    return Key(
        id=record.id,
        core=record.core,
        label=label,
        type=key_type,
        public_key=made.public_key,
        has_pin=made.pin_tag is not None,
        sealed=record.sealed,
        policy=record.policy,
        version=record.version,
        created=now(),
    )


def _keep(store: Store, caller: Caller, key: Key, pin_tag: bytes | None, event: Event, repeat: Repeat | None) -> None:
    with store.write() as connection:
        if generation(connection) != caller.snapshot.generation:
            raise StaleDecisionError("rules, users or keys have changed")
        claim(connection, repeat)
        keys.add(connection, key, pin_tag)
        events.append(connection, [event])
        keep(connection, repeat, key)
