"""Patterns such as `nir/{stem}.png`: which files of a folder belong to one view, and what a name says about it.

    {stem}     the view's own name; files with the same stem are one view
    {group}    what views of one split share: a scene, a patient, a field; the same stem in two groups is two views;
               several of them count together, as house/room does
    {split}    a folder or part of a name that says train, val or test
    *          anything

None of them reaches beyond a slash. Where two stand in one part of a path, the first takes as much as it can; {split}
takes its word alone.
"""

from __future__ import annotations

import dataclasses
import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cen_cli.data.decoding import SUFFIXES
from cen_cli.data.listing import describe_folder
from cen_cli.data.views import same_numbers
from cen_cli.errors import DataError, IncompleteError
from cen_cli.wording import listed, nearest

File = TypeVar("File")

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""How {split} may be spelled."""


@dataclasses.dataclass(frozen=True)
class ViewKey:
    """What tells a view from others; empty where the pattern does not say it."""

    split: str
    group: str
    stem: str

    @property
    def name(self) -> str:
        """The view's name within its split."""
        return f"{self.group}/{self.stem}" if self.group else self.stem

    def place(self) -> tuple[str, list[tuple[int, str]]]:
        """By which views are sorted: numbers in names count as numbers, so that 10 comes after 9."""
        parts = re.findall(r"\d+|\D+", self.name)
        return self.split, [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


class Pattern:
    """A path within a folder with {stem} once and perhaps {group}, {split} and `*`."""

    def __init__(self, text: str) -> None:
        self.text = text
        tokens = re.split(r"(\{stem\}|\{group\}|\{split\}|\*)", text)
        self._glob = "".join("*" if number % 2 else glob.escape(token) for number, token in enumerate(tokens))
        self._regex = re.compile("".join(_regex(token, number) for number, token in enumerate(tokens)))

    def key(self, path: str) -> ViewKey | None:
        """The view that a path within the folder belongs to; None where the pattern does not name it."""
        match = self._regex.fullmatch(path)
        if match is None:
            return None
        fields = match.groupdict()
        split = fields.get("split")
        group = "/".join(value for name, value in fields.items() if name.startswith("group"))
        return ViewKey(SPLIT_WORDS[split.lower()] if split else "", group, fields["stem"])

    def find(self, root: Path, *, hint: str | None = None) -> dict[ViewKey, str]:
        """The files below `root` by view, as paths within it, hidden ones left out.

        Raises DataError where there are none, and where two are of one view.
        """
        files: dict[ViewKey, str] = {}
        for name in sorted(glob.glob(self._glob, root_dir=root)):
            key = self.key(name)
            if key is None or (self.text.endswith("*") and not name.lower().endswith(SUFFIXES)):
                continue  # such as boxes or coordinates beside an image
            if key in files:
                raise DataError(
                    f"{root}: {files[key]} and {name} are both view {key.name!r} by the pattern {self.text!r}",
                    hint="a pattern with less of * in it, or with {group} for the folder that tells them apart",
                )
            files[key] = name
        if not files:
            raise self._nothing(root, hint)
        return files

    def _nothing(self, root: Path, hint: str | None) -> DataError:
        """What there is instead: of the deepest folder of the pattern that exists."""
        folder, lacking = root, ""
        for part in self.text.split("/")[:-1]:
            if any(sign in part for sign in "{*"):
                break
            if not (folder / part).is_dir():
                close = nearest(part, [path.name for path in folder.glob("*/")])
                hint = f"did you mean {self.text.replace(part, close[0], 1)!r}?" if close and not hint else hint
                lacking = f": no folder {folder / part}"
                break
            folder = folder / part
        where = lacking or f" in {root}"
        what = f"no file matches the pattern {self.text!r}{where}; of {folder}: {describe_folder(folder)}"
        return DataError(what, hint=hint)


def find_together(root: Path, patterns: Mapping[str, Pattern]) -> dict[str, dict[ViewKey, str]]:
    """The files of every pattern by view, see `named_alike`. Raises DataError as `Pattern.find` does."""
    return named_alike({name: pattern.find(root) for name, pattern in patterns.items()})


def named_alike(matched: Mapping[str, dict[ViewKey, File]]) -> dict[str, dict[ViewKey, File]]:
    """Files by view, where numbers in the names may be padded differently (`dsm_02`, `top_2`).

    Views are called as the last that has them calls them, which is that of labels or target whatever the inputs.
    """
    if any(len({padded_alike(key) for key in files}) < len(files) for files in matched.values()):
        return dict(matched)  # 1.png and 01.png are two views
    called: dict[ViewKey, ViewKey] = {}
    for files in reversed(list(matched.values())):
        for key in files:
            called.setdefault(padded_alike(key), key)
    return {name: {called[padded_alike(key)]: path for key, path in files.items()} for name, files in matched.items()}


def complete(
    root: Path,
    split: str,
    keys: Sequence[ViewKey],
    matched: Mapping[str, Mapping[ViewKey, str]],
    *,
    skip: bool = False,
    hint: str,
) -> list[ViewKey]:
    """The views that have all their files; `matched` is what `find_together` gives.

    Raises IncompleteError where others are not to be left out (`skip`), or none is complete.
    """
    lacking = {name: [key.name for key in keys if key not in files] for name, files in matched.items()}
    whole = [key for key in keys if all(key in files for files in matched.values())]
    if len(whole) == len(keys) or (skip and whole):
        return whole
    lacks = "; ".join(f"{name}: {listed(names)}" for name, names in lacking.items() if names)
    raise IncompleteError(
        f"{root}: {len(keys) - len(whole)} of {len(keys)} {split} views lack a file, of {lacks}",
        lacking,
        views=len(keys),
        hint=hint if whole else "the files of one view need the same {stem}",
    )


def padded_alike(key: ViewKey) -> ViewKey:
    """The view's key with all numbers unpadded."""
    return dataclasses.replace(key, group=same_numbers(key.group), stem=same_numbers(key.stem))


def _regex(token: str, number: int) -> str:
    """Of the text between fields and stars, at even numbers, and of these, at odd ones."""
    if number % 2 == 0:
        return re.escape(token)
    if token == "*":
        return "[^/]*"
    if token == "{split}":
        words = "|".join(sorted(SPLIT_WORDS, key=len, reverse=True))
        return f"(?P<split>(?i:{words}))"
    name = f"group{number}" if token == "{group}" else token[1:-1]
    return f"(?P<{name}>[^/]+)"
