"""Sweeps: a grid of recipes, groups x variants x seeds, with the paper's numbers and the orderings that it claims.

One file of `recipes/sweeps/` stands for one table or figure of the paper. A group has a base recipe; a variant changes
some of its keys; every member of the grid is an ordinary recipe, checked like any other.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cen_cli.errors import RecipeError, UsageError
from cen_cli.recipe import catalog, kinds
from cen_cli.recipe.load import RecipeSource, effective, load_recipe, with_extended
from cen_cli.recipe.overrides import Change, Changes, as_text, parse_overrides, with_options
from cen_cli.recipe.paths import dotted, holds, leaves, lookup, merge, without
from cen_cli.recipe.problems import check_types, known_keys
from cen_cli.recipe.rules import score_names
from cen_cli.recipe.schema import Recipe
from cen_cli.recipe.switches import READ_ONLY_WITH
from cen_cli.recipe.table import Count, Names, Positive, Table, Text, distinct
from cen_cli.recipe.wording import perhaps, show_value
from cen_cli.results import SCALAR_METRICS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
Seeds = Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(distinct)]
Place = tuple[int, str, str]
"""Of a member in the grid: which of its row's seeds, group, variant."""
Numbers = dict[str, float]
"""Metric, `branch.metric` -> value in the metric's own unit: shares between 0 and 1, MAE, FID, KID not times 100."""


class Variant(Table):
    """One row: what it changes of the base recipe."""

    label: str = Field(default="", description="How tables and plots call the row. Empty: its name.")
    set: dict[str, Any] = Field(default={}, description="Tables of a recipe that override those of the base.")
    seeds: Seeds | None = Field(default=None, description="Seeds of this row alone. Absent: the sweep's.")
    alone: bool = Field(default=False, description="Stands for one row of each modality of the base recipe, alone.")


class Group(Table):
    """A part of the table with a base recipe of its own: a task, or a set of modalities."""

    base: str = Field(default="", description="The recipe that the variants change. Empty: the sweep's.")
    label: str = Field(default="", description="How tables and plots call the group. Empty: its name.")
    set: dict[str, Any] = Field(default={}, description="Tables of a recipe, for all variants of the group.")
    paper: dict[str, Numbers] = Field(default={}, description="The paper's numbers, by variant and metric.")


class Ordering(Table):
    """Something that the paper's numbers say: this row is better than that one."""

    metric: Text = Field(description="The score that decides, as branch.metric.")
    also: tuple[str, ...] = Field(default=(), description="Further scores that are judged by themselves.")
    better: Text = Field(description="The variant that should be better.")
    worse: Text = Field(description="The variant that should be worse.")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every score that is judged."""
        return (self.metric, *self.also)


class Figure(Table):
    """Plots of a score and the replaced share over the values of keys (S-Fig 13): a panel per group and key."""

    keys: Names
    """Keys on the horizontal axes, in log; a panel holds the rows that have the reference's other keys."""
    metrics: Names
    """Scores on the left axis, as branch.metric: a group shows the first that its task has."""


class Panel(Table):
    """Pictures of networks side by side on the same views (S-Fig 6 to 10): a file a group, a column a row."""

    views: Positive = Field(default=4, description="So many views of each kind of `by`.")
    by: Annotated[tuple[Literal["difference", "darkest", "brightest"], ...], Field(min_length=1)] = ("difference",)
    """Where the networks differ most, or by the mean luminance: one kind after the other."""
    variants: tuple[str, ...] = Field(default=(), description="The rows that are shown, in order. Empty: all.")
    branches: tuple[str, ...] = ()
    """Rows of which each branch is shown in place of the ensemble."""


class Sweep(Table):
    """A table or figure of the paper as a grid of runs."""

    title: Text = Field(description="What it shows, and its place in the paper.")
    source: str = Field(default="", description="Where the paper's numbers stand.")
    base: str = Field(default="", description="The recipe that the variants change, where groups name none.")
    set: dict[str, Any] = Field(default={}, description="Tables of a recipe, for all members.")
    seeds: Seeds = Field(default=(0, 1, 2), description="Each variant is trained once with each of them.")
    split: Literal["train", "val", "test"] = Field(default="test", description="The split that members are scored on.")
    checkpoint: Literal["last", "best"] = Field(default="last", description="The checkpoint that is scored.")
    metrics: Names = Field(description="Columns, as branch.metric.")
    reference: Text = Field(description="The variant that all others are compared with.")
    groups: dict[str, Group] = Field(default={}, description="Parts with a base recipe each.")
    variants: dict[str, Variant] = Field(description="Rows.")
    paper: dict[str, Numbers] = Field(default={}, description="The paper's numbers of a sweep without groups.")
    orderings: dict[str, Ordering] = Field(default={}, description="What the paper's numbers say, in words.")
    figure: Figure | None = Field(default=None, description="A plot of the results.")
    proportions: str = Field(default="", description="The layer of S-Fig 11; draws S-Fig 11 and 12, a row a variant.")
    trajectories: str = Field(default="", description="The layer of S-Fig 5, which is drawn, a row a variant.")
    advice: bool = False
    """Say in words which row to take, and draw scores against costs. What the base recipe says of fusing and of
    choosing channels is left to the rows."""
    panel: Panel | None = Field(default=None, description="Pictures of what the rows make of the same views.")

    def label_of(self, variant: str) -> str:
        """What tables and plots call the row."""
        return self.variants[variant].label or variant


@dataclass(frozen=True)
class Member:
    """One run of the grid."""

    group: str
    variant: str
    seed: int
    recipe: Recipe
    unread: tuple[str, ...] = ()
    """The overrides that this row does not read, and so was not given; as text."""

    @property
    def name(self) -> str:
        """Its place below the sweep's folder: [group/]variant/seed-N."""
        return "/".join(filter(None, (self.group, self.variant, f"seed-{self.seed}")))


def load_sweep(name_or_path: str) -> Sweep:
    """Read a sweep by path or shipped name, on top of the sweep that it extends, less the parts that it sets to false.

    Raises RecipeError with every problem, UsageError for a missing file.
    """
    files = with_extended(catalog.find_sweep(name_or_path), catalog.find_sweep)
    tables: dict[str, Any] = functools.reduce(merge, (_with_bases(*file) for file in reversed(files)), {})
    texts: list[str] = []
    for part in ("variants", "groups"):
        if isinstance(named := tables.get(part), Mapping):
            there = [
                name
                for _, table in files[1:]
                if isinstance(parts := table.get(part), Mapping)
                for name, own in parts.items()
                if own is not False
            ]
            absent = [name for name, table in named.items() if table is False and name not in there]
            texts += [f"{part}.{name} = false: there is none to leave out{perhaps(name, there)}" for name in absent]
            tables[part] = {name: table for name, table in named.items() if table is not False}
    sweep, problems = check_types(tables, Sweep)
    texts += [problem.text for problem in problems]
    if sweep is not None:
        texts += _unknown_names(sweep)
    if sweep is None or texts:
        raise RecipeError(name_or_path, texts, hint="docs/sweeps.md describes every key")
    return sweep


def _with_bases(path: Path, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of a file, whose base recipes are found beside it, whatever extends it."""
    if isinstance(table.get("base"), str):
        table = merge(table, {"base": _found(table["base"], path)})
    groups = table.get("groups")
    for name, group in groups.items() if isinstance(groups, Mapping) else ():
        if isinstance(group, Mapping) and isinstance(group.get("base"), str):
            table = merge(table, {"groups": {name: {"base": _found(group["base"], path)}}})
    return table


ROWS_DECIDE = (
    *("model.fusion", "model.fusion_stage", "model.classifier"),
    *(f"sharing.{key}" for key in ("conv", "private_stages", "decoder")),
    *(f"exchange.{key}" for key in ("choose", "budget", "share", "choose_every", "stages")),
    *(f"exchange.{key}" for key in ("sparsity_scale", "region", "replace")),
)
"""Ways of fusing and of choosing channels: what another base recipe does not decide where rows differ in them."""


def on_recipe(sweep: Sweep, source: Path, recipe: RecipeSource | None = None) -> tuple[Sweep, Mapping[str, Any] | None]:
    """The sweep on another base recipe; with its rows of single modalities, and the tables of the base to be changed.

    The tables are None where the sweep has bases of its own. Raises UsageError where they cannot be another, or there
    is one modality only; RecipeError.
    """
    if recipe is not None and any(group.base for group in sweep.groups.values()):
        raise UsageError("--recipe: the groups of this sweep have base recipes of their own")
    if recipe is None and not sweep.advice:
        return sweep, None
    base = load_recipe(_found(sweep.base, source) if recipe is None else recipe)
    tables = effective(base)
    if sweep.advice and len(base.data.inputs) < 2:
        raise UsageError(f"{base.name}: one modality ({base.data.inputs[0]}) has nothing to be fused with")
    if not (sweep.advice or _is_over_fusions(sweep)):
        return sweep, tables
    silent = () if base.penalty > 0 else ("exchange.sparsity",)
    for key in (*ROWS_DECIDE, "train.best_by", "expected", *silent):
        tables = without(tables, key.split("."))
    if not sweep.advice:
        return sweep, tables if base.penalty > 0 else merge(merge(tables, _started(base)), kinds.plain(_pressing(base)))
    return sweep.model_copy(update={"variants": dict(_with_alone(sweep, base))}), tables


def _is_over_fusions(sweep: Sweep) -> bool:
    """Whether rows, or all of them, state a way of fusing or of choosing channels."""
    sets = [sweep.set, *(group.set for group in sweep.groups.values()), *(row.set for row in sweep.variants.values())]
    stated = (*ROWS_DECIDE, "exchange.sparsity", "exchange.threshold")
    return any(holds(own, key.split(".")) for own in sets for key in stated)


def _with_alone(sweep: Sweep, base: Recipe) -> Iterator[tuple[str, Variant]]:
    """The rows; what stands for each modality alone in so many rows."""
    for name, row in sweep.variants.items():
        if not row.alone:
            own = row.set
            if base.model.frozen_stages and lookup(own, ("model", "fusion_stage")) == "input":
                own = merge(own, {"model": {"frozen_stages": 0}})  # its first convolution is another
            stated = merge(sweep.set, own)
            if (lookup(stated, ("model", "fusion")) or "exchange") == "exchange":
                choose = lookup(stated, ("exchange", "choose")) or "gamma"
                own = merge(_started(base), own)
                own = merge(own, _pressing(base)) if choose == "gamma" and not base.penalty else own
            yield name, row.model_copy(update={"set": own})
            continue
        for modality in base.data.inputs:
            own = merge(row.set, {"data": {"inputs": [modality]}, "train": {"modality_dropout": 0.0}})
            yield f"{name}-{UNSAFE.sub('-', modality)}", Variant(label=f"{modality} {row.label}", set=own, alone=True)


def _started(base: Recipe) -> Mapping[str, Any]:
    """Where gammas start from scratch, as in the shipped recipes, if the base is of another fusion."""
    own = base.model.fusion == "exchange" or base.model.weights != "none"
    return {} if own else {"exchange": {"gamma_init": 0.2}}


def _pressing(base: Recipe) -> Mapping[str, Any]:
    """What lets gammas fall below the threshold, where the base recipe presses none: as in the shipped recipes.

    Gammas of loaded weights start far above it, and need a rate of their own.
    """
    if base.task == "translation":
        return {"exchange": {"sparsity": 1e-2}}  # rooms-translate
    if base.model.weights == "none" or base.optimizer.kind == "sgd":
        return {"exchange": {"sparsity": 3e-4}}  # rooms
    stages = len(base.schedule.stage_epochs) if base.schedule.kind == "staged" else 0
    own_rate = {"gamma_lr": (5e-3,) * stages or 5e-3, "gamma_weight_decay": 0.0}
    return {"exchange": {"sparsity": 1.5e-4}, "optimizer": own_rate}  # nyudv2-lite0


def members(
    sweep: Sweep,
    source: Path,
    overrides: Changes = (),
    data_root: str | None = None,
    base: Mapping[str, Any] | None = None,
) -> tuple[Member, ...]:
    """Every run of the grid, seed by seed, so that a first result of each row is there early.

    An override goes to the members that read its key, and must be read by one of them at least. `source` is the sweep's
    file: base recipes are found beside it, or by shipped name, unless `base` has their tables. Raises RecipeError with
    the problems of every row that is no valid recipe.
    """
    changes = [each for change in with_options(overrides) for each in _by_key(change)]
    texts = [as_text(change) for change in changes]
    by_row: dict[Place, Member] = {}
    before: dict[Place, Recipe] = {}
    problems: dict[str, None] = {}
    for text in texts:
        key = text.partition("=")[0].strip()
        if key == "train.seed":
            problems[f"--set {text!r}: a sweep's `seeds` decide"] = None
        elif sweep.advice and key in ROWS_DECIDE:
            problems[f"--set {text!r}: the rows of this sweep decide it"] = None
    for name, group in _groups(sweep).items():
        start = base or _found(group.base or sweep.base, source)
        for variant, row in sweep.variants.items():
            own = {"name": "-".join(filter(None, (name, variant)))}
            tables = [
                (f"{source.name}: set", kinds.plain(sweep.set)),
                (f"{source.name}: groups.{name}", kinds.plain(group.set)),
                (f"{source.name}: variants.{variant}", own | kinds.plain(row.set)),
            ]
            for index, seed in enumerate(row.seeds or sweep.seeds):
                unread: tuple[str, ...] = ()
                seeded = with_options((), train__seed=seed)
                if changes:
                    with suppress(RecipeError):  # an override may mend a row
                        plain = before[index, name, variant] = load_recipe(start, seeded, data_root, changes=tables)
                        unread = tuple(text for text in texts if _is_unread(plain, text, texts))
                try:
                    read = [change for change in changes if as_text(change) not in unread]
                    recipe = load_recipe(start, [*read, *seeded], data_root, changes=tables)
                except RecipeError as error:
                    problems |= dict.fromkeys(f"variant {variant}: {text}" for text in error.problems)
                    continue
                unexpecting = recipe.model_copy(update={"expected": {}})  # those are the base's, not the variant's
                by_row[index, name, variant] = Member(name, variant, seed, unexpecting, unread)
    problems |= dict.fromkeys(_twins(by_row, before))
    if base is None and by_row and not (changes or sweep.advice):  # which may give rows other branches
        problems |= dict.fromkeys(_absent_scores(sweep, [member.recipe for member in by_row.values()]))
    for text in texts:
        if by_row and all(text in member.unread for member in by_row.values()):
            problems[f"--set {text!r}: no member reads this key"] = None
    if problems:
        raise RecipeError(str(source), list(problems), hint="each variant must be a valid recipe with its base")
    order = sorted(by_row, key=lambda place: place[0])  # stable: groups and variants stay in the file's order
    return tuple(by_row[place] for place in order)


def _absent_scores(sweep: Sweep, recipes: Sequence[Recipe]) -> Iterator[str]:
    """Scores that the sweep speaks of and no row has."""
    known = dict.fromkeys(name for recipe in recipes for name in score_names(recipe))
    for key, name in _named(sweep)[1]:
        if name not in known:
            yield f"{key} = {show_value(name)}: no row has such a score{perhaps(name, list(known))}"


def _by_key(change: Change) -> list[Change]:
    """A change of a whole table as one of each of its keys."""
    table, problems = parse_overrides([change])
    keys = leaves(table)
    if problems or [dotted(path) for path in keys] == [as_text(change).partition("=")[0].strip()]:
        return [change]
    return [(dotted(path), value) for path, value in keys.items()]


def _twins(by_row: Mapping[Place, Member], before: Mapping[Place, Recipe]) -> Iterator[str]:
    """Rows that the overrides make one recipe, other than `before`: labels would tell of a difference that is gone."""
    seen: dict[str, Place] = {}
    for place in (each for each in by_row if each in before):
        first = seen.setdefault(f"{place[1]} {_nameless(by_row[place].recipe)!r}", place)
        if _nameless(before[first]) != _nameless(before[place]):
            yield f"with these --set the variants {first[2]} and {place[2]} are the same"


def _nameless(recipe: Recipe) -> Recipe:
    train = recipe.train.model_copy(update={"seed": 0})
    return recipe.model_copy(update={"name": "", "expected": {}, "train": train})


def paper_numbers(sweep: Sweep, group: str, variant: str) -> Numbers:
    """What the paper states for a row; empty where it states nothing."""
    stated = sweep.groups[group].paper if group else sweep.paper
    return stated.get(variant, {})


def _groups(sweep: Sweep) -> Mapping[str, Group]:
    return sweep.groups or {"": Group()}


def _found(base: str, source: Path) -> str:
    """A base recipe beside the sweep's file, or by shipped name."""
    sibling = source.parent / base
    return str(sibling.resolve()) if sibling.is_file() else base


def _is_unread(recipe: Recipe, override: str, overrides: Sequence[str]) -> bool:
    """Whether the recipe has a switch, set by no override, under which the key of an override is not read.

    Nor is a dropout of modalities where there is one, or the normalisation of one that it does not take.
    """
    key = override.partition("=")[0].strip()
    if key.startswith("data.normalize.") and key.split(".")[2] not in recipe.data.inputs:
        return True
    if key == "train.modality_dropout" and len(recipe.data.inputs) == 1:
        return True
    switched = {text.partition("=")[0].strip() for text in overrides}
    return any(
        (key == unused or key.startswith(f"{unused}."))
        and switch not in switched
        and operator.attrgetter(switch)(recipe) not in needed
        for unused, switch, needed in READ_ONLY_WITH
    )


def _unknown_names(sweep: Sweep) -> Iterator[str]:
    """Rows, groups, metrics that are spoken of and are not there; a base recipe that nobody names."""
    rows = list(sweep.variants)
    for table, names in (("variants", rows), ("groups", list(sweep.groups))):
        for name in names:
            if not NAME.fullmatch(name):
                yield f"{table}.{show_value(name)}: it names a folder: letters, digits, dots, dashes and underscores"
    tables = {"set": sweep.set, **{f"groups.{name}.set": group.set for name, group in sweep.groups.items()}}
    for at, own in {**tables, **{f"variants.{name}.set": row.set for name, row in sweep.variants.items()}}.items():
        if holds(own, ("train", "seed")):
            yield f"{at}.train.seed: a sweep's `seeds` decide"
    for name, row in sweep.variants.items():
        if row.alone and not sweep.advice:
            yield f"variants.{name}.alone: read only with advice = true"
    labels = [sweep.label_of(name) for name in rows]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield f"label = {show_value(label)}: of {labels.count(label)} variants, which nothing tells apart"
    named_rows, named_metrics = _named(sweep)
    for key, name in named_rows:
        if name not in rows:
            yield f"{key} = {show_value(name)}: one of the variants {', '.join(rows)}{perhaps(name, rows)}"
    known = sorted({metric for metrics in SCALAR_METRICS.values() for metric in metrics})
    for key, name in named_metrics:
        branch, _, metric = name.rpartition(".")
        if metric not in known or not branch:
            wanted = f"a branch, a dot, then one of {', '.join(known)}"
            yield f"{key} = {show_value(name)}: {wanted}{perhaps(metric, known)}"
    if sweep.groups and sweep.paper:
        yield "paper: where there are groups, numbers stand in groups.<name>.paper"
    for name, group in _groups(sweep).items():
        if not (group.base or sweep.base):
            yield f"groups.{name}.base: missing; the recipe that the variants change" if name else "base: missing"
    numbers = {".".join(path) for path, field in known_keys() if field.annotation in (int, float)}
    for key in sweep.figure.keys if sweep.figure is not None else ():
        if key not in numbers:
            yield f"figure.keys = {show_value(key)}: a key of recipes that holds a number"


def _named(sweep: Sweep) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(where, which) row, and metric, is spoken of."""
    rows = [("reference", sweep.reference)]
    metrics = [("metrics", metric) for metric in sweep.metrics]
    if sweep.panel is not None:
        rows += [("panel.variants", name) for name in sweep.panel.variants]
        rows += [("panel.branches", name) for name in sweep.panel.branches]
    if sweep.figure is not None:
        metrics += [("figure.metrics", metric) for metric in sweep.figure.metrics]
    for claim, ordering in sweep.orderings.items():
        at = f"orderings.{show_value(claim)}"
        rows += [(f"{at}.better", ordering.better), (f"{at}.worse", ordering.worse)]
        metrics += [(f"{at}.metric", ordering.metric), *((f"{at}.also", metric) for metric in ordering.also)]
    for at, paper in [("paper", sweep.paper), *((f"groups.{name}.paper", g.paper) for name, g in sweep.groups.items())]:
        rows += [(at, variant) for variant in paper]
        metrics += [(f"{at}.{variant}", metric) for variant, numbers in paper.items() for metric in numbers]
    return rows, metrics
