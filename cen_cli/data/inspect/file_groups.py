"""Which files of a folder that nobody prepared belong together, judged by their paths alone.

A group is the files of what is probably one modality: they have the folder in common, and what stands before and after
the view's own name.

    rgb/0001.png           depth/0001.png                one folder a modality
    0001_rgb.png           0001_depth.png                the same in names
    train/rgb/0001.png     val/rgb/0001.png              folders of splits become {split}
    scene1/rgb/0001.png    rgb/scene2/0001.png           folders of scenes become {group}
    train_rgb/0001.png     images/train2017/0001.png     so do splits within a folder's name

Numbers in names may be padded differently, and files of one modality may have several suffixes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from cen_cli.data.patterns import SPLIT_WORDS, Pattern, ViewKey
from cen_cli.data.views import same_numbers

LABEL_WORDS = frozenset(
    (
        *("mask", "masks", "label", "labels", "gt", "gts", "seg", "segs", "segmentation", "semantic", "semantics"),
        *("annotation", "annotations", "anno", "annos", "annot", "groundtruth", "truth", "trimap", "trimaps"),
    )
)
DEPTH_WORDS = frozenset(("depth", "depths", "distance", "range"))
MEASUREMENT_WORDS = DEPTH_WORDS | {"disparity", "disp", "height", "dsm", "dem", "dtm", "thermal", "lidar"}
DRAWN_WORDS = frozenset(
    ("normal", "normals", "hha", "flow", "edge", "edges", "shade", "shading", "reshading", "albedo", "texture")
)
"""Colours that no camera made."""
VALIDITY_WORDS = frozenset(
    ("valid", "validity", "invalid", "confidence", "conf", "certainty", "uncertainty", "occlusion")
)
"""Maps of what may be believed of others."""
_CAMERA_WORDS = frozenset(
    (
        *("rgb", "color", "colour", "image", "images", "img", "imgs", "photo", "left", "right", "gray", "grey", "mono"),
        *("radar", "nir", "swir", "lwir", "ir", "infrared", "red", "green", "blue", "rededge", "ndvi", "sar"),
    )
)
MODALITY_WORDS = LABEL_WORDS | MEASUREMENT_WORDS | DRAWN_WORDS | VALIDITY_WORDS | _CAMERA_WORDS
"""Names that tell a modality rather than a scene."""
_SEPARATOR = re.compile(r"[_\-. ]")
_SPLIT = re.compile(
    rf"(?:(?<![A-Za-z])|(?<=[a-z])(?=[A-Z]))(?i:{'|'.join(sorted(SPLIT_WORDS, key=len, reverse=True))})(?![a-z])"
)
"""A split in a folder's name: train2017, test_rgb, trainA, labeled_train."""
MOST_MODALITIES = 12
"""More folders than these beside one another are scenes."""


@dataclasses.dataclass(frozen=True)
class FileGroup:
    """The files of what is probably one modality."""

    pattern: str
    files: dict[ViewKey, str]
    """By view: paths within the folder."""
    own: str
    """What only this group's paths have, for its name."""

    @functools.cached_property
    def words(self) -> set[str]:
        """The words of the pattern, in small letters; SegmentationClass has two."""
        return _small_words(self.pattern)

    @property
    def named_labels(self) -> bool:
        """Whether the name says label maps, and nothing that is measured or drawn."""
        return _name_labels(self.words)


def _small_words(pattern: str) -> set[str]:
    text = re.sub(r"\{\w+\}|(?<=[a-z])(?=[A-Z])", " ", pattern)
    return set(re.split(r"[^a-z]+", text.lower()))


def _name_labels(words: set[str]) -> bool:
    return bool(words & LABEL_WORDS) and not words & (MEASUREMENT_WORDS | DRAWN_WORDS | VALIDITY_WORDS)


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


def group_files(paths: Iterable[str]) -> tuple[list[FileGroup], list[str]]:
    """The groups, the largest first, and the paths that belong to none.

    A group has two files or more, and a tenth of the largest one's, but for label maps, which few views may have.
    """
    files = list(_in_folders(sorted(paths)))
    cuts = _best_cuts(files)
    by_pattern: dict[str, list[_File]] = defaultdict(list)
    for file in files:
        prefix, _, suffix = cuts[file.path]
        folder = f"{file.folder}/" if file.folder else ""
        by_pattern[f"{folder}{prefix}{{stem}}{suffix}{file.suffix}"].append(file)
    by_pattern = _one_suffix(by_pattern)
    tenth = max((len(members) // 10 for members in by_pattern.values()), default=0)
    kept = {
        text: members
        for text, members in by_pattern.items()
        if len(members) >= 2 and (len(members) >= tenth or _name_labels(_small_words(text)))
    }
    left = [file.path for text, members in by_pattern.items() if text not in kept for file in members]
    common = set.intersection(*(set(_words(text)) for text in kept)) if kept else set()
    groups = []
    for text, members in kept.items():
        pattern, words = Pattern(text), _words(text)
        keyed = {key: file.path for file in members if (key := pattern.key(file.path)) is not None}
        own = list(dict.fromkeys(word for word in words if word not in common))
        groups.append(FileGroup(text, keyed, "_".join(own or words[-1:] or ["image"])))
    return sorted(groups, key=lambda group: -len(group.files)), left


def _one_suffix(by_pattern: dict[str, list[_File]]) -> dict[str, list[_File]]:
    """Groups that differ by nothing but their suffix and have no view in common are one, of any suffix."""
    alike: dict[str, list[str]] = defaultdict(list)
    for text in by_pattern:
        alike[text.rpartition(".")[0]].append(text)
    merged = {}
    for stem, texts in alike.items():
        files = [file for text in texts for file in by_pattern[text]]
        if len(texts) > 1 and len({(file.between, file.name) for file in files}) == len(files):
            merged[f"{stem}.*"] = files
        else:
            merged.update({text: by_pattern[text] for text in texts})
    return merged


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
        words = {word for path in files for word in re.split(r"[^a-z]+", path.stem.lower())}
        roles = _roles([path.parts[:-1] for path in files], named=len(words & MODALITY_WORDS) > 1)
        for path in files:
            texts, between = [], []
            for part, role in zip(path.parts[:-1], roles, strict=True):
                match = _SPLIT.search(part) if role == "{split}" else None
                texts.append(_SPLIT.sub(role, part, count=1) if role == "{split}" else role or part)
                if "{" in texts[-1]:
                    between.append(match[0].lower() if match else part)
            name = path.name.removesuffix(path.suffix)
            yield _File(str(path), "/".join(texts), "/".join(between), name, path.suffix)


def _roles(folders: Sequence[tuple[str, ...]], *, named: bool) -> list[str]:
    """What stands at every level of folders of one depth: {split}, {group}, or nothing for names that are kept.

    `named`: whether the names of the files tell their modality.
    """
    levels = [sorted(set(names)) for names in zip(*folders, strict=True)]
    roles = ["{split}" if _are_splits(names) else "" for names in levels]
    # labeled/ and unlabeled/ are kept apart: no view of either can be compared with one of the other
    unlabelled = [any(re.search(r"unlabell?ed", name.lower()) for name in names) for names in levels]
    varying = [n for n, names in enumerate(levels) if len(names) > 1 and not roles[n] and not unlabelled[n]]
    scenes = [level for level in varying if _are_scenes(levels[level])]
    if not scenes and len(varying) == 1 and named and not _modality_like(levels[varying[0]])[0]:
        scenes = varying
    if not scenes and len(varying) > 1:
        scenes = [level for level in varying if level != max(varying, key=lambda level: _modality_like(levels[level]))]
    for level in scenes:
        roles[level] = "{group}"
    return roles


def _are_splits(names: Sequence[str]) -> bool:
    """Whether names tell two splits or more, perhaps within longer names, and most of them one."""
    splits = [SPLIT_WORDS[match[0].lower()] for name in names if (match := _SPLIT.search(name))]
    return len(set(splits)) > 1 and len(splits) > len(names) / 2


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
    best = _cuts(files)
    if _paired(files, best) < len(files) / 2:
        ways = (_cuts(files, after=True), _cuts(files, before=True), _cuts(files, before=True, after=True))
        best = max([best, *ways], key=lambda cuts: _paired(files, cuts))
    counted = Counter(_view(file, best[file.path]) for file in files)
    for file in files:  # the few that did not pair up may still belong to those that did
        if counted[_view(file, best[file.path])] == 1:
            either = [*_ways(file.name, after=True), *_ways(file.name, before=True)]
            fitting = [cut for cut in either if counted[_view(file, cut)] > 1]
            best[file.path] = max(fitting, key=lambda cut: len(cut[1]), default=best[file.path])
    return best


def _cuts(files: Sequence[_File], *, before: bool = False, after: bool = False) -> dict[str, _Cut]:
    """Of the ways to cut each name, the one whose stem most groups share; among equals the longest stem.

    What is cut off must occur again: an id is cut off only once.
    """
    ways = {file.path: _ways(file.name, before=before, after=after) for file in files}
    occurring = Counter(_rest(file, cut) for file in files for cut in ways[file.path])
    for file in files:
        ways[file.path] = [cut for cut in ways[file.path] if cut[1] == file.name or occurring[_rest(file, cut)] > 1]
    sharing: dict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    for file in files:
        for cut in ways[file.path]:
            sharing[_view(file, cut)].add(_rest(file, cut))
    return {
        file.path: max(ways[file.path], key=lambda cut: (len(sharing[_view(file, cut)]), len(cut[1]))) for file in files
    }


def _rest(file: _File, cut: _Cut) -> tuple[str, ...]:
    """What a file has beside the view's own name."""
    return file.folder, cut[0], cut[2], file.suffix


def _view(file: _File, cut: _Cut) -> tuple[str, str]:
    return file.between, same_numbers(cut[1])


def _paired(files: Sequence[_File], cuts: dict[str, _Cut]) -> int:
    """How many files share their stem with one of another group."""
    counted = Counter(_view(file, cuts[file.path]) for file in files)
    return sum(counted[_view(file, cuts[file.path])] > 1 for file in files)


def _ways(name: str, *, before: bool = False, after: bool = False) -> list[_Cut]:
    """The ways to cut a name at separators, where what is cut off names something and is no number; uncut first."""
    heads = [name[: match.end()] for match in _SEPARATOR.finditer(name) if before and match.end() < len(name)]
    ways = []
    for head in ("", *filter(_is_word, heads)):
        rest = name[len(head) :]
        tails = [rest[match.start() :] for match in _SEPARATOR.finditer(rest) if after and match.start()]
        ways += [(head, rest.removesuffix(tail), tail) for tail in ("", *filter(_is_word, tails))]
    return ways


def _is_word(text: str) -> bool:
    parts = [part for part in re.split(r"[_\-. ]+", text) if part]
    return bool(parts) and not any(part.isdecimal() for part in parts)
