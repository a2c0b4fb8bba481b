"""Patterns such as `nir/{stem}.png`: which files of a folder belong to one view, and what a name says about it.

    {stem}     the view's own name; files with the same stem are one view
    {group}    what views of one split share: a scene, a patient, a field; the same stem in two groups is two views
    {split}    a folder or part of a name that says train, val or test
    *          anything

None of them reaches beyond a slash. Where two stand in one part of a path, the first takes as much as it can.
"""

from __future__ import annotations

import dataclasses
import glob
import re
from pathlib import Path

from cen_cli.data.views import describe_folder
from cen_cli.errors import DataError, UsageError
from cen_cli.wording import nearest

SPLITS = ("train", "val", "test")
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
        self._regex = re.compile("".join(_regex(token) for token in tokens))

    def key(self, path: str) -> ViewKey | None:
        """The view that a path within the folder belongs to; None where the pattern does not name it."""
        match = self._regex.fullmatch(path)
        if match is None:
            return None
        fields = match.groupdict()
        split = fields.get("split")
        if split is not None and split.lower() not in SPLIT_WORDS:
            return None
        return ViewKey(SPLIT_WORDS[split.lower()] if split else "", fields.get("group", ""), fields["stem"])

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


def _is_open(token: str) -> bool:
    return token == "*" or token in ("{stem}", "{group}", "{split}")


def _regex(token: str) -> str:
    if token == "*":
        return "[^/]*"
    return f"(?P<{token[1:-1]}>[^/]+)" if _is_open(token) else re.escape(token)
