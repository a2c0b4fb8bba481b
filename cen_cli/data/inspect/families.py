"""Which files of a folder that nobody prepared belong together, judged by their paths alone.

A *family* is what one modality's files have in common: the folder, and what stands before and after the view's own
name.

    rgb/0001.png           depth/0001.png                one folder a modality
    0001_rgb.png           0001_depth.png                the same in names
    train/rgb/0001.png     val/rgb/0001.png              folders of splits become {split}
    scene1/rgb/0001.png    rgb/scene2/0001.png           folders of scenes become {group}
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from cen_cli.data.patterns import SPLIT_WORDS, Pattern, ViewKey

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".bmp", ".webp")
MODALITY_WORDS = frozenset(
    (
        *("rgb", "color", "colour", "image", "images", "img", "photo", "left", "right", "gray", "grey", "mono", "hha"),
        *("depth", "depths", "disparity", "disp", "distance", "range", "height", "dsm", "dem", "dtm", "lidar", "radar"),
        *("nir", "swir", "lwir", "ir", "infrared", "thermal", "red", "green", "blue", "rededge", "ndvi", "sar"),
        *("normal", "normals", "edge", "edges", "texture", "shade", "shading", "reshading", "albedo", "flow"),
        *("mask", "masks", "label", "labels", "gt", "seg", "segmentation", "semantic", "annotation", "annotations"),
    )
)
"""Names that tell a modality rather than a scene."""
MOST_MODALITIES = 12
"""More folders than these beside one another are scenes."""


@dataclasses.dataclass(frozen=True)
class Family:
    """The files of what is probably one modality."""

    pattern: str
    files: dict[ViewKey, str]
    """By view: paths within the folder."""
    own: str
    """What only this family's paths have, for its name."""


@dataclasses.dataclass(frozen=True)
class _File:
    path: str
    folder: str
    """With {split} and {group}."""
    between: str
    """Split and group, by which views of the same name differ."""
    name: str
    """Without its suffix."""
    suffix: str


_Cut = tuple[str, str, str]
"""A file's name as prefix, stem and suffix."""


def families(paths: Iterable[str]) -> tuple[list[Family], list[str]]:
    """The families of two files or more, the largest first, and the paths that belong to none."""
    files = list(_in_folders(sorted(paths)))
    cuts = _best_cuts(files)
    by_pattern: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        prefix, _, suffix = cuts[file.path]
        folder = f"{file.folder}/" if file.folder else ""
        by_pattern[f"{folder}{prefix}{{stem}}{suffix}{file.suffix}"].append(file)
    kept = {text: members for text, members in by_pattern.items() if len(members) >= max(2, _most(by_pattern) // 10)}
    left = [file.path for text, members in by_pattern.items() if text not in kept for file in members]
    found = [_family(text, members, list(kept)) for text, members in kept.items()]
    return sorted(found, key=lambda family: -len(family.files)), left


def _most(by_pattern: dict[str, list[_File]]) -> int:
    return max((len(members) for members in by_pattern.values()), default=0)


def _family(text: str, members: Sequence[_File], all_patterns: Sequence[str]) -> Family:
    pattern = Pattern(text)
    keyed = {key: file.path for file in members if (key := pattern.key(file.path)) is not None}
    words = _words(text)
    common = set.intersection(*(set(_words(other)) for other in all_patterns))
    own = list(dict.fromkeys(word for word in words if word not in common))
    return Family(text, keyed, "_".join(own or words[-1:] or ["image"]))


def _words(pattern: str) -> list[str]:
    """The words that stand in a pattern beside its fields, without the suffix of its files."""
    text = re.sub(r"\{\w+\}", " ", pattern.rpartition(".")[0])
    return [word for word in re.split(r"[/_\-. ]+", text) if word]


# --- folders ----------------------------------------------------------------------------------------------------------


def _in_folders(paths: Sequence[str]) -> Iterator[_File]:
    """Every file with its folder, in which folders of splits and of scenes are {split} and {group}."""
    by_depth: dict[int, list[PurePosixPath]] = defaultdict(list)
    for text in paths:
        path = PurePosixPath(text)
        by_depth[len(path.parts)].append(path)
    for files in by_depth.values():
        roles = _roles([path.parts[:-1] for path in files], named=_named_in_files(files))
        for path in files:
            parts = path.parts[:-1]
            folder = "/".join(role or part for role, part in zip(roles, parts, strict=True))
            between = "/".join(part for role, part in zip(roles, parts, strict=True) if role)
            yield _File(str(path), folder, between, path.name.removesuffix(path.suffix), path.suffix)


def _named_in_files(files: Sequence[PurePosixPath]) -> bool:
    """Whether file names tell two modalities or more."""
    words = {word for path in files for word in re.split(r"[^a-z]+", path.stem.lower())}
    return len(words & MODALITY_WORDS) > 1


def _roles(folders: Sequence[tuple[str, ...]], *, named: bool) -> list[str]:
    """What stands at every level of folders of one depth: {split}, {group}, or nothing for names that are kept.

    `named`: whether the names of the files tell their modality.
    """
    levels = [sorted(set(names)) for names in zip(*folders, strict=True)]
    roles = ["{split}" if _are_splits(names) else "" for names in levels]
    varying = [level for level, names in enumerate(levels) if len(names) > 1 and not roles[level]]
    scenes = [level for level in varying if _are_scenes(levels[level])]
    if not scenes and len(varying) == 1 and named and not _modality_like(levels[varying[0]])[0]:
        scenes = varying
    if not scenes and len(varying) > 1:
        scenes = [level for level in varying if level != max(varying, key=lambda level: _modality_like(levels[level]))]
    for level in scenes[:1]:
        roles[level] = "{group}"
    return roles


def _are_splits(names: Sequence[str]) -> bool:
    return len(names) > 1 and all(name.lower() in SPLIT_WORDS for name in names)


def _are_scenes(names: Sequence[str]) -> bool:
    """Many, or told apart by numbers alone, as scene1 and scene2 are."""
    skeletons = {re.sub(r"\d+", "", name) for name in names}
    return len(names) > MOST_MODALITIES or (len(names) > 1 and len(skeletons) <= len(names) // 2)


def _modality_like(names: Sequence[str]) -> tuple[float, int]:
    """The share of names that tell a modality; among equals, fewer names are more like modalities."""
    known = sum(any(word in MODALITY_WORDS for word in re.split(r"[^a-z]+", name.lower())) for name in names)
    return known / len(names), -len(names)


# --- names ------------------------------------------------------------------------------------------------------------


def _best_cuts(files: Sequence[_File]) -> dict[str, _Cut]:
    """How every file's name is cut, by path: whole where whole names pair up, else at what they end or begin with."""
    ways = [_cuts(files, options) for options in (_whole, _endings, _beginnings)]
    paired = [_paired(files, cuts) for cuts in ways]
    best = ways[0] if paired[0] >= len(files) / 2 else ways[paired.index(max(paired))]
    counted = Counter((file.between, best[file.path][1]) for file in files)
    for file in files:  # the few that did not pair up may still belong to those that did
        if counted[file.between, best[file.path][1]] == 1:
            every = [*_endings(file.name), *_beginnings(file.name)]
            fitting = [cut for cut in every if counted[file.between, cut[1]] > 1]
            best[file.path] = max(fitting, key=lambda cut: len(cut[1]), default=best[file.path])
    return best


def _cuts(files: Sequence[_File], options: Callable[[str], list[_Cut]]) -> dict[str, _Cut]:
    """Of the ways to cut each name, the one whose stem most families share; among equals the longest stem."""
    sharing: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for file in files:
        for prefix, stem, suffix in options(file.name):
            sharing[file.between, stem].add((file.folder, prefix, suffix, file.suffix))
    return {
        file.path: max(options(file.name), key=lambda cut: (len(sharing[file.between, cut[1]]), len(cut[1])))
        for file in files
    }


def _paired(files: Sequence[_File], cuts: dict[str, _Cut]) -> int:
    """How many files share their stem with one of another family."""
    counted = Counter((file.between, cuts[file.path][1]) for file in files)
    return sum(counted[file.between, cuts[file.path][1]] > 1 for file in files)


def _whole(name: str) -> list[_Cut]:
    return [("", name, "")]


def _endings(name: str) -> list[_Cut]:
    """Cuts before a separator, where what is cut off names something and is no number."""
    starts = [match.start() for match in re.finditer(r"[_\-. ]", name) if match.start()]
    cuts = [("", name[:start], name[start:]) for start in starts]
    return [("", name, ""), *(cut for cut in cuts if _is_word(cut[2]))]


def _beginnings(name: str) -> list[_Cut]:
    ends = [match.end() for match in re.finditer(r"[_\-. ]", name) if match.end() < len(name)]
    cuts = [(name[:end], name[end:], "") for end in ends]
    return [("", name, ""), *(cut for cut in cuts if _is_word(cut[0]))]


def _is_word(text: str) -> bool:
    parts = [part for part in re.split(r"[_\-. ]+", text) if part]
    return bool(parts) and not any(part.isdecimal() for part in parts)
