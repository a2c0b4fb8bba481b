"""The user's own images as views: one file, or one folder of files, for each input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cen_cli.errors import DataError, UsageError
from cen_cli.wording import listed

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_DOMAIN = re.compile(r"_domain_\w+$")


def find_views(images: Sequence[Path], inputs: Sequence[str]) -> dict[str, dict[str, Path]]:
    """The files of every view by its name and by input; `images` come in the order of `inputs`.

    Files of folders belong together by their stem, Taskonomy's ending `_domain_<name>` left out. Raises UsageError
    where the paths do not fit the inputs, DataError for an empty folder and for files without partner.
    """
    if len(images) != len(inputs):
        raise UsageError(
            f"one file or one folder for each of {', '.join(inputs)}: {len(inputs)} are needed, not {len(images)}",
            hint="paths stand before --inputs, in its order; several files of one input belong into a folder",
        )
    missing = [str(path) for path in images if not path.exists()]
    if missing:
        raise UsageError(f"{', '.join(missing)}: no such file or folder")
    paths = dict(zip(inputs, images, strict=True))
    folders = [path.is_dir() for path in images]
    if any(folders) and not all(folders):
        raise UsageError("files and folders are mixed", hint="give one file for each input, or one folder for each")
    return _paired(paths) if all(folders) else {_view_name(images[0]): paths}


def _paired(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """The views of one folder for each input."""
    found = {name: _by_view(folder) for name, folder in folders.items()}
    views = sorted(set().union(*found.values()))
    missing = {name: [view for view in views if view not in files] for name, files in found.items()}
    if any(missing.values()):
        lacks = [f"{folders[name]} ({name}) lacks {listed(alone)}" for name, alone in missing.items() if alone]
        raise DataError("; ".join(lacks), hint="files of one view have the same name in every folder")
    return {view: {name: files[view] for name, files in found.items()} for view in views}


def _by_view(folder: Path) -> dict[str, Path]:
    """The image files of a folder by the name of their view. Raises DataError for none, and for two of one name."""
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        view = _view_name(path)
        if view in files:
            raise DataError(f"{folder}: {files[view].name} and {path.name} are one view", hint="keep one of them")
        files[view] = path
    if not files:
        held = "holds no image files" if any(folder.iterdir()) else "is empty"
        raise DataError(f"{folder}: this folder {held}", hint=f"looked for {', '.join(SUFFIXES)}")
    return files


def _view_name(path: Path) -> str:
    return _DOMAIN.sub("", path.stem)
