"""The recipes and sweeps that are shipped with the package, found by looking into their folders."""

from __future__ import annotations

from pathlib import Path

from cen_cli.errors import UsageError
from cen_cli.wording import did_you_mean

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped() -> dict[str, Path]:
    """Path of every shipped recipe by name, in alphabetical order."""
    return {path.stem: path for path in sorted(_folder().glob("*.toml"), key=lambda path: path.stem)}


def shipped_sweeps() -> dict[str, Path]:
    """Path of every shipped sweep by name, in alphabetical order."""
    return {path.stem: path for path in sorted((_folder() / "sweeps").glob("*.toml"), key=lambda path: path.stem)}


def find_sweep(name_or_path: str) -> Path:
    """The file of a sweep given by path or by the name of a shipped one.

    `recipes/sweeps/NAME.toml` means the shipped sweep wherever the current folder has no such file. Raises UsageError
    with the nearest names where there is none.
    """
    path, sweeps = Path(name_or_path), shipped_sweeps()
    if path.is_file():
        return path
    if name_or_path in sweeps:
        return sweeps[name_or_path]
    if path.parent == Path("recipes/sweeps") and path.suffix == ".toml" and path.stem in sweeps:
        return sweeps[path.stem]
    raise UsageError(f"no sweep {name_or_path!r}: neither a file nor a shipped sweep", hint=_hint(path, sweeps))


def find(name_or_path: str) -> Path:
    """The file of a recipe given by path or by the name of a shipped one.

    `recipes/NAME.toml` means the shipped recipe wherever the current folder has no such file. Raises UsageError with
    the nearest names where there is none.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    recipes = shipped()
    if name_or_path in recipes:
        return recipes[name_or_path]
    if path.parent == Path("recipes") and path.suffix == ".toml" and path.stem in recipes:
        return recipes[path.stem]
    if path.is_dir():
        raise UsageError(f"{name_or_path} is a folder, not a recipe", hint=_hint_for_folder(path))
    raise UsageError(f"no recipe {name_or_path!r}: neither a file nor a shipped recipe", hint=_hint(path, recipes))


def summary(path: Path) -> str:
    """The first line of the comment that opens a recipe; empty where there is none."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _folder() -> Path:
    """`recipes/` inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"


def _hint(path: Path, there: dict[str, Path]) -> str:
    question = did_you_mean(path.name.removesuffix(".toml"), there, most=3)
    return f"{question or ''} (`cen recipes ls` lists all)".strip()


def _hint_for_folder(path: Path) -> str:
    inside = path / "recipe.toml"
    return f"did you mean {inside}?" if inside.is_file() else "give a .toml file, or a name that `cen recipes ls` lists"
