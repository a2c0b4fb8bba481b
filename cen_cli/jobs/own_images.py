"""The user's own images as views: one file, or one folder or list of files, for each input."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cen_cli.data.decoding import SUFFIXES
from cen_cli.data.listing import read_list
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.patterns import Pattern, ViewKey, named_alike
from cen_cli.data.views import same_numbers
from cen_cli.errors import DataError, UsageError
from cen_cli.recipe.schema import Recipe
from cen_cli.wording import listed

LIST = ".txt"
_DOMAIN = re.compile(r"_domain_\w+$")


def find_views(
    images: Sequence[Path], inputs: Sequence[str], specs: Iterable[ModalitySpec] = (), recipe: Recipe | None = None
) -> dict[str, dict[str, Path]]:
    """The files of every view by its name and by input; `images` come in the order of `inputs`.

    `specs` say which inputs are bands of one file, or derived from another one, and so may be read of the same files.

    Files of folders belong together by their stem, Taskonomy's ending `_domain_<name>` left out; with a `recipe` whose
    patterns say more of the names of files (`rgb_{stem}.png`), by what these call {stem}. Those of lists are called as
    the whole patterns say where all paths end so. Raises UsageError where the paths do not fit the inputs, DataError
    for an empty folder and for files without partner.
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
    kinds = {"folder" if path.is_dir() else "list" if _is_list(path) else "file" for path in images}
    if len(kinds) > 1:
        raise UsageError(
            f"{' and '.join(sorted(f'{kind}s' for kind in kinds))} are mixed",
            hint="give one file for each input, or one folder for each, or one list",
        )
    if kinds == {"file"}:
        return {_Named(inputs[0], recipe)(images[0]).name: paths}
    _check_apart(paths, {spec.name: spec for spec in specs})
    return _paired(paths, recipe) if kinds == {"folder"} else _listed_views(paths, recipe)


class _Named:
    """What the views of an input's files are called: by the recipe's pattern for the file's name, or `whole`."""

    def __init__(self, modality: str, recipe: Recipe | None, *, whole: bool = False) -> None:
        known = None if recipe is None else recipe.data.folders.modalities.get(modality)
        pattern = "" if known is None else known.pattern if whole else known.pattern.rpartition("/")[2]
        self.pattern = Pattern(pattern) if "{stem}" in pattern else None
        self.parts = pattern.count("/") + 1

    def key(self, path: Path) -> ViewKey | None:
        return self.pattern.key("/".join(path.parts[-self.parts :])) if self.pattern else None

    def __call__(self, path: Path) -> ViewKey:
        key = self.key(path)
        return ViewKey("", "", _DOMAIN.sub("", path.stem) if key is None else key.name.replace("/", "_"))


def _check_apart(paths: Mapping[str, Path], specs: Mapping[str, ModalitySpec]) -> None:
    """Raises UsageError where several inputs, not bands or one and what derives from it, would read the same files."""

    def banded(name: str) -> bool:
        encoding = specs[name].encoding if name in specs else None
        return encoding is not None and bool(encoding.bands)

    by_path: dict[Path, list[str]] = {}
    for name, path in paths.items():
        by_path.setdefault(path.resolve(), []).append(name)
    for path, names in by_path.items():
        stored = [name for name in names if name not in specs or not specs[name].derived]
        if len(stored) > 1 and not all(map(banded, names)):
            raise UsageError(
                f"{path}: one {'folder' if path.is_dir() else 'list'} for {' and '.join(names)}, which tells nobody "
                "whose its files are",
                hint="give a list of files for each, a path a line (.txt), or a folder for each",
            )


def _is_list(path: Path) -> bool:
    return path.suffix.lower() == LIST


def are_several(images: Iterable[Path]) -> bool:
    """Whether any of these is a folder or a list, and not one image."""
    return any(path.is_dir() or _is_list(path) for path in images)


def _listed_views(lists: Mapping[str, Path], recipe: Recipe | None) -> dict[str, dict[str, Path]]:
    """The views of one list for each input: a path a line, within the list's folder; line by line one view."""
    lines = {name: read_list(path, path.parent.joinpath) for name, path in lists.items()}
    if len({len(paths) for paths in lines.values()}) > 1:
        counted = ", ".join(f"{lists[name]}: {len(paths)}" for name, paths in lines.items())
        raise DataError(f"lists of as many paths are needed; {counted}")
    named = {name: _Named(name, recipe, whole=True) for name in lists}
    if not all(named[name].key(path) for name, paths in lines.items() for path in paths):
        named = {name: _Named(name, recipe) for name in lists}
    called = [[same_numbers(named[name](path).name) for path in paths] for name, paths in lines.items()]
    views: dict[str, dict[str, Path]] = {}
    for line, paths in enumerate(zip(*lines.values(), strict=True)):
        own = called[0][line]
        apart = [path for path, names in zip(paths, called, strict=True) if names[line] != own and own in names]
        if apart:
            raise DataError(
                f"{next(iter(lists.values()))}: its file {paths[0].name} stands beside {apart[0].name}, and one of its "
                "name on another line",
                hint="line by line the files of one view; leave out the views that lack one",
            )
        name = named[next(iter(lists))](paths[0]).name
        if name in views:
            raise DataError(
                f"{next(iter(lists.values()))}: two files are called {name}",
                hint="one list and one --out a folder, or rename one of them",
            )
        views[name] = dict(zip(lines, paths, strict=True))
    return views


def _paired(folders: Mapping[str, Path], recipe: Recipe | None) -> dict[str, dict[str, Path]]:
    """The views of one folder for each input."""
    by_modality = named_alike({name: _by_view(folder, _Named(name, recipe)) for name, folder in folders.items()})
    views = sorted(set().union(*by_modality.values()), key=lambda view: view.name)
    missing = {name: [view.name for view in views if view not in files] for name, files in by_modality.items()}
    if any(missing.values()):
        lacks = [f"{folders[name]} ({name}) lacks {listed(alone)}" for name, alone in missing.items() if alone]
        raise DataError(
            "; ".join(lacks),
            hint="files of one view have the same name in every folder; or give a list for each, line by line one view",
        )
    return {view.name: {name: files[view] for name, files in by_modality.items()} for view in views}


def _by_view(folder: Path, named: _Named) -> dict[ViewKey, Path]:
    """The image files of a folder by their view. Raises DataError for none, and for two of one view."""
    files: dict[ViewKey, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        view = named(path)
        if view in files:
            raise DataError(f"{folder}: {files[view].name} and {path.name} are one view", hint="keep one of them")
        files[view] = path
    if not files:
        held = "holds no image files" if any(folder.iterdir()) else "is empty"
        raise DataError(f"{folder}: this folder {held}", hint=f"looked for {', '.join(SUFFIXES)}")
    return files
