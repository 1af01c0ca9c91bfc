"""Writing a set-up so that all of it can be taken back: files, what was in their place, and folders made on the way.

What is always true here:

- Before anything is changed, a numbered record with copies of what was there is on the disk, for its owner alone.
- `undo` takes the last record back: files get their content, mode, owner and time again, or are removed, and so are the
  folders that were made and hold nothing else.
- A file of ours that somebody has changed since is not overwritten, and then nothing is taken back, unless forced.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from privyseal.client.errors import ConfigurationError

MANIFEST = "manifest.json"
SECRET = 0o600
PUBLIC = 0o644
_OPEN_FOLDER = 0o755
_OWN_FOLDER = 0o700


@dataclass(frozen=True, slots=True)
class File:
    """A file to write.

    Attributes:
        mode: None keeps that of the file which is there.
        block: what of the content we added to a file of somebody else's; when that has changed meanwhile, `undo` takes
            this out again and leaves the rest.
    """

    path: Path
    content: bytes = field(repr=False)
    mode: int | None = PUBLIC
    block: bytes = field(default=b"", repr=False)


class ChangedError(ConfigurationError):
    """Somebody has changed a file since we wrote it."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What `undo` did: files that have their old content again, and files and folders that are gone."""

    restored: tuple[Path, ...]
    removed: tuple[Path, ...]
    earlier: int  # how many records are left to take back


def write(folder: Path, files: Sequence[File], *, private: bool) -> None:
    """Write all files, or none.

    Args:
        folder: the journal's.
        files: each is written whole, in this order; through a symbolic link, not in its place.
        private: make folders for their owner alone.

    Raises:
        OSError: one could not be written; what was written before is taken back.
    """
    files = [dataclasses.replace(each, path=Path(os.path.realpath(each.path))) for each in files]
    record = folder / str(max(records(folder), default=0) + 1)
    made = _missing([record, *(file.path.parent for file in files)])
    modes = {each: _OWN_FOLDER if private or each in {folder, record} else _OPEN_FOLDER for each in made}
    try:
        _make({each: mode for each, mode in modes.items() if each in {record, *record.parents}})
        entries = [_remember(record, number, file) for number, file in enumerate(files)]
        _write(
            record / MANIFEST, json.dumps({"folders": [str(each) for each in made], "files": entries}).encode(), SECRET
        )
    except OSError:
        shutil.rmtree(record, ignore_errors=True)
        _remove_folders(made)
        raise
    try:
        _make(modes)
        for file in files:
            _write(file.path, file.content, file.mode)
    except OSError:
        undo(folder, force=True)
        raise


def undo(folder: Path, *, force: bool = False) -> Undone:
    """Take the last record back.

    Raises:
        ConfigurationError: there is none.
        ChangedError: a file was changed since, and `force` is not given.
        OSError: a file cannot be written or removed; calling again goes on.
    """
    numbers = records(folder)
    if not numbers:
        raise ConfigurationError(f"there is nothing to undo: {folder} has no record of a `privyseal connect`")
    record = folder / str(numbers[-1])
    manifest = json.loads((record / MANIFEST).read_bytes())
    entries: list[dict[str, Any]] = manifest["files"]
    changed = [entry["path"] for entry in entries if _foreign(record, entry)]
    if changed and not force:
        raise ChangedError(f"{' and '.join(changed)}: changed since `privyseal connect` wrote it; nothing is undone")
    restored = [Path(entry["path"]) for entry in reversed(entries) if _put_back(record, entry)]
    removed = [Path(entry["path"]) for entry in entries if entry["before"] is None and not Path(entry["path"]).exists()]
    shutil.rmtree(record)
    folders = _remove_folders([*map(Path, manifest["folders"]), folder] if len(numbers) == 1 else manifest["folders"])
    return Undone(tuple(restored), (*removed, *folders), len(numbers) - 1)


def records(folder: Path) -> list[int]:
    """The numbers of the records, in order."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(int(each.name) for each in found if each.name.isdecimal() and (each / MANIFEST).is_file())


def _remember(record: Path, number: int, file: File) -> dict[str, Any]:
    """Keep what is there, and describe it and what comes."""
    entry: dict[str, Any] = {"path": str(file.path), "written": _digest(file.content), "before": None}
    entry["block"] = file.block.decode()
    if file.path.is_file():
        status = file.path.stat()
        copy = f"{number}.before"
        _write(record / copy, file.path.read_bytes(), SECRET)
        owner = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
        entry |= {"before": copy, "times": [status.st_atime_ns, status.st_mtime_ns], **owner}
    return entry


def _foreign(record: Path, entry: dict[str, Any]) -> bool:
    """Whether a file has neither what we wrote nor what was there before."""
    now = _content(Path(entry["path"]))
    before = None if entry["before"] is None else (record / entry["before"]).read_bytes()
    known = now == before or (now is not None and _digest(now) == entry["written"])
    return not known and _around(entry) is None


def _around(entry: dict[str, Any]) -> bytes | None:
    """A file that somebody changed outside our block, without the block; None for any other."""
    now, block = _content(Path(entry["path"])), entry["block"].encode()
    if now is None or not block or block not in now or _digest(now) == entry["written"]:
        return None
    return now.replace(block, b"", 1)


def _put_back(record: Path, entry: dict[str, Any]) -> bool:
    """Restore a file, or remove it; whether there was something to restore."""
    path, around = Path(entry["path"]), _around(entry)
    if around is not None:
        _write(path, around, None)
        return True
    if entry["before"] is None:
        if path.is_file():
            path.unlink()
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, (record / entry["before"]).read_bytes(), entry["mode"])
    if (path.stat().st_uid, path.stat().st_gid) != (entry["uid"], entry["gid"]):
        os.chown(path, entry["uid"], entry["gid"])
    os.utime(path, ns=(entry["times"][0], entry["times"][1]))
    return True


def _write(path: Path, content: bytes, mode: int | None) -> None:
    """Write a file whole or not at all, never readable by more people than it shall be."""
    temporary = path.with_name(f".{path.name}.privyseal-new")
    temporary.unlink(missing_ok=True)
    there = path.stat() if path.exists() else None
    if mode is None:
        mode = stat.S_IMODE(there.st_mode) if there else PUBLIC
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if there and (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(PermissionError):
                os.chown(temporary, there.st_uid, there.st_gid)
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _missing(folders: Iterable[Path]) -> list[Path]:
    """The folders that are not there yet, parents first."""
    needed = dict.fromkeys(each for folder in folders for each in (*reversed(folder.parents), folder))
    return [each for each in needed if not each.is_dir()]


def _make(folders: Mapping[Path, int]) -> None:
    for each, mode in folders.items():
        each.mkdir(exist_ok=True)
        each.chmod(mode)


def _remove_folders(folders: Iterable[Path | str]) -> list[Path]:
    """Remove those that are empty, the deepest first."""
    removed = []
    for each in sorted(map(Path, folders), key=lambda folder: len(folder.parts), reverse=True):
        with contextlib.suppress(OSError):
            each.rmdir()
            removed.append(each)
    return removed


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None  # none there, or something that is no file


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
