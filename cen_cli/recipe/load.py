"""Reads recipes: a file, the recipes it extends and the overrides become one checked `Recipe`."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import tomli_w

from cen_cli.errors import RecipeError, UsageError
from cen_cli.recipe import catalog, kinds
from cen_cli.recipe.overrides import Changes, parse_overrides
from cen_cli.recipe.paths import Path as Keys
from cen_cli.recipe.paths import dotted, holds, leaves, lookup, merge, without
from cen_cli.recipe.problems import known_keys, validate, value_of
from cen_cli.recipe.schema import Recipe
from cen_cli.recipe.switches import READ_ONLY_WITH
from cen_cli.recipe.wording import Problem, show_value

_OF_THE_MACHINE = (
    "data.root",
    "data.workers",
    "data.cache",
    "data.label_start",
    "data.folders.*.pattern",
    "expected.*",
)
"""Keys that say where things are, not what they are (fnmatch patterns)."""

EVALUATION_KEYS = (
    *_OF_THE_MACHINE,
    *("data.val_list", "data.test_list", "data.depth", "data.skip_incomplete", "data.rooms.*", "eval.*"),
    "train.precision",
)
"""Keys that still have an effect once a network is trained (fnmatch patterns)."""

_OF_THE_RUN = (
    *("eval.batch", "train.seed", "train.log_every", "train.record_gammas_every", "train.checkpoint_every"),
    "train.trackers",
)
"""Keys that say which run of a network it is, and what is kept of it."""

_SAME_SCORES = (*_OF_THE_MACHINE, "name", *_OF_THE_RUN)
"""Keys that may be set without making a recipe another one, of which nothing is expected (fnmatch patterns)."""

RecipeSource = str | Path | Mapping[str, Any] | Recipe
"""A recipe's path, the name of a shipped one, its tables, or the recipe itself."""

_LARGEST_SEED, _LARGEST_COUNT, _LARGEST_FLOAT = 2**63, 2**31, 3.4028236e38
_LONGEST = 1 << 20
"""Bytes of a file of recipes; what is larger is none."""

Find = Callable[[str], Path]
"""Gives the file that is shipped under a name."""

_OWN = ("name", "expected")
"""Keys that belong to the file that states them and are not inherited by `extends`."""


_COMMAND = "an option"
"""Where the last layer comes from."""

_Layer = tuple[str, Mapping[str, Any]]
"""Where tables come from, and the tables; later layers win."""


def load_recipe(
    source: RecipeSource,
    overrides: Changes = (),
    data_root: str | None = None,
    *,
    changes: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Recipe:
    """A recipe given by path, by shipped name, as tables or as itself; apply overrides, check everything.

    A recipe that an override makes another one loses the file's `[expected]`, as one that extends the file does.
    `changes`, (where they come from, tables), go before the file; `data_root` before them, and an override of
    `data.root` before all. Raises RecipeError with every problem of file, changes and overrides, UsageError where the
    file is missing or cannot be read.
    """
    if not isinstance(source, str | Path | Mapping | Recipe):
        raise UsageError(f"a recipe is a name, a path, a dict of tables or a Recipe, not {source!r}")
    files = _file_layers(catalog.find(str(source))) if isinstance(source, str | Path) else _table_layers(source)
    table, problems = parse_overrides(overrides)
    main = files[-1][0]
    name = str(source) if isinstance(source, str | Path) else main
    return _resolve([*files, *changes, *_option_layers(data_root)], table, source=name, main=main, problems=problems)


def parse_recipe(text: str, source: str) -> Recipe:
    """Read a resolved recipe from text, as stored in checkpoints; `source` names it in errors. Raises RecipeError."""
    return _resolve([(source, _parse_toml(text, source))], {}, source=source, main=source)


def override(recipe: Recipe, overrides: Changes, *, data_root: str | None = None, source: str = "recipe") -> Recipe:
    """A trained network's recipe with other data or evaluation settings; checked like a file.

    Only keys that still have an effect on a trained network may be set: `EVALUATION_KEYS`. Scored in another way, the
    network is not expected to reach the recipe's `[expected]`, which are dropped. Raises RecipeError.
    """
    table, problems = parse_overrides(overrides)
    problems += [
        f"{dotted(path)}: fixed by the trained checkpoint; what may be set here: {', '.join(EVALUATION_KEYS)}"
        for path in leaves(table)
        if not _is_among(path, EVALUATION_KEYS)
    ]
    layers = [(source, effective(recipe)), *_option_layers(data_root)]
    return _resolve(layers, table, source=source, main=source, problems=problems)


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Dotted keys in which two recipes differ; those aside that say how a machine has the data, or lays out memory."""
    aside = ("data.root", "data.workers", "train.channels_last")
    first, second = ({dotted(path): value for path, value in leaves(effective(each)).items()} for each in (one, other))
    return [key for key in {**first, **second} if first.get(key) != second.get(key) and key not in aside]


def differ_in_seed(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes are one network's, trained on the same files, with two seeds."""
    aside = (*_OF_THE_RUN, "data.cache", "expected.*")
    decisive = (key for key in differences(one, other) if not any(fnmatchcase(key, pattern) for pattern in aside))
    return one.train.seed != other.train.seed and not any(decisive)


def by_key(recipe: Recipe) -> dict[str, str]:
    """Dotted key -> value, as text, of all that `dump_toml` writes."""
    return {dotted(path): str(value) for path, value in leaves(effective(recipe)).items()}


def dump_toml(recipe: Recipe) -> str:
    """The resolved recipe as TOML; `parse_recipe` of it gives an equal recipe."""
    return tomli_w.dumps(effective(recipe))


def changed_from_defaults(recipe: Recipe) -> dict[str, Any]:
    """Dotted key -> value of everything that differs from its default, and of keys that have none.

    Left out: task, name and expected, which decide nothing about the run.
    """
    defaults = {path: kinds.plain(field.get_default()) for path, field in known_keys() if not field.is_required()}
    return {
        dotted(path): value
        for path, value in leaves(effective(recipe)).items()
        if path[0] not in ("task", "name", "expected") and (path not in defaults or defaults[path] != value)
    }


# ---- files and what they extend ----


def with_extended(path: Path, find: Find = catalog.find) -> list[tuple[Path, dict[str, Any]]]:
    """A file and its tables, then the file that it extends, and so on.

    Raises UsageError where a file cannot be read, RecipeError where it is not TOML in UTF-8.
    """
    chain: list[tuple[Path, dict[str, Any]]] = []
    current: Path | None = path
    while current is not None:
        links = [link.resolve() for link, _ in chain]
        if current.resolve() in links:
            names = " -> ".join(link.name for link in [*links[links.index(current.resolve()) :], current])
            raise RecipeError(str(path), [f"extends = {show_value(current.name)}: files in a circle: {names}"])
        table = _parse_toml(_read(current), str(current))
        chain.append((current, table))
        current = _base_of(current, table.pop("extends", None), find)
    return chain


def _file_layers(path: Path) -> list[_Layer]:
    """The file's own tables on top, those that it extends below."""
    (own, table), *below = with_extended(path)
    table.setdefault("name", own.stem)
    inherited = [(str(link), {key: each[key] for key in each if key not in _OWN}) for link, each in reversed(below)]
    return [*inherited, (str(own), table)]


def _table_layers(source: Mapping[str, Any] | Recipe) -> list[_Layer]:
    """Of tables that come from no file, which may extend a recipe by path or shipped name, too."""
    table = effective(source) if isinstance(source, Recipe) else dict(source)
    base = _base_of(Path("recipe"), table.pop("extends", None))
    below = [] if base is None else _file_layers(base)
    return [*_unexpecting(below), ("recipe", table)]


def _base_of(path: Path, base: Any, find: Find = catalog.find) -> Path | None:
    if base is None:
        return None
    if not isinstance(base, str):
        problem = f"extends = {show_value(base)}: the name of a shipped one, or a path relative to this file"
        raise RecipeError(str(path), [problem])
    sibling = path.parent / base
    if sibling.is_file():
        return sibling
    try:
        return find(base)
    except UsageError as error:
        raise RecipeError(str(path), [f"extends = {show_value(base)}: {error.message}"], hint=error.hint) from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST:
            reason = f"larger than {_LONGEST >> 20} MiB, which no recipe is"
            raise UsageError(f"{path}: {reason}", hint="is it the right file?")
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"{path}: cannot be read: {reason}", hint="check the file's permissions") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = "recipes are TOML text in UTF-8"
        raise RecipeError(str(path), [f"line {line}: not UTF-8 text"], hint=hint) from error


def _parse_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also a number of thousands of digits
        hint = "text values need quotes, and each key may be set once: https://toml.io"
        raise RecipeError(source, [f"not valid TOML: {error}"], hint=hint) from error


# ---- layers to a recipe ----


def _option_layers(data_root: str | None) -> list[_Layer]:
    return [] if data_root is None else [("--data-root", {"data": {"root": str(data_root)}})]


def _unexpecting(layers: Sequence[_Layer]) -> list[_Layer]:
    return [(label, without(table, ("expected",))) for label, table in layers]


def _is_among(path: Keys, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(dotted(path), pattern) for pattern in patterns)


def _resolve(
    layers: list[_Layer], overrides: Mapping[str, Any], *, source: str, main: str, problems: Sequence[str] = ()
) -> Recipe:
    """The recipe of all layers; nothing is expected of it where the overrides make another recipe of them."""
    below = _merged(layers)
    decisive = (path for path in leaves(overrides) if not _is_among(path, _SAME_SCORES))
    if any(value_of(below, path) != lookup(overrides, path) for path in decisive):
        layers = _unexpecting(layers)
    layers = _drop_inherited(_without_absent([*layers, (_COMMAND, overrides)]))
    if huge := [_too_large(path) for path, value in leaves(_merged(layers)).items() if _is_too_large(path, value)]:
        raise RecipeError(source, huge)
    recipe, invalid = validate(_merged(layers))
    problems = [*problems, *(problem.text + _origin(problem, layers, main) for problem in invalid)]
    if recipe is None or problems:
        raise RecipeError(
            source, problems, hint="docs/recipes.md describes every key; `cen recipes show rooms` prints an example"
        )
    return recipe


def _without_absent(layers: list[_Layer]) -> list[_Layer]:
    """The layers without the keys that the last one sets to "none", of those that may be absent."""
    _, overrides = layers[-1]
    for path, value in leaves(overrides).items():
        field = next((field for known, field in known_keys() if known == path), None)
        if value in (None, "none") and field is not None and kinds.may_be_absent(field):
            layers = [(label, without(table, path)) for label, table in layers]
    return layers


def _is_too_large(path: Keys, value: Any) -> bool:
    """Whether a number, or one of a list, is beyond what any key can mean: 64-bit seeds, 32-bit counts and floats."""
    if isinstance(value, list):
        return any(_is_too_large(path, each) for each in value)
    if isinstance(value, int):
        return abs(value) >= (_LARGEST_SEED if path[-1] == "seed" else _LARGEST_COUNT)
    return isinstance(value, float) and _LARGEST_FLOAT < abs(value) < math.inf


def _too_large(path: Keys) -> str:
    limit = "a whole number below 2^63" if path[-1] == "seed" else "numbers below 2^31, or 3.4028236e38 with a point"
    return f"{dotted(path)}: too large; {limit}"


def _merged(layers: Sequence[_Layer]) -> dict[str, Any]:
    return functools.reduce(merge, (table for _, table in layers), {})


def _drop_inherited(layers: list[_Layer]) -> list[_Layer]:
    """Drop from lower layers the keys that a switch set in a higher one has put out of use.

    So too the normalisation of modalities that a higher layer's `data.inputs` leaves out.
    """
    merged = _merged(layers)
    for key, switch, needed in READ_ONLY_WITH:
        if value_of(merged, switch_path := tuple(switch.split("."))) not in needed:
            layers = _drop_below(layers, switch_path, key.split("."))
    normalize, inputs = (lookup(merged, ("data", key)) for key in ("normalize", "inputs"))
    for name in normalize if isinstance(normalize, Mapping) and isinstance(inputs, Sequence) else ():
        if name not in inputs:
            layers = _drop_below(layers, ("data", "inputs"), ("data", "normalize", name))
    return layers


def _drop_below(layers: list[_Layer], setter: Keys, path: Sequence[str]) -> list[_Layer]:
    """Drop a path from the layers below the highest that sets another one."""
    highest = max((index for index, (_, table) in enumerate(layers) if holds(table, setter)), default=0)
    return [(label, without(table, path)) for label, table in layers[:highest]] + layers[highest:]


def _origin(problem: Problem, layers: list[_Layer], main: str) -> str:
    """Where the key was set, if not in the file that was asked for."""
    setters = [label for label, table in layers if holds(table, problem.path)]
    return f" [from {setters[-1]}]" if setters and setters[-1] != main else ""


def effective(recipe: Recipe) -> dict[str, Any]:
    """The recipe's tables without keys that are absent or not read under its switches, and without empty tables."""
    table: dict[str, Any] = recipe.model_dump(exclude_none=True)
    for path in (("data", "normalize"), ("expected",)):
        if not lookup(table, path):
            table = without(table, path)
    for key, switch, needed in READ_ONLY_WITH:
        if lookup(table, switch.split(".")) not in needed:
            table = without(table, key.split("."))
    return dict(kinds.plain(table))
