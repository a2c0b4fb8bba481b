"""Files and folders written whole or not at all: temporary name, fsync, rename.

A reader, or a process killed at any moment, sees either what was there before or what is there now, never a part. A
full disk or a read-only folder raises SaveError and leaves what was there before as it was.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cen_cli.errors import SaveError

_NEW = ".new"
_OLD = ".old"


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the file `path` by `content`. Raises SaveError where it cannot be written."""
    temporary = path.with_name(path.name + _NEW)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        _remove(temporary)
        raise unwritable(path, error) from error


def write_json(path: Path, document: Any) -> None:
    """Replace the file `path` by `document` as indented JSON. Raises SaveError where it cannot be written."""
    write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def write_directory(target: Path, fill: Callable[[Path], None]) -> None:
    """Replace the folder `target` by one that `fill` writes. Raises SaveError, with `target` untouched, where it fails.

    What `fill` raises of its own is passed on; then, too, nothing is left behind.

    Folders cannot be swapped in one step, so a kill may leave `target.new` or `target.old`: `recover_directory` tells
    which one counts.
    """
    new, old = target.with_name(target.name + _NEW), target.with_name(target.name + _OLD)
    try:
        recover_directory(target)
        new.mkdir(parents=True)
        fill(new)
        _sync(new)
        if target.exists():
            target.rename(old)
        new.rename(target)
        _sync_folder(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, OSError):
            raise unwritable(target, error) from error
        raise


def recover_directory(target: Path) -> None:
    """Finish or undo a `write_directory` that was killed: afterwards `target` is whole if it ever was.

    The old folder is moved away only once the new one is complete, so where the old one is away the new one counts; a
    new one by itself may be a part, and is removed.
    """
    new, old = target.with_name(target.name + _NEW), target.with_name(target.name + _OLD)
    if not target.exists():
        if old.exists() and new.exists():
            new.rename(target)
        elif old.exists():
            old.rename(target)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a second name of the file `source`, or a copy where the file system has no hard links.

    Safe because files here are replaced, never changed in place.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def unwritable(path: Path, error: OSError) -> SaveError:
    """The error for a file or folder that could not be written."""
    return SaveError(
        f"could not write {path}: {error.strerror or error}",
        hint="what was saved there before is untouched; free some space or choose another folder, then resume",
    )


def _sync(folder: Path) -> None:
    """Flush every file and folder below `folder`, then the folder itself, to the disk."""
    for path in folder.iterdir():
        if path.is_dir():
            _sync(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
