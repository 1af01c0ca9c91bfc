"""Checkpoints leave by every way that is asked for, and a way that fails stops nothing."""

import asyncio
import http.server
import ssl
import syslog
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from privyseal.errors import ConfigurationError, UnavailableError
from privyseal.keeper.client import ask_once, open_keeper
from privyseal.operations import publish_checkpoints
from privyseal.operations.publish_checkpoints import Destinations, Publisher, append, post
from privyseal.operations.take_checkpoint import audit_key, take_checkpoint, verifier_key
from privyseal.store import appliance as appliance_rows
from privyseal.store import events
from privyseal.store.store import Store
from privyseal.tls import TLSFiles
from privyseal.wire import frames, notes
from support.keeper import Keeper


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty appliance's database."""
    opened = Store(f"sqlite:///{tmp_path / 'store.db'}")
    opened.migrate()
    with opened.write() as connection:
        appliance_rows.create(connection, "node")
    yield opened
    opened.close()


def recorded(store: Store) -> list[tuple[str, str, str | None]]:
    """Operation, outcome and reason of every event."""
    with store.read() as connection:
        found = [one.event for one in events.page(connection, 0, 100)]
    return [(each.operation, each.outcome.value, each.reason) for each in found]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], tuple[str, list[bytes]]]]:
    """Starts an HTTPS server that answers with a status, and keeps what it was sent."""
    tls = TLSFiles(tmp_path / "tls")
    tls.prepare(["127.0.0.1"])
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
    stops: list[Callable[[], None]] = []

    def start(status: int) -> tuple[str, list[bytes]]:
        bodies: list[bytes] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(status)
                self.send_header("Location", f"https://127.0.0.1:{self.server.server_address[1]}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        listener = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate)
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        stops.extend((listener.shutdown, thread.join, listener.server_close))
        return f"https://127.0.0.1:{listener.server_address[1]}/checkpoints?node=1", bodies

    yield start
    for stop in stops:
        stop()


def test_a_checkpoint_goes_everywhere(
    store: Store,
    keeper: Keeper,
    tmp_path: Path,
    server: Callable[[int], tuple[str, list[bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each way gets the same note; a file gets one after the other, and the first start makes the audit key."""
    url, bodies = server(204)
    lines: list[str] = []
    monkeypatch.setattr(syslog, "syslog", lambda _, line: lines.append(line))
    publisher = Publisher(store, keeper.path, Destinations(tmp_path / "kept", True, url))  # noqa: FBT003 - in their order
    publisher.publish()
    publisher.publish()
    kept = list(notes.split((tmp_path / "kept").read_text()))
    assert [body.decode() for body in bodies] == kept
    assert [line.replace("|", "\n") for line in lines] == kept
    assert recorded(store) == [("audit:key", "done", None)]

    async def key() -> notes.VerifierKey:
        async with open_keeper(keeper.path) as opened:
            return verifier_key(await audit_key(store, opened))

    assert [notes.open_checkpoint(note, asyncio.run(key())).size for note in kept] == [1, 1]


def test_a_way_that_fails_is_told_once(
    store: Store, keeper: Keeper, tmp_path: Path, server: Callable[[int], tuple[str, list[bytes]]]
) -> None:
    """A redirect is not followed; the other ways get theirs; an event says so once until it works again."""
    url, bodies = server(307)
    publisher = Publisher(store, keeper.path, Destinations(tmp_path / "kept", url=url))
    publisher.publish()
    publisher.publish()
    assert len(bodies) == 2
    assert len(list(notes.split((tmp_path / "kept").read_text()))) == 2
    assert recorded(store)[1:] == [("audit:checkpoint", "failed", "the server answered 307")]


def test_nothing_stops_it(store: Store, keeper: Keeper, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a locked keeper nor a folder that is not there nor a database that went away."""
    ask_once(keeper.path, frames.Lock(), frames.Done)
    publisher = Publisher(store, keeper.path, Destinations(tmp_path / "kept"))
    publisher.publish()
    assert recorded(store) == [("audit:checkpoint", "failed", "the appliance is locked; unlock it first")]
    with store.write() as connection:
        connection.exec_driver_sql("DROP TABLE events")
    other = Publisher(store, keeper.path, Destinations(tmp_path / "none" / "kept"))
    other.publish()
    assert "could not be recorded either" in caplog.text


def test_it_begins_at_once_and_ends_with_a_last_one(store: Store, keeper: Keeper, tmp_path: Path) -> None:
    """The thread sends one at its start, one each interval, and one when it is stopped."""
    kept = tmp_path / "kept"
    publisher = Publisher(store, keeper.path, Destinations(kept, every=0.01))
    publisher.start()
    poll = threading.Event()
    for _ in range(3000):
        if kept.exists() and len(list(notes.split(kept.read_text()))) >= 3:
            break
        poll.wait(0.02)
    publisher.stop()
    assert len(list(notes.split(kept.read_text()))) >= 3
    Publisher(store, keeper.path, Destinations()).stop()


def test_destinations() -> None:
    """None is false; a URL without TLS is refused."""
    assert not Destinations()
    assert Destinations(syslog=True)
    for url in (
        "http://host/",
        "https:///x",
        "file:///etc/passwd",
        "https://[::1",
        "https://host:port/",
        "https://h:0x1",
    ):
        with pytest.raises(ConfigurationError, match="--checkpoint-url wants https://HOST"):
            Destinations(url=url)


def test_what_is_no_http_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a symbolic link is not followed."""

    class Nonsense:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def request(self, *_: object) -> None:
            raise http.client.BadStatusLine("x")

        def close(self) -> None:
            pass

    monkeypatch.setattr(publish_checkpoints.http.client, "HTTPSConnection", Nonsense)
    with pytest.raises(OSError, match="BadStatusLine"):
        post("https://127.0.0.1/", "note")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError):  # noqa: PT011 - its words are the system's
        append(tmp_path / "link", "note")


def test_who_comes_second_takes_the_first_ones_key(store: Store, keeper: Keeper) -> None:
    """Two processes at once make one audit key; a damaged edge makes no checkpoint."""

    async def work() -> None:
        async with open_keeper(keeper.path) as opened:
            found = await asyncio.gather(*(audit_key(store, opened) for _ in range(4)))
            assert len({each.id for each in found}) == 1
            with store.write() as connection:
                connection.exec_driver_sql("UPDATE tree_edge SET size = 3")
            with pytest.raises(UnavailableError, match="damaged"):
                await take_checkpoint(store, opened)

    asyncio.run(work())
