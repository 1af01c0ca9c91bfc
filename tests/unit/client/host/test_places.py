"""Where a set-up is."""

import os
from pathlib import Path

import pytest

from privyseal.client.errors import ConfigurationError
from privyseal.client.host import elf
from privyseal.client.host import places as module
from privyseal.client.host.places import beside, places


def test_root_sets_up_the_host() -> None:
    there = places({}, uid=0)
    assert there.configuration == Path("/etc/privyseal/client.json")
    assert there.p11_kit == Path("/etc/pkcs11/modules/privyseal.module")
    assert there.module == Path("/usr/local/lib/privyseal/privyseal-pkcs11.so")


def test_others_set_up_their_home() -> None:
    there = places({"HOME": "/home/alice"}, uid=1000)
    assert there.configuration == Path("/home/alice/.config/privyseal/client.json")
    assert there.p11_kit == Path("/home/alice/.config/pkcs11/modules/privyseal.module")
    assert there.module == Path("/home/alice/.local/lib/privyseal/privyseal-pkcs11.so")


def test_p11_kit_is_where_p11_kit_looks() -> None:
    """It hears XDG_CONFIG_HOME; our configuration is where the module looks, which does not."""
    there = places({"HOME": "/home/alice", "XDG_CONFIG_HOME": "/cfg"}, uid=1000)
    assert there.p11_kit == Path("/cfg/pkcs11/modules/privyseal.module")
    assert there.configuration == Path("/home/alice/.config/privyseal/client.json")


def test_without_a_home() -> None:
    with pytest.raises(ConfigurationError, match="HOME"):
        places({}, uid=1000)


def test_a_prefix_holds_everything(tmp_path: Path) -> None:
    there = places({}, uid=1000, prefix=tmp_path)
    files = (there.configuration, there.ca_file, there.openssl_cnf, there.module, there.p11_kit, there.journal)
    assert all(each.is_relative_to(tmp_path) for each in files)


def test_a_configuration_knows_its_set_up_by_the_journal(tmp_path: Path) -> None:
    there = places(prefix=tmp_path)
    assert beside(there.configuration) is None
    there.journal.mkdir(parents=True)
    assert beside(there.configuration) == there
    (tmp_path / "connect").mkdir()
    assert beside(tmp_path / "client.json") is None


def test_everybody_knows_the_set_up_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which root made; the user's own is known by a relative path too, and one without a home folder is no error."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert module._written_as(Path("/etc/privyseal/client.json")) == places(uid=0)
    own = places()
    own.journal.mkdir(parents=True)
    monkeypatch.chdir(own.journal.parent)
    assert beside(Path("client.json")) == own
    monkeypatch.delenv("HOME")
    assert module._written_as(Path("/etc/privyseal/client.json")) == places(uid=0)
    assert beside(own.configuration) is None


def test_whose_processor(tmp_path: Path) -> None:
    """By the header of an ELF file of either byte order; anything else is none."""
    little = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + (183).to_bytes(2, "little")
    big = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x03" + (22).to_bytes(2, "big")
    unknown = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + (999).to_bytes(2, "little")
    path = tmp_path / "file"
    for content, machine in (
        (little, "aarch64"),
        (big, "s390x"),
        (unknown, "processor 999"),
        (b"\x7fELF", None),
        (b"#!/bin/sh and some more words", None),
    ):
        path.write_bytes(content)
        assert elf.machine_of(path) == machine
    assert elf.this_machine() == elf.machine_of(Path("/proc/self/exe"))
