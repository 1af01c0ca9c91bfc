"""Log in to a core with a PIN, for a ticket that goes in the PIN's place; and end that ticket."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from privyseal.access.attempts import pin_limits, pin_subjects
from privyseal.access.decide import decide
from privyseal.errors import PINIncorrectError
from privyseal.keeper.client import UncountedError
from privyseal.model.access import Operation
from privyseal.model.cores import Core
from privyseal.model.event import Event, Outcome
from privyseal.operations.appliance import Appliance
from privyseal.operations.attempt import attempt
from privyseal.operations.find_key import require_entry
from privyseal.operations.perform import Act, Caller
from privyseal.operations.repeat import Repeat, claim, keep
from privyseal.store import appliance as appliance_rows
from privyseal.store import events, keys
from privyseal.store.store import Store
from privyseal.wire import frames, names

_COUNTED_UP_TO = 1000


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A ticket with its expiry, and how many keys (up to 1,000) the PIN opens of those that the user may see."""

    ticket: str
    expires: datetime
    keys: int
    event: int

    def __repr__(self) -> str:
        """Leave the ticket out."""
        return f"LoggedIn(keys={self.keys}, event={self.event})"


async def log_in(appliance: Appliance, caller: Caller, act: Act, core_ref: str, pin: str) -> LoggedIn:
    """Turn a PIN into a ticket.

    Raises:
        InvalidRequestError: the PIN has not 8 to 128 characters.
        PINIncorrectError: it fits no key here that the user may see.
        NotFoundError, AccessRefusedError, SecretLockedError, TooManyAttemptsError, ApplianceLockedError,
        UnavailableError, StaleDecisionError
    """
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    names.pin(pin)
    require_entry(caller, core, Operation.KEY_SIGN)
    answer, count = await _ask(appliance, caller, core, pin)
    done = act.event(appliance, caller.user.name, Outcome.DONE, reason=f"the PIN opens {count} keys")
    event = await appliance.recorder.record([done], caller.snapshot.generation)
    return LoggedIn(answer.ticket, datetime.fromtimestamp(answer.expires, UTC), count, event)


async def log_out(appliance: Appliance, caller: Caller, act: Act, core_ref: str, ticket: str) -> None:
    """End a ticket, here and on every node, also after a restart. Raises TicketInvalidError for another's ticket."""
    core = caller.snapshot.core(core_ref)
    act.core = core.number
    ended = await appliance.keeper.ask(frames.Logout(caller.user.name, core.number, ticket), frames.TicketEnded)
    event = act.event(appliance, caller.user.name, Outcome.DONE)
    await asyncio.to_thread(_end, appliance.store, ended, event, act.repeat)


async def _ask(appliance: Appliance, caller: Caller, core: Core, pin: str) -> tuple[frames.LoggedIn, int]:
    """Ask with a PIN that may be recognised, else with a counted attempt. A PIN that opens nothing always counts."""
    subjects = pin_subjects(caller.user.name, core.number, None)
    if caller.snapshot.guarded.isdisjoint(subjects):
        try:
            answer = await _login(appliance, caller, core, pin, counted=False)
            count = await _opens(appliance, caller, core, answer.pin_tag)
            if count:
                return answer, count
        except UncountedError:
            pass
    async with attempt(appliance, subjects, pin_limits(core)) as trial:
        answer = await _login(appliance, caller, core, pin, counted=True)
        count = await _opens(appliance, caller, core, answer.pin_tag)
        if count:
            return answer, count
        await trial.failed()
        raise PINIncorrectError(
            f"the PIN fits no key in core {core.number} that user '{caller.user.name}' may see; "
            f"{trial.attempts_left} attempts are left",
            trial.attempts_left,
        )


async def _login(appliance: Appliance, caller: Caller, core: Core, pin: str, *, counted: bool) -> frames.LoggedIn:
    proof = frames.PINProof(pin, core.pin_salt, counted=counted)
    return await appliance.keeper.ask(frames.Login(caller.user.name, core.number, proof), frames.LoggedIn)


async def _opens(appliance: Appliance, caller: Caller, core: Core, tag: bytes) -> int:
    opened = await asyncio.to_thread(_opened, appliance.store, core.number, tag)
    rules = caller.snapshot.rules_of(caller.user, core)
    return sum(
        decide(caller.user, Operation.KEY_READ, core.number, label, rules, key_id, tags).allowed
        for label, key_id, tags in opened
    )


def _opened(store: Store, core: int, tag: bytes) -> list[tuple[str, str, tuple[str, ...]]]:
    with store.read() as connection:
        return keys.with_pin_tag(connection, core, tag, _COUNTED_UP_TO)


def _end(store: Store, ended: frames.TicketEnded, event: Event, repeat: Repeat | None) -> None:
    with store.write() as connection:
        claim(connection, repeat)
        appliance_rows.end_ticket(connection, ended.id, ended.expires)
        events.append(connection, [event])
        keep(connection, repeat, None)
