"""A data set's folder, its lists and its listed files: found, or said in words what is there instead."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

from cen_cli.data.sample import check_split
from cen_cli.data.views import ViewFiles
from cen_cli.errors import DataError
from cen_cli.wording import listed

Entry = TypeVar("Entry", bound=Hashable)


def root_of(root: str | Path, split: str, data_set: str, *, hint: str, file: bool = False) -> Path:
    """The folder, or with `file` perhaps a file, of a data set. Raises DataError without it and for unknown splits."""
    check_split(split)
    path = Path(root)
    if str(root) == "":
        raise DataError(f"no folder given for {data_set}: set data.root", hint=hint)
    if not (path.is_dir() or (file and path.is_file())):
        raise DataError(f"{data_set}: no folder {path} ({describe_folder(path)})", hint=hint)
    return path


def describe_folder(folder: Path) -> str:
    """What a folder holds, in a few words, for messages about what was not found in it."""
    if not folder.is_dir():
        return "it is a file" if folder.exists() else "it does not exist"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    return f"it holds {listed(names, most=8)}" if names else "it is empty"


def read_list(
    path: Path, parse: Callable[[str], Entry], *, hint: str | None = None, unique: bool = False
) -> list[Entry]:
    """What the lines of a list name, by `parse`; empty lines and those that begin with # say nothing.

    Raises DataError with path and line for what `parse` refuses by a ValueError and, with `unique`, for what was named
    before; also for a list that is not there, no text, or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DataError(f"no list {path}; of {path.parent}: {describe_folder(path.parent)}", hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    entries: list[Entry] = []
    first: dict[Entry, int] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            entry = parse(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}", hint=hint) from None
        if first.setdefault(entry, number) != number and unique:
            raise DataError(f"{path}, line {number}: {line!r} names what line {first[entry]} names already")
        entries.append(entry)
    if not entries:
        raise DataError(f"{path}: the list is empty")
    return entries


def check_files(root: Path, views: Sequence[ViewFiles], *, listed_in: str | Path, hint: str) -> None:
    """Raises DataError where files of the views are not there: how many, and the first of them."""
    names = [name for view in views for name in dict.fromkeys(view.files.values())]
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        raise DataError(
            f"{listed_in}: {len(missing)} of {len(names)} listed files are not there, the first: {root / missing[0]}",
            hint=hint,
        )
