"""Lock and unlock, and provision over the network.

Nobody logs in to unlock: the secret itself is what counts, and its holders need no account. So every attempt is counted
and delayed, by where it comes from and all together, in every worker; and it never locks, because that would let
anybody who reaches the port keep the holders out.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from privyseal.access.attempts import AttemptLimits
from privyseal.errors import NotProvisionedError, PrivysealError, TooManyAttemptsError, UnlockRefusedError
from privyseal.keeper.client import WrongSecretError
from privyseal.model.access import Operation
from privyseal.model.event import Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.attempt import Trial, attempt
from privyseal.operations.gate import find_state
from privyseal.operations.manage import change, require_role
from privyseal.operations.openers import Handed, handed
from privyseal.operations.perform import Act, Caller
from privyseal.operations.provision import provision
from privyseal.state import Change, State, require
from privyseal.store import appliance as appliance_rows
from privyseal.store.store import Store
from privyseal.wire import frames

UNLOCK_LIMITS = AttemptLimits(lock_at=None)
ALL_LIMITS = AttemptLimits(delay_from=20, lock_at=None, longest=5)
"""However many addresses an attacker has: from the 20th wrong attempt on there is one in five seconds for all."""
_NOBODY = "anonymous"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody brings to unlock: `kind` is passphrase, share or key-file. Its `repr` shows no secret."""

    peer: str
    kind: str
    secret: bytes

    def __repr__(self) -> str:
        """Show the kind alone."""
        return f"Attempt({self.kind})"


async def unlock(appliance: Appliance, given: Attempt) -> frames.Opening:
    """Unlock, or take one share of several.

    Raises:
        UnlockRefusedError: it opens nothing; the message says which share has a typing mistake.
        ConflictError: the appliance is not locked.
        NotProvisionedError, TooManyAttemptsError, UnavailableError
    """
    state = await find_state(appliance)
    if state is State.UNPROVISIONED:
        raise NotProvisionedError("the appliance is not provisioned yet; type `privyseal provision` first")
    require(state, Change.UNLOCK)
    act = Act("appliance:unlock", mechanism=given.kind)
    try:
        opening = await _try(appliance, given)
    except (UnlockRefusedError, TooManyAttemptsError) as error:
        event = act.event(appliance, _NOBODY, Outcome.REFUSED, reason=f"{error} (from {given.peer})")
        error.event = await appliance.recorder.record([event], basis=None)
        raise
    await _record(appliance, act, given, opening)
    return opening


async def _try(appliance: Appliance, given: Attempt) -> frames.Opening:
    slots, ended = await asyncio.to_thread(_slots, appliance.store)
    request = frames.Open(slots, given.kind, given.secret, ended)
    async with _counted(appliance, given) as trials:
        try:
            return await appliance.keeper.ask(request, frames.Opening)
        except WrongSecretError as error:
            for trial in trials:
                await trial.failed()
            raise UnlockRefusedError(str(error)) from None


async def _record(appliance: Appliance, act: Act, given: Attempt, opening: frames.Opening) -> None:
    """Record it. An appliance that cannot write that it was unlocked is locked again."""
    reason = "unlocked" if opening.unlocked else f"share {opening.have} of {opening.needed}"
    event = act.event(appliance, _NOBODY, Outcome.DONE, reason=f"{reason} (from {given.peer})")
    try:
        await appliance.recorder.record([event], basis=None)
    except PrivysealError:
        await appliance.keeper.ask(frames.Lock(), frames.Done)
        raise
    if opening.unlocked:
        await appliance.keeper.watch()


@asynccontextmanager
async def _counted(appliance: Appliance, given: Attempt) -> AsyncIterator[list[Trial]]:
    """Count the attempt. A right share is no right passphrase: it must not buy more attempts at one."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(attempt(appliance, (subject,), limits))
            for subject, limits in (
                (f"unlock:{given.kind}:{_origin(given.peer)}", UNLOCK_LIMITS),
                (f"unlock:{given.kind}:*", ALL_LIMITS),
            )
        ]


def _origin(peer: str) -> str:
    """Give an address, or for IPv6 its /64: one host has all of that to itself."""
    try:
        address = ip_address(peer)
    except ValueError:
        return "unknown"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))  # noqa: PLR2004


def _slots(store: Store) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    with store.read() as connection:
        slots = tuple(slot.sealed for slot in appliance_rows.slots(connection))
        return slots, appliance_rows.all_ended_tickets(connection)


async def lock(appliance: Appliance, caller: Caller, act: Act) -> None:
    """Make the keeper forget the domain key and everything opened with it. Recorded first, so no lock is unseen."""
    require_role(caller, Operation.APPLIANCE_MANAGE)
    require(State.OPERATIONAL, Change.LOCK)
    await change(appliance, caller, act, "locked", lambda _: None)
    await appliance.keeper.ask(frames.Lock(), frames.Done)
    await appliance.keeper.watch()


async def provision_here(appliance: Appliance, password: str, node: str | None, opener: frames.Opener) -> Handed:
    """Provision the appliance. Whoever comes first may, once: until then there is nothing here to protect.

    Raises ConflictError when that has happened, InvalidRequestError for a weak password.
    """
    require(await find_state(appliance), Change.PROVISION)
    name = node or socket.gethostname()[:64]
    slot = await asyncio.to_thread(provision, appliance.store, appliance.keeper.path, name, password, opener)
    await find_state(appliance)
    return handed(1, opener, slot)
