"""PINs are stretched once and only when counted; tickets are of one user, one core, one hour."""

import base64
import time

import pytest

from privyseal.keeper.domain import DomainKey
from privyseal.keeper.pins import (
    TICKET_SECONDS,
    PINs,
    Remembered,
    TicketError,
    Tickets,
    UncountedError,
    _Content,
    stretch,
)
from privyseal.wire.frames import PINProof

SALT = b"salt of the core"


def proof(pin: str = "12345678", *, salt: bytes = SALT, counted: bool = True) -> PINProof:
    """A PIN as a worker sends it."""
    return PINProof(pin, salt, counted=counted)


def test_an_uncounted_pin_is_not_tried() -> None:
    """Until it has been tried once with a counted attempt; then it is recognised, and no other is."""
    known = PINs()
    with pytest.raises(UncountedError):
        known.key(proof(counted=False))
    key = known.key(proof())
    assert key == known.key(proof(counted=False)) == stretch("12345678", SALT)
    for other in (proof("12345679", counted=False), proof(salt=b"another core's s", counted=False)):
        with pytest.raises(UncountedError):
            known.key(other)


def test_nothing_is_recognised_after_clear() -> None:
    """A locked keeper remembers no PIN."""
    known = PINs()
    known.key(proof())
    known.clear()
    with pytest.raises(UncountedError):
        known.key(proof(counted=False))


def test_a_fingerprint_is_of_one_process() -> None:
    """Two keepers recognise the same PIN by different marks, so one taken from here is worth nothing there."""
    assert PINs().fingerprint(b"x") != PINs().fingerprint(b"x")


def test_the_least_recently_used_is_forgotten_first() -> None:
    """A bounded memory: what is asked for stays."""
    memory: Remembered[int] = Remembered(2)
    memory.put(b"a", 1)
    memory.put(b"b", 2)
    memory.get(b"a")
    memory.put(b"c", 3)
    assert [memory.get(name) for name in (b"a", b"b", b"c")] == [1, None, 3]


@pytest.fixture
def tickets() -> Tickets:
    """Tickets under a fresh domain key."""
    return Tickets(DomainKey.generate())


def test_a_ticket_carries_the_pin_key_for_an_hour(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to its last second it works; after that it does not, though it was read before."""
    issued = tickets.issue("alice", 1, b"key")
    assert tickets.redeem(issued.text, "alice", 1) == b"key"
    assert issued.expires - time.time() <= TICKET_SECONDS
    monkeypatch.setattr(time, "time", lambda: issued.expires - 1)
    assert tickets.redeem(issued.text, "alice", 1) == b"key"
    monkeypatch.setattr(time, "time", lambda: issued.expires)
    with pytest.raises(TicketError, match="expired"):
        tickets.redeem(issued.text, "alice", 1)


@pytest.mark.parametrize(("user", "core"), [("bob", 1), ("alice", 2)])
def test_a_ticket_is_of_its_user_and_core(tickets: Tickets, user: str, core: int) -> None:
    """Another's ticket can neither be used nor be ended."""
    issued = tickets.issue("alice", 1, b"key")
    for use in (tickets.redeem, tickets.end):
        with pytest.raises(TicketError, match="another user or core"):
            use(issued.text, user, core)
    assert tickets.redeem(issued.text, "alice", 1) == b"key"


def test_an_ended_ticket_stays_ended() -> None:
    """Ending it twice is no error; a keeper that is told its id at start refuses it too."""
    domain = DomainKey.generate()
    here = Tickets(domain)
    issued = here.issue("alice", 1, b"key")
    assert here.end(issued.text, "alice", 1).id == here.end(issued.text, "alice", 1).id == issued.id
    for keeper in (here, Tickets(domain, (issued.id,))):
        with pytest.raises(TicketError, match="ended"):
            keeper.redeem(issued.text, "alice", 1)
    assert Tickets(domain).redeem(issued.text, "alice", 1) == b"key"


@pytest.mark.parametrize(
    "text", ["", "nonsense", "ticket of ümläuts", "A" * 5, "\0", base64.b64encode(bytes(99)).decode()]
)
def test_what_is_no_ticket(tickets: Tickets, text: str) -> None:
    """Whatever it is, it is refused as a ticket and as nothing else."""
    with pytest.raises(TicketError, match="no ticket"):
        tickets.redeem(text, "alice", 1)


def test_another_appliances_ticket(tickets: Tickets) -> None:
    """It was sealed under another domain key."""
    with pytest.raises(TicketError, match="no ticket"):
        tickets.redeem(Tickets(DomainKey.generate()).issue("alice", 1, b"key").text, "alice", 1)


def test_what_a_ticket_holds_is_not_shown() -> None:
    """A log or a traceback has no use for a PIN's key."""
    assert repr(_Content("id", "alice", 1, b"the key of a PIN", 0)) == "_Content(…)"


def test_what_is_remembered_is_counted() -> None:
    """For the metrics, and never more than there is room for."""
    memory: Remembered[int] = Remembered(2)
    for number in range(3):
        memory.put(bytes([number]), number)
    assert len(memory) == 2
