"""The recorder keeps answers with their events: the first of two with one key wins, and old ones go in small steps."""

import asyncio
from collections.abc import Iterator
from unittest import mock

import pytest

from privyseal.audit import recorder as recorder_module
from privyseal.audit.recorder import Keep, Recorder
from privyseal.errors import AnsweredBeforeError, IdempotencyKeyReusedError, StaleDecisionError
from privyseal.model.event import Event, Outcome
from privyseal.model.secret_names import without_secrets
from privyseal.store import events, replays
from privyseal.store.replays import KEPT_MICROS, Kept
from privyseal.store.store import Store, generation
from privyseal.store.times import now_micros


@pytest.fixture
def recorder(store: Store) -> Iterator[Recorder]:
    """A recorder, closed at the end."""
    opened = Recorder(store)
    yield opened
    opened.close()


def event() -> Event:
    """An event of no meaning."""
    return Event(time=now_micros(), node="node", user="alice", operation="key:sign", outcome=Outcome.DONE)


def keep(name: str, content: str = "c", expires: int | None = None) -> Keep:
    """An answer that says its event's number."""
    until = now_micros() + KEPT_MICROS if expires is None else expires
    return Keep(name, content, lambda number: Kept(name, content, 200, f"event {number}", until))


def outcomes(store: Store) -> list[Outcome]:
    """How the events ended, in order."""
    with store.read() as connection:
        return [one.event.outcome for one in events.page(connection, 0, 1000)]


def ids(store: Store) -> list[str]:
    """Which answers are there."""
    with store.read() as connection:
        return sorted(row[0] for row in connection.exec_driver_sql("SELECT id FROM replays"))


def test_the_second_gets_the_first_ones_answer(store: Store, recorder: Recorder) -> None:
    """Also in one group: three at once, and another one later; what they made is recorded as dropped."""

    async def work() -> None:
        three = [recorder.record([event()], None, keep("a")) for _ in range(3)]
        first, *others = await asyncio.gather(*three, return_exceptions=True)
        assert first == 1
        for other in others:
            assert isinstance(other, AnsweredBeforeError)
            assert (other.status, other.answer) == (200, b"event 1")
        with pytest.raises(AnsweredBeforeError):
            await recorder.record([event()], None, keep("a"))
        assert await recorder.record([event()], None, keep("b")) == 5

    asyncio.run(work())
    assert outcomes(store) == [Outcome.DONE, *[Outcome.DROPPED] * 3, Outcome.DONE]
    assert ids(store) == ["a", "b"]


def test_another_content_is_refused(store: Store, recorder: Recorder) -> None:
    """It gets no answer, and its signature is recorded as dropped."""
    asyncio.run(recorder.record([event()], None, keep("a")))
    with pytest.raises(IdempotencyKeyReusedError):
        asyncio.run(recorder.record([event()], None, keep("a", "other")))
    assert outcomes(store) == [Outcome.DONE, Outcome.DROPPED]


def test_a_stale_decision_keeps_nothing(store: Store, recorder: Recorder) -> None:
    """It is made again with the same key."""
    with store.read() as connection:
        stale = generation(connection) - 1
    with pytest.raises(StaleDecisionError):
        asyncio.run(recorder.record([event()], stale, keep("a")))
    assert (outcomes(store), ids(store)) == ([], [])


def test_old_answers_go_in_small_steps(store: Store, recorder: Recorder) -> None:
    """Each cleaning removes twice what came since the last, and a few more; what is young stays."""
    with mock.patch.object(recorder_module, "_CLEANED_MIN", 3):
        old = [keep(f"old{number:02}", expires=number).answer(0) for number in range(20)]
        with store.write() as connection:
            replays.add(connection, old)
        asyncio.run(recorder.record([event()], None, keep("young")))
    assert ids(store) == [*[f"old{number:02}" for number in range(7, 20)], "young"]


def test_secrets_are_left_out_of_what_is_kept() -> None:
    """Texts under a secret's name go, at any depth; what only has such a name stays."""
    document = {"pin": True, "token": {"label": "x"}, "ticket": "t", "deep": [{"shares": ["a", "b"], "Password": "p"}]}
    wanted = {"pin": True, "token": {"label": "x"}, "ticket": None, "deep": [{"shares": None, "Password": None}]}
    assert without_secrets(document) == wanted
