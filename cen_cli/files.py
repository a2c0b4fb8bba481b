"""Files and folders written whole or not at all: temporary name, fsync, rename.

A reader, or a process killed at any moment, sees either what was there before or what is there now, never a part. A
full disk or a read-only folder raises SaveError and leaves what was there before as it was.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cen_cli.errors import SaveError, UsageError

_NEW = ".new"
_OLD = ".old"
_MOST_DIGITS = 18
"""Of a whole number: what fits into 64 bits."""
RESUME = "what was saved there before is untouched; free some space or choose another folder, then resume"


def write_bytes(path: Path, content: bytes, *, hint: str = RESUME) -> None:
    """Replace the file `path` by `content`, making its folder. Raises SaveError, with the hint, where it cannot.

    The temporary name is this process's own, so that several may write one file: the last one wins.
    """
    temporary = path.with_name(temporary_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error, hint) from error
        raise


def check_free(path: Path, hint: str) -> None:
    """Raises UsageError, with the hint, for a path that holds something: nothing but an empty folder is replaced."""
    empty = path.is_dir() and not any(path.iterdir())
    if os.path.lexists(path) and not empty:
        raise UsageError(f"{path}: exists already, and nothing is overwritten", hint=hint)


def check_new_directory(path: Path, hint: str) -> None:
    """The same for what `write_new_directory` makes, which cannot take the place of the current folder."""
    check_free(path, hint)
    if path.is_dir() and path.samefile(os.curdir):
        raise UsageError(
            f"{path}: the current folder, in whose place no new one can be put", hint="name a folder in it"
        )


def write_json(path: Path, document: Any) -> None:
    """Replace the file `path` by `document` as indented JSON. Raises SaveError where it cannot be written."""
    write_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The document in a file. Raises OSError, and ValueError where it is no JSON or holds a number that is none here.

    These are NaN, infinity, and what is beyond 64 bits.
    """
    return parse_json(path.read_bytes().decode("utf-8"))


def parse_json(text: str) -> Any:
    """The same of a text."""
    try:
        return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"the number {digits[:_MOST_DIGITS]}... is too large")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"the number {digits[:_MOST_DIGITS]} is not finite")
    return number


def write_new_directory(target: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder `target`, which must be free, by what `fill` writes: whole or not at all.

    Raises SaveError where it cannot be written. What `fill` raises of its own is passed on.
    """
    new = target.with_name(temporary_name())
    try:
        new.mkdir(parents=True)
        fill(new)
        _sync_below(new)
        new.rename(target)
        _sync(target.parent)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        raise _of_place(error, new, target) from error


def write_directory(target: Path, fill: Callable[[Path], None]) -> None:
    """Replace the folder `target` by one that `fill` writes. Raises SaveError, with `target` untouched, where it fails.

    What `fill` raises of its own is passed on; then, too, nothing is left behind.

    `target.new` and `target.old` belong to it: it is for folders whose neighbours nobody else names. Folders cannot be
    swapped in one step, so a kill may leave `target.new` or `target.old`: `whole_directory` tells
    which one counts.
    """
    new, old = _beside(target)
    try:
        recover_directory(target)
        new.mkdir(parents=True)
        fill(new)
        _sync_below(new)
        if target.exists():
            target.rename(old)
        new.rename(target)
        _sync(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        if old.exists() and not target.exists():  # before the new one loses files: it counts while it is whole
            old.rename(target)
        shutil.rmtree(new, ignore_errors=True)
        raise _of_place(error, new, target) from error


def whole_directory(target: Path) -> Path | None:
    """The folder that counts as `target`, also during a `write_directory` and after a killed one; None without any.

    Nothing is changed, so it may be asked beside a process that writes. The old folder is moved away only once the new
    one is complete, so where the old one is away the new one counts, if it has all that the old one has; a new one by
    itself may be a part.
    """
    if target.exists():
        return target
    new, old = _beside(target)
    found = None if not old.exists() else new if _names(old) <= _names(new) else old
    return target if target.exists() else found  # a writer may have finished meanwhile


def recover_directory(target: Path) -> None:
    """Finish or undo a `write_directory` that was killed: afterwards `target` is whole if it ever was.

    For the one process that may write `target`.
    """
    whole = whole_directory(target)
    if whole is not None and whole != target:
        whole.rename(target)
    for rest in _beside(target):
        shutil.rmtree(rest, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a second name of the file `source`, or a copy where the file system has no hard links.

    Safe because files here are replaced, never changed in place.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextlib.contextmanager
def locked(path: Path, *, patience: float = 0.0) -> Iterator[bool]:
    """Hold the lock file `path` inside; False where another process holds it, also after `patience` seconds.

    It ends with the process that holds it, and holds between machines where their shared folder passes on locks. Raises
    SaveError where the folder cannot be written or passes on none.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as error:
        refused = error if isinstance(error, OSError) else OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        raise unwritable(path, refused) from error
    try:
        yield True
    finally:
        lock.release()


def unwritable(path: Path, error: OSError, hint: str = RESUME) -> SaveError:
    """The error for a file or folder that could not be written."""
    return SaveError(f"could not write {path}: {error.strerror or error}", hint=hint)


def _of_place(error: BaseException, new: Path, target: Path) -> BaseException:
    """What went wrong while `new` was made, in words that name the place it was made for."""
    if isinstance(error, SaveError):
        return SaveError(error.message.replace(str(new), str(target)), hint=error.hint)
    return unwritable(target, error) if isinstance(error, OSError) else error


def is_temporary(path: Path) -> bool:
    """Whether a killed process has left it under a `temporary_name`."""
    return path.name.startswith(".") and path.name.endswith(_NEW)


def temporary_name() -> str:
    """A temporary name that no other process uses, short enough beside the longest names."""
    return f".{os.getpid()}-{secrets.token_hex(4)}{_NEW}"


def _beside(target: Path) -> tuple[Path, Path]:
    """Where a new folder is made, and where the old one waits until the new one is in its place."""
    return target.with_name(target.name + _NEW), target.with_name(target.name + _OLD)


def _names(folder: Path) -> set[Path]:
    """Everything in the folder; nothing where it does not exist, or is moved away meanwhile."""
    return {Path(place, name).relative_to(folder) for place, dirs, names in os.walk(folder) for name in (*dirs, *names)}


def _sync_below(folder: Path) -> None:
    """Flush every file and folder below `folder`, then the folder itself, to the disk."""
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
