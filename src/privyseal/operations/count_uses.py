"""Using a key whose policy limits its uses: the count, the events and the answer are one transaction.

The keeper counts and has the last word while it runs. The number of uses on record has it over a restart of the
keeper: a worker that read an old count just before gets its answer thrown away here. A use that was counted and
then thrown away stays used.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from privyseal.errors import AccessRefusedError, StaleDecisionError
from privyseal.model.access import Decision
from privyseal.model.event import Event
from privyseal.operations import repeat
from privyseal.operations.appliance import Appliance, KnownKey
from privyseal.operations.perform import Act, Caller
from privyseal.store import key_life
from privyseal.store.key_life import Counter
from privyseal.store.store import Store, generation
from privyseal.wire import frames


async def counter_of(appliance: Appliance, caller: Caller, act: Act, known: KnownKey) -> bytes | None:
    """Give the sealed count to send along with a use; None for a key without a limit.

    A repeated request is answered here, because it must not use the key up once more; raises as `repeat.look` and
    `kept_counter`.
    """
    if known.policy.max_uses is None:
        return None
    if act.repeat is not None:
        await repeat.look(appliance.store, act.repeat)
    return await kept_counter(appliance, caller, known)


async def kept_counter(appliance: Appliance, caller: Caller, known: KnownKey) -> bytes | None:
    """Give the sealed count of a key, whether its policy has a limit now or not; None for one that never had any.

    Raises StaleDecisionError now rather than at the commit, where a use would be lost to it.
    """
    found = await asyncio.to_thread(_read, appliance.store, caller, known)
    return None if found is None else found.sealed


async def uses_of(appliance: Appliance, known: KnownKey) -> int | None:
    """Give how often this version of a key was used; None for a key without a limit."""
    if known.policy.max_uses is None:
        return None

    def read() -> Counter | None:
        with appliance.store.read() as connection:
            return key_life.counter(connection, known.key)

    found = await asyncio.to_thread(read)
    return 0 if found is None else found.uses


Answer = frames.Signatures | frames.Applied | frames.Unwrapped
"""What the keeper gives for a use that it counted."""


def count_in(connection: Connection, known: KnownKey, answer: Answer, new: Sequence[Event]) -> list[Event]:
    """Keep the count in the transaction that writes the events; gives them with the numbers of their uses.

    Raises AccessRefusedError when the key is used up after all.
    """
    assert answer.uses is not None  # noqa: S101 - the keeper counts every key with a limit
    assert answer.counter is not None  # noqa: S101 - as above
    limit, first = known.policy.max_uses or 0, answer.uses - len(new) + 1
    if not key_life.count(connection, known.key, Counter(answer.uses, answer.counter), len(new), limit):
        reason = f"the key's policy allows {limit} uses, and they are used up"
        raise AccessRefusedError(Decision(allowed=False, reason=reason))
    return [_numbered(one, f"use {use} of {limit}") for use, one in enumerate(new, first)]


def _numbered(event: Event, words: str) -> Event:
    return msgspec.structs.replace(event, reason=words if event.reason is None else f"{event.reason}; {words}")


def _read(store: Store, caller: Caller, known: KnownKey) -> Counter | None:
    with store.read() as connection:
        if generation(connection) != caller.snapshot.generation:
            raise StaleDecisionError("rules, users or keys have changed")
        return key_life.counter(connection, known.key)
