"""What a kernel does not have is reported as not in force, and nothing fails. The rest is tested in real keepers."""

import json
import resource
import subprocess
import sys

import pytest

from privyseal.keeper import hardening, hiding
from support.processes import ROOT


class Kernel:
    """Says no to every system call, or yes."""

    def __init__(self, answer: int) -> None:
        self.answer = answer

    def __getattr__(self, name: str) -> object:
        """Any of libc's functions."""
        del name
        return lambda *_: self.answer


def test_memory_is_locked_only_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a limit a later allocation would fail, so that nothing is locked."""
    infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(hardening.resource, "setrlimit", lambda *_: None)
    for limit, answer, locked in ((infinite, 0, True), (infinite, -1, False), ((65536, 65536), 0, False)):
        monkeypatch.setattr(hardening.resource, "getrlimit", lambda _, limit=limit: limit)
        monkeypatch.setattr(hardening, "_libc", Kernel(answer))
        assert hardening.lock_memory() is locked


def test_an_unknown_machine_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of system calls are the machine's own."""
    monkeypatch.setattr(hardening.platform, "machine", lambda: "vax")
    assert hardening.forbid_network_and_programs() is False


def test_a_kernel_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is told, and warns."""
    monkeypatch.setattr(hiding, "_libc", Kernel(-1))
    assert hiding.hide(ROOT / "README.md") is False


def test_a_worker_gives_up_what_reads_the_keeper() -> None:
    """Tried in a process of its own, because it cannot be taken back."""
    words = "import json; from privyseal.keeper.hardening import harden_worker; print(json.dumps(harden_worker()))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    assert {"no_core_dump", "no_capabilities", "no_new_privileges"} <= set(found)
    assert all(found.values())
