"""Trying a secret: an attempt is reserved in the store before it is tried, so that none is forgotten and none is free.

Reserved attempts count against the limit while they are tried, in every worker: where they might be wrong once too
often, one is tried at a time. Those that a crash leaves behind are counted as wrong when the process is started again.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from privyseal.access.attempts import AttemptLimits, Attempts
from privyseal.errors import SecretLockedError, TooManyAttemptsError
from privyseal.operations.appliance import Appliance
from privyseal.store import attempts
from privyseal.store.store import Store

_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 10.0
_MICROS = 1_000_000


@dataclass(slots=True)
class Trial:
    """An attempt under way. It counts as right unless `failed` is called."""

    store: Store
    subjects: tuple[str, ...]
    limits: AttemptLimits
    settled: bool = False
    attempts_left: int = 0

    async def failed(self) -> None:
        """Count the attempt as wrong, durably; call it before anybody is told."""
        known = await asyncio.to_thread(_fail, self.store, self.subjects)
        self.settled = True
        most = max(one.failures for one in known)
        self.attempts_left = max((self.limits.lock_at or 0) - most, 0)


@asynccontextmanager
async def attempt(appliance: Appliance, subjects: tuple[str, ...], limits: AttemptLimits) -> AsyncIterator[Trial]:
    """Reserve an attempt for all subjects and settle it at the end.

    Raises:
        SecretLockedError: one of them has had too many wrong attempts.
        TooManyAttemptsError: the next attempt has to wait.
    """
    await _reserve(appliance, subjects, limits)
    trial = Trial(appliance.store, subjects, limits)
    try:
        yield trial
    except BaseException:
        if not trial.settled:
            await asyncio.shield(asyncio.to_thread(_release, appliance.store, subjects))
        raise
    if not trial.settled:
        await asyncio.to_thread(_succeed, appliance.store, subjects)


async def _reserve(appliance: Appliance, subjects: tuple[str, ...], limits: AttemptLimits) -> None:
    """Reserve when it is this attempt's turn. One of a worker's asks the database, however many wait in it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    turn = appliance.turns.setdefault(subjects[0], asyncio.Lock())
    try:
        await asyncio.wait_for(turn.acquire(), _PATIENCE_SECONDS)
    except TimeoutError:
        raise _too_many_at_once() from None
    try:
        while not await asyncio.to_thread(_try_to_reserve, appliance.store, subjects, limits):
            if time.monotonic() > deadline:
                raise _too_many_at_once()
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        turn.release()


def _too_many_at_once() -> TooManyAttemptsError:
    return TooManyAttemptsError("too many attempts at once; wait a second", 1)


def _try_to_reserve(store: Store, subjects: tuple[str, ...], limits: AttemptLimits) -> bool:
    _mend_clock(store, subjects)
    with store.write() as connection:
        attempts.hold(connection, subjects)
        known = [attempts.get(connection, subject) for subject in subjects]
        for one in known:
            _refuse(one, limits)
        if any(one.pending and one.failures + one.pending >= limits.one_at_a_time_from for one in known):
            return False
        for one in known:
            attempts.reserve(connection, one)
    return True


def _mend_clock(store: Store, subjects: tuple[str, ...]) -> None:
    """Let a wait begin now whose beginning lies in the future: else a clock set back by a year would last a year."""
    with store.read() as connection:
        known = [attempts.get(connection, subject) for subject in subjects]
    if any(one.last > time.time_ns() // 1000 for one in known):
        with store.write() as connection:
            attempts.begin_now(connection, subjects)


def _refuse(known: Attempts, limits: AttemptLimits) -> None:
    if limits.locks(known.failures):
        raise SecretLockedError(
            f"locked after {known.failures} wrong PINs; an administrator unlocks it with `{_unlock(known.subject)}`"
        )
    wait = known.last + limits.wait(known.failures) * _MICROS - time.time_ns() // 1000
    if limits.wait(known.failures) and wait > 0:
        seconds = -(-wait // _MICROS)
        raise TooManyAttemptsError(f"too many wrong attempts; wait {seconds} s", int(seconds))


def _unlock(subject: str) -> str:
    _, kind, name, core = subject.split(":")
    return f"privyseal {kind} unlock {name}" + (f" --core {core}" if kind == "key" else "")


def _fail(store: Store, subjects: tuple[str, ...]) -> list[Attempts]:
    with store.write() as connection:
        attempts.hold(connection, subjects)
        return [attempts.fail(connection, subject) for subject in subjects]


def _succeed(store: Store, subjects: tuple[str, ...]) -> None:
    with store.write() as connection:
        attempts.hold(connection, subjects)
        for subject in subjects:
            attempts.succeed(connection, subject)


def _release(store: Store, subjects: tuple[str, ...]) -> None:
    """Give a reservation back: the secret was neither right nor wrong, something else went wrong."""
    with store.write() as connection:
        attempts.hold(connection, subjects)
        for subject in subjects:
            attempts.release(connection, subject)
