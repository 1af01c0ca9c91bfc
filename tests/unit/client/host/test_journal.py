"""A set-up is taken back byte for byte, whatever was there before and wherever the writing stopped."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from privyseal.client.errors import ConfigurationError
from privyseal.client.host import journal
from privyseal.client.host.journal import SECRET, File
from support.trees import tree


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with a file of somebody's, an old one, and a link to a third."""
    folder = tmp_path / "etc"
    folder.mkdir()
    for name, mode in (("client.json", 0o640), ("system.cnf", 0o644)):
        (folder / name).write_text(f"what {name} held\n")
        (folder / name).chmod(mode)
        os.utime(folder / name, ns=(10**18, 10**18 + 7))
    (folder / "link.cnf").symlink_to("system.cnf")
    return tmp_path


def files(host: Path) -> list[File]:
    """A new file in folders that are not there, one over an old file, one through a link."""
    return [
        File(host / "new" / "deep" / "module.so", b"module"),
        File(host / "etc" / "client.json", b"ours", SECRET),
        File(host / "etc" / "link.cnf", b"system and ours", None),
    ]


def test_everything_is_as_it_was(host: Path) -> None:
    before = tree(host)
    journal.write(host / "state" / "connect", files(host), private=False)
    assert (host / "new/deep/module.so").read_bytes() == b"module"
    assert (host / "etc/system.cnf").read_bytes() == b"system and ours"
    assert (host / "etc/link.cnf").is_symlink()
    undone = journal.undo(host / "state" / "connect")
    assert tree(host) == before
    assert set(undone.restored) == {host / "etc/client.json", host / "etc/system.cnf"}
    assert undone.earlier == 0


def test_modes(host: Path) -> None:
    """Secrets are for their owner, a file that keeps its mode keeps it, and the journal is nobody else's."""
    journal.write(host / "state" / "connect", files(host), private=False)
    modes = {path: stat.S_IMODE((host / path).stat().st_mode) for path in ("etc/client.json", "etc/system.cnf", "new")}
    assert modes == {"etc/client.json": 0o600, "etc/system.cnf": 0o644, "new": 0o755}
    record = host / "state" / "connect" / "1"
    assert {stat.S_IMODE(each.stat().st_mode) for each in (record, record.parent)} == {0o700}
    assert {stat.S_IMODE(each.stat().st_mode) for each in record.iterdir()} == {0o600}


def test_private_folders(host: Path) -> None:
    """In a home folder what is made is for its owner alone."""
    journal.write(host / "home" / "connect", files(host), private=True)
    assert stat.S_IMODE((host / "home").stat().st_mode) == 0o700


def test_each_undo_takes_one_back(host: Path) -> None:
    """Undoing a second set-up leads to the first one and not to nothing."""
    connect = host / "state" / "connect"
    before = tree(host)
    journal.write(connect, files(host), private=False)
    once = tree(host)
    journal.write(connect, [File(host / "etc" / "client.json", b"another", SECRET)], private=False)
    assert journal.undo(connect).earlier == 1
    assert tree(host) == once
    assert journal.undo(connect).earlier == 0
    assert tree(host) == before


def test_nothing_to_undo(host: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to undo"):
        journal.undo(host / "state" / "connect")


def _change(path: Path) -> None:
    path.write_text("changed by somebody\n")


@pytest.mark.parametrize("damage", [_change, Path.unlink])
def test_what_somebody_changed_is_not_overwritten(host: Path, damage: Callable[[Path], object]) -> None:
    """Then nothing is taken back; forced, everything is."""
    connect, before = host / "state" / "connect", tree(host)
    journal.write(connect, files(host), private=False)
    damage(host / "etc" / "client.json")
    changed = tree(host)
    with pytest.raises(ConfigurationError, match=r"client\.json: changed since"):
        journal.undo(connect)
    assert tree(host) == changed
    journal.undo(connect, force=True)
    assert tree(host) == before


def test_what_was_not_removed_is_not_called_removed(host: Path) -> None:
    """Somebody made a folder of our file, and wants it gone; that is not ours to take."""
    connect = host / "state" / "connect"
    journal.write(connect, files(host), private=False)
    (host / "new" / "deep" / "module.so").unlink()
    (host / "new" / "deep" / "module.so").mkdir()
    assert host / "new" / "deep" / "module.so" not in journal.undo(connect, force=True).removed
    assert (host / "new" / "deep" / "module.so").is_dir()


def test_folders_in_use_stay(host: Path) -> None:
    journal.write(host / "state" / "connect", files(host), private=False)
    (host / "new" / "deep" / "theirs").touch()
    journal.undo(host / "state" / "connect")
    assert [each.name for each in (host / "new" / "deep").iterdir()] == ["theirs"]
    assert not (host / "state").exists()


def test_a_file_that_cannot_be_written_leaves_nothing_behind(host: Path) -> None:
    """The second file's folder is a file: the first is taken back."""
    before = tree(host)
    impossible = File(host / "etc" / "client.json" / "x", b"")
    with pytest.raises(OSError, match=r"client\.json"):
        journal.write(host / "state" / "connect", [*files(host), impossible], private=False)
    assert tree(host) == before


def test_a_journal_that_cannot_be_written_leaves_nothing_behind(host: Path) -> None:
    before = tree(host)
    with pytest.raises(OSError, match=r"client\.json"):
        journal.write(host / "etc" / "client.json" / "connect", files(host), private=False)
    assert tree(host) == before


def test_an_interrupted_undo_goes_on(host: Path) -> None:
    """What was put back already is recognised."""
    connect, before = host / "state" / "connect", tree(host)
    original = (host / "etc" / "client.json").read_bytes()
    journal.write(connect, files(host), private=False)
    (host / "etc" / "client.json").write_bytes(original)
    (host / "new" / "deep" / "module.so").unlink()
    journal.undo(connect)
    assert tree(host) == before


def test_our_block_is_taken_out_of_a_file_that_somebody_goes_on_writing(host: Path) -> None:
    """Their later line stays, and so does the mode; a block in which they wrote is theirs to decide about."""
    connect, system = host / "state" / "connect", host / "etc" / "system.cnf"
    before, block = system.read_bytes(), b"\n# begin\nours\n# end\n"
    file = File(system, before + block, None, block)
    journal.write(connect, [file], private=False)
    system.write_bytes(system.read_bytes() + b"theirs\n")
    assert journal.undo(connect).restored == (system,)
    assert system.read_bytes() == before + b"theirs\n"
    assert stat.S_IMODE(system.stat().st_mode) == 0o644
    system.write_bytes(before)
    journal.write(connect, [file], private=False)
    system.write_bytes(system.read_bytes().replace(b"ours", b"theirs"))
    with pytest.raises(journal.ChangedError):
        journal.undo(connect)
