"""Patterns such as `nir/{stem}.png`: which files of a folder belong to one view, and what a name says about it.

    {stem}     the view's own name; files with the same stem are one view
    {group}    what views of one split share: a scene, a patient, a field; the same stem in two groups is two views;
               several of them count together, as house/room does
    {split}    a folder or part of a name that says train, val or test
    *          anything

None of them reaches beyond a slash. Where two stand in one part of a path, the first takes as much as it can.
"""

from __future__ import annotations

import dataclasses
import glob
import re
from collections.abc import Mapping
from pathlib import Path

from cen_cli.data.views import describe_folder
from cen_cli.errors import DataError, UsageError
from cen_cli.wording import nearest

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
    """A path within a folder with {stem} and perhaps {group}, {split} and `*`. Raises UsageError without {stem}."""

    def __init__(self, text: str) -> None:
        self.text = text
        tokens = re.split(r"(\{stem\}|\{group\}|\{split\}|\*)", text)
        if tokens.count("{stem}") != 1:
            raise UsageError(f"pattern {text!r}: {{stem}} must be in it once", hint='for example "rgb/{stem}.png"')
        self._glob = "".join("*" if _is_open(token) else glob.escape(token) for token in tokens)
        self._regex = re.compile("".join(_regex(token, number) for number, token in enumerate(tokens)))

    def key(self, path: str) -> ViewKey | None:
        """The view that a path within the folder belongs to; None where the pattern does not name it."""
        match = self._regex.fullmatch(path)
        if match is None:
            return None
        fields = match.groupdict()
        split = fields.get("split")
        if split is not None and split.lower() not in SPLIT_WORDS:
            return None
        group = "/".join(value for name, value in fields.items() if name.startswith("group"))
        return ViewKey(SPLIT_WORDS[split.lower()] if split else "", group, fields["stem"])

    def find(self, root: Path) -> dict[ViewKey, str]:
        """The files below `root` by view, as paths within it.

        Raises DataError where there are none, and where two are of one view.
        """
        found: dict[ViewKey, str] = {}
        for path in sorted(root.glob(self._glob)):
            name = path.relative_to(root).as_posix()
            key = self.key(name)
            if key is None or path.name.startswith("."):
                continue
            if key in found:
                raise DataError(
                    f"{root}: {found[key]} and {name} are both view {key.name!r} by the pattern {self.text!r}",
                    hint="a pattern with less of * in it, or with {group} for the folder that tells them apart",
                )
            found[key] = name
        if not found:
            raise self._nothing(root)
        return found

    def _nothing(self, root: Path) -> DataError:
        """What there is instead: of the deepest folder of the pattern that exists."""
        folder = root
        for part in self.text.split("/")[:-1]:
            if _is_open(part) or any(sign in part for sign in "{*"):
                break
            if not (folder / part).is_dir():
                names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
                close = nearest(part, names)
                hint = f"did you mean {self.text.replace(part, close[0], 1)!r}?" if close else None
                return DataError(
                    f"no file matches the pattern {self.text!r}: no folder {folder / part}; "
                    f"of {folder}: {describe_folder(folder)}",
                    hint=hint,
                )
            folder = folder / part
        return DataError(f"no file matches the pattern {self.text!r} in {root}; of {folder}: {describe_folder(folder)}")


def find_together(root: Path, patterns: Mapping[str, Pattern]) -> dict[str, dict[ViewKey, str]]:
    """The files of every pattern by view, where numbers in the names may be padded differently (`dsm_02`, `top_2`).

    Views are called as the first pattern that has them calls them. Raises DataError as `Pattern.find` does.
    """
    found = {name: pattern.find(root) for name, pattern in patterns.items()}
    if any(len({padded_alike(key) for key in files}) < len(files) for files in found.values()):
        return found  # 1.png and 01.png are two views
    called: dict[ViewKey, ViewKey] = {}
    for files in found.values():
        for key in files:
            called.setdefault(padded_alike(key), key)
    return {name: {called[padded_alike(key)]: path for key, path in files.items()} for name, files in found.items()}


def padded_alike(key: ViewKey) -> ViewKey:
    """The view's key with all numbers unpadded."""
    return dataclasses.replace(key, group=same_numbers(key.group), stem=same_numbers(key.stem))


def same_numbers(name: str) -> str:
    """A name with its numbers unpadded."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", name)


def _is_open(token: str) -> bool:
    return token == "*" or token in ("{stem}", "{group}", "{split}")


def _regex(token: str, number: int) -> str:
    if token == "*":
        return "[^/]*"
    if token == "{group}":
        return f"(?P<group{number}>[^/]+)"
    return f"(?P<{token[1:-1]}>[^/]+)" if _is_open(token) else re.escape(token)
