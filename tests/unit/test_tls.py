"""The appliance's own TLS certificate is renewed in time, by one process at a time, and trouble with it is told."""

import datetime as dt
import fcntl
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from privyseal import tls
from privyseal.errors import ConfigurationError
from privyseal.supervisor import Supervisor
from privyseal.telemetry.cells import make_file
from privyseal.telemetry.metrics import Metrics
from privyseal.tls import TLSFiles


@pytest.fixture
def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TLSFiles:
    """A certificate that has no 30 days left."""
    files = TLSFiles(tmp_path / "tls")
    with monkeypatch.context() as patch:
        patch.setattr(tls, "_LEAF_DAYS", 29)
        files.prepare(["hsm.example"])
    return files


def test_it_is_renewed_once(ending: TLSFiles) -> None:
    """With the names that it had; the new one is not due."""
    before = ending.chain()[0]
    assert ending.renew_if_due()
    after = ending.chain()[0]
    assert tls._names(after) == tls._names(before)
    assert after.not_valid_after_utc - before.not_valid_after_utc > dt.timedelta(days=300)
    assert not ending.renew_if_due()


def test_one_that_is_put_there_meanwhile_stays(ending: TLSFiles) -> None:
    """Whether it is due is looked at when nobody else writes: a worker has just replaced it."""
    done: list[bool] = []
    with (ending.ca.parent / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: done.append(ending.renew_if_due()))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        tls._make_leaf(ending, tls._names(ending.chain()[0]))
        new = ending.leaf()
    thread.join()
    assert (done, ending.leaf()) == ([False], new)


def test_a_file_that_somebody_is_writing_is_left_alone(ending: TLSFiles) -> None:
    """It is no trouble yet: the next look finds it whole."""
    ending.certificate.write_bytes(ending.certificate.read_bytes()[:100])
    assert not ending.renew_if_due()
    ending.certificate.unlink()
    assert not ending.renew_if_due()


def test_an_authority_that_is_gone_is_said(ending: TLSFiles) -> None:
    """Else the certificate would end with nobody warned."""
    ending.ca_key.unlink()
    with pytest.raises(ConfigurationError, match="TLS authority cannot be read"):
        ending.renew_if_due()


def supervisor(files: TLSFiles) -> Supervisor:
    """One that only looks at the certificate."""
    made = Supervisor.__new__(Supervisor)
    made.tls, made.clock_at, made.tls_trouble = files, 0.0, ""
    made.metrics = Metrics(make_file(1))
    return made


def test_the_supervisor_warns_once_of_each_trouble(ending: TLSFiles, caplog: pytest.LogCaptureFixture) -> None:
    """Again when it is another one, or the same after it was over."""
    key = ending.ca_key.read_bytes()
    watching = supervisor(ending)

    def told(change: Callable[[], object]) -> list[str]:
        change()
        caplog.clear()
        with caplog.at_level(logging.INFO, "privyseal.serve"):
            watching.renew_certificate()
            watching.renew_certificate()
        return [one.getMessage() for one in caplog.records]

    (first,) = told(ending.ca_key.unlink)
    assert "cannot be renewed: the appliance's TLS authority cannot be read" in first
    assert told(lambda: None) == []
    (lock := ending.ca.parent / "lock").unlink()
    (second,) = told(lock.mkdir)
    assert "Is a directory" in second
    lock.rmdir()
    (third,) = told(lambda: None)
    assert third == first
    (over,) = told(lambda: ending.ca_key.write_bytes(key))
    assert over == "the TLS certificate is renewed: it would have ended soon"
