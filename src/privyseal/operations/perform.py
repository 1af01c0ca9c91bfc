"""How every operation is carried out: who calls, then the operation, then once more if what it rests on has changed.

A refusal is an event too. It is recorded here, once, with what the operation had found out about itself by then, and
only when it rests on the present state: a rule made a moment ago must not meet a refusal from before.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Any, TypeVar

import msgspec

from privyseal.audit.recorder import Keep
from privyseal.errors import (
    AccessRefusedError,
    AnsweredBeforeError,
    BodyTooLargeError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    KeyNotFoundError,
    MalformedJSONError,
    NotFoundError,
    PINRequiredError,
    PrivysealError,
    StaleDecisionError,
    UnavailableError,
)
from privyseal.model.access import User
from privyseal.model.event import Event, Outcome
from privyseal.operations.appliance import Appliance, Snapshot
from privyseal.operations.authenticate import Credentials, authenticate
from privyseal.operations.gate import require_operational
from privyseal.operations.repeat import Repeat, once
from privyseal.store.times import now_micros

_Result = TypeVar("_Result")
_TRIES = 10
_RESTING_ON_RULES = (AccessRefusedError, KeyNotFoundError, NotFoundError, PINRequiredError)  # or on what a key was
_NO_EVENTS = (
    MalformedJSONError,
    InvalidRequestError,
    BodyTooLargeError,
    AnsweredBeforeError,
    IdempotencyKeyReusedError,
)


class Caller(msgspec.Struct, frozen=True):
    """Who calls, and the state in which that was true."""

    user: User
    snapshot: Snapshot


@dataclass(slots=True)
class Act:
    """What is being tried, for the record. The operation fills in what it finds out; `way_in` is as in `User`."""

    operation: str
    core: int | None = None
    key: str | None = None
    mechanism: str | None = None
    repeat: Repeat | None = None
    way_in: str | None = None

    def renders(self, render: Callable[[Any], bytes]) -> None:
        """Say how the answer is written from what the operation gives, if it is to be kept."""
        if self.repeat is not None:
            self.repeat.render = render

    def keeps(self, result: Callable[[int], object]) -> Keep | None:
        """Give what the recorder keeps with the event, if anything: `result` makes it of the event's number."""
        repeat = self.repeat
        if repeat is None or not repeat.keeps:
            return None
        return Keep(repeat.id, repeat.content, lambda number: repeat.kept(result(number)))

    def event(
        self,
        appliance: Appliance,
        user: str,
        outcome: Outcome,
        *,
        input: str | None = None,  # noqa: A002 - the event's own word
        reason: str | None = None,
        keeper: str | None = None,
        use: int | None = None,
    ) -> Event:
        """Make the event of this act."""
        return Event(
            time=now_micros(),
            node=appliance.node,
            user=user,
            operation=self.operation,
            core=self.core,
            key=_printable(self.key),
            mechanism=self.mechanism,
            outcome=outcome,
            input=input,
            reason=_printable(self._with_way_in(reason)),
            keeper=keeper,
            use=use,
        )

    def _with_way_in(self, reason: str | None) -> str | None:
        """Say in the reason which credential or certificate was used: the user is who answers for it."""
        if self.way_in is None:
            return reason
        return self.way_in + ("" if reason is None else f": {reason}")


def _printable(text: str | None) -> str | None:
    """Escape what a caller may have put into a name to mislead a reader's terminal, or what no database takes."""
    if text is None or text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


async def perform(
    appliance: Appliance, credentials: Credentials, act: Act, operation: Callable[[Caller], Awaitable[_Result]]
) -> _Result:
    """Authenticate and carry out an operation; raises what it raises, recorded. It is counted and timed.

    Args:
        appliance: where.
        credentials: as they came in.
        act: what to write into the record if it is refused.
        operation: what to do; it may be done again from the start when a decision turned out stale.
    """
    began = perf_counter_ns()
    outcome = "failed"
    try:
        result = await _perform(appliance, credentials, act, operation)
        outcome = "done"
    except PrivysealError as error:
        outcome = _outcome(error)
        raise
    else:
        return result
    finally:
        appliance.metrics.operation(act.operation, act.mechanism, outcome, perf_counter_ns() - began)


def _outcome(error: PrivysealError) -> str:
    if isinstance(error, AnsweredBeforeError):
        return "replayed"
    if isinstance(error, _NO_EVENTS):
        return "invalid"
    return "failed" if isinstance(error, UnavailableError) else "refused"


async def _perform(
    appliance: Appliance, credentials: Credentials, act: Act, operation: Callable[[Caller], Awaitable[_Result]]
) -> _Result:
    if not appliance.is_operational:
        await require_operational(appliance)
    for _ in range(_TRIES):
        snapshot = appliance.snapshot
        try:
            user = await authenticate(appliance, snapshot, credentials)
            act.way_in = user.way_in
            caller = Caller(user, snapshot)
            if act.repeat is None:
                return await operation(caller)
            return await once(appliance.store, appliance.answers, act.repeat, user, partial(operation, caller))
        except StaleDecisionError:
            await appliance.current()
        except _RESTING_ON_RULES as error:
            if await appliance.current() is snapshot:
                raise await _recorded(appliance, credentials.name, act, error) from error.__cause__
        except PrivysealError as error:
            raise await _recorded(appliance, credentials.name, act, error) from error.__cause__
    raise UnavailableError("the appliance's rules keep changing; try again")


async def _recorded(appliance: Appliance, user: str, act: Act, error: PrivysealError) -> PrivysealError:
    """Record a refusal or failure. A request that asks for nothing sensible, or again, is no event."""
    if isinstance(error, _NO_EVENTS) or error.event is not None:
        return error
    outcome = Outcome.FAILED if isinstance(error, UnavailableError) else Outcome.REFUSED
    event = act.event(appliance, user, outcome, reason=str(error))
    try:
        error.event = await appliance.recorder.record([event], basis=None)
    except UnavailableError as unavailable:  # what cannot be recorded must not be answered either
        return unavailable
    return error
