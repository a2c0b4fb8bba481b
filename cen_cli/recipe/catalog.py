"""The recipes and sweeps that are shipped with the package, found by looking into their folders."""

from __future__ import annotations

from pathlib import Path

from cen_cli.errors import UsageError
from cen_cli.wording import did_you_mean

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped() -> dict[str, Path]:
    """Path of every shipped recipe by name, in alphabetical order."""
    return _in(_folder())


def shipped_sweeps() -> dict[str, Path]:
    """Path of every shipped sweep by name, in alphabetical order."""
    return _in(_folder() / "sweeps")


def find(name_or_path: str) -> Path:
    """The file of a recipe given by path or by the name of a shipped one.

    `recipes/NAME.toml` means the shipped recipe wherever the current folder has no such file. Raises UsageError with
    the nearest names where there is none.
    """
    path, recipes = Path(name_or_path), shipped()
    if path.is_dir() and name_or_path not in recipes:
        inside = path / "recipe.toml"
        other = "give a .toml file, or a name that `cen recipes ls` lists"
        hint = f"did you mean {inside}?" if inside.is_file() else other
        raise UsageError(f"{name_or_path} is a folder, not a recipe", hint=hint)
    if name_or_path in shipped_sweeps() and not path.is_file():
        raise UsageError(f"{name_or_path} is a sweep, not a recipe", hint=f"cen sweep {name_or_path}")
    return _find(name_or_path, recipes, "recipe", Path("recipes"))


def find_sweep(name_or_path: str) -> Path:
    """The file of a sweep, as `find` finds that of a recipe; the folder is recipes/sweeps."""
    if name_or_path in shipped() and name_or_path not in shipped_sweeps() and not Path(name_or_path).is_file():
        raise UsageError(f"{name_or_path} is a recipe, not a sweep", hint=f"cen train {name_or_path}")
    return _find(name_or_path, shipped_sweeps(), "sweep", Path("recipes/sweeps"))


def _find(name_or_path: str, there: dict[str, Path], kind: str, folder: Path) -> Path:
    path = Path(name_or_path)
    name = path.stem if path.parent == folder and path.suffix == ".toml" else name_or_path
    if path.is_file() or name in there:
        return path if path.is_file() else there[name]
    question = did_you_mean(path.name.removesuffix(".toml"), there, most=3)
    hint = f"{question} (`cen recipes ls` lists all)" if question else "`cen recipes ls` lists all"
    raise UsageError(f"no {kind} {name_or_path!r}: neither a file nor a shipped {kind}", hint=hint)


def _in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def summary(path: Path) -> str:
    """The first line of the comment that opens a recipe; empty where there is none."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _folder() -> Path:
    """`recipes/` inside an installed package, or beside it in a checkout."""
    installed = _PACKAGE / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"
