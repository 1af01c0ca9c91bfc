"""The disk fills up: nothing is signed that cannot be recorded, and when there is room again all goes on."""

import contextlib
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.load import Clients, compare, new, until_ready
from faults.soak import TIMEOUT, times
from faults.witness import Witness
from support.appliance import Appliance

pytestmark = pytest.mark.timeout(TIMEOUT)

SIZE = 48 * 1024 * 1024  # bytes of the small file system


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, which is soon full. Only root may make one, and a container may forbid it."""
    with tempfile.TemporaryDirectory(prefix="privyseal-disk-") as folder:
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "privyseal-test", folder]
        mounted = subprocess.run(words, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no byte of room for a while (ENOSPC)."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        ballast.unlink()


def test_no_room_on_the_disk(small_disk: Path) -> None:
    """Under load: 503 and no signature while the disk is full, without a restart afterwards; and reading goes on."""
    appliance = Appliance(small_disk / "appliance", "--workers", "2")
    appliance.start()
    try:
        new(appliance)
        clients, witness = Clients(appliance), Witness(appliance)
        workers = appliance.worker_processes()
        with clients.busy():
            for _ in range(times(2)):
                clients.wait_for(20)
                clients.told.statuses.clear()
                with filled(small_disk):
                    clients.wait_until(lambda: 503 in clients.told.statuses)
                    assert appliance.api("GET", "/state").json()["state"] == "operational"
            clients.wait_for(20)
        assert clients.told.statuses <= {200, 201, 503}
        assert appliance.worker_processes() == workers
        compare(appliance, clients.told)
        witness.verify()
    finally:
        appliance.stop()


def test_no_room_at_the_start_and_for_a_backup(small_disk: Path) -> None:
    """Neither leaves anything half made: the start fails with words, the backup leaves no file, and both work later."""
    appliance = Appliance(small_disk / "appliance", "--workers", "1")
    appliance.directory.mkdir(exist_ok=True)
    appliance.secret_file("admin.password", appliance.admin_password)
    with filled(small_disk), pytest.raises((RuntimeError, OSError)) as first:
        appliance.start()
    assert "Traceback" not in str(first.value)
    appliance.start()
    try:
        new(appliance)
        witness = Witness(appliance)
        passphrase = appliance.secret_file("passphrase", "what opens the safe")
        appliance.cli("backup", "recipient", "add", "safe", "--passphrase-file", passphrase)
        target = small_disk / "backup"
        appliance.environment()  # writes the password's file while there is room
        with filled(small_disk):
            done = appliance.cli("backup", "create", "-o", target, check=False)
            assert done.returncode not in (0, -1), done.stdout
            assert "Traceback" not in done.stderr
            assert not list(small_disk.glob("backup*"))
        appliance.cli("backup", "create", "-o", target)
        appliance.stop()
        with filled(small_disk), pytest.raises((RuntimeError, OSError)) as again:
            appliance.start()
        assert "Traceback" not in str(again.value)
        appliance.start()
        until_ready(appliance)
        witness.verify()
    finally:
        appliance.stop()


def test_files_may_grow_no_more(new_appliance: Callable[..., Appliance]) -> None:
    """As on a full disk, where no file system can be mounted: writes fail in the workers only (EFBIG)."""
    appliance = new(new_appliance("--workers", "2"))
    clients, witness = Clients(appliance), Witness(appliance)
    with clients.busy():
        clients.wait_for(20)
        limit = 512  # bytes; no file may grow beyond it
        for worker in appliance.worker_processes():
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        clients.wait_until(lambda: 503 in clients.told.statuses)
        answers = {appliance.api("GET", "/audit/events?limit=1", check=False).status_code for _ in range(5)}
        assert answers <= {200, 503}
        for worker in appliance.worker_processes():
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        clients.wait_for(50)
    assert clients.told.statuses <= {200, 201, 503}
    compare(appliance, clients.told)
    witness.verify()
