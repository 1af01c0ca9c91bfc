"""Folders as they are, to be compared with what they were: `python trees.py FOLDER…` prints them for other programs.

Always true: two trees are equal only if every name, kind, mode, owner, link, content and file's time of change is.
"""

import hashlib
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Tree: TypeAlias = dict[str, list[object]]


def tree(*roots: Path) -> Tree:
    """Everything below the roots; a root that is not there has nothing below it."""
    return {str(path): _described(path) for root in roots for path in _below(root)}


def _below(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _described(path: Path) -> list[object]:
    status = path.lstat()
    described: list[object] = [stat.filemode(status.st_mode), status.st_uid, status.st_gid]
    if path.is_symlink():
        described.append(str(path.readlink()))
    elif path.is_file():
        described += [hashlib.sha256(path.read_bytes()).hexdigest(), status.st_mtime_ns]
    return described


if __name__ == "__main__":
    print(json.dumps(tree(*map(Path, sys.argv[1:])), indent=1))  # noqa: T201  that is what it is for
