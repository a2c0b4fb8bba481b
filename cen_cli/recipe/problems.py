"""Finds everything that is wrong with a recipe's tables at once, and says it in words.

Three passes over plain tables: types, ranges and unknown keys (pydantic), keys that would do nothing, and rules between
keys. A rule is skipped where one of the keys it reads is already known to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cen_cli.recipe import folder_rules, kinds
from cen_cli.recipe.paths import Path, dotted, holds, leaves, lookup
from cen_cli.recipe.schema import METRICS, SHARES, Recipe
from cen_cli.recipe.switches import BASELINES, READ_ONLY_WITH
from cen_cli.recipe.table import BACKBONES, Table
from cen_cli.recipe.wording import Problem, one_of, perhaps, show_value
from cen_cli.wording import nearest

Kind = TypeVar("Kind", bound=Table)


def validate(table: Mapping[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """The recipe that the tables describe, or None and every problem found."""
    recipe, problems = check_types(table, Recipe)
    wrong = [problem.path for problem in problems]
    problems += [problem for problem in _without_effect(table) if not _touches(problem.path, wrong)]
    for keys, rule in _RULES:
        if not any(_touches(key, wrong) for key in keys):
            problems += rule(*(value_of(table, key) for key in keys))
    return (None if problems else recipe), problems


def value_of(table: Mapping[str, Any], path: Path) -> Any:
    """The value at the path, or the schema's default, as TOML holds it; None where there is neither."""
    if holds(table, path):
        return lookup(table, path)
    field = _field_at(path)
    if field is None or field.is_required():
        return None
    return kinds.plain(field.get_default())


# ---- types, ranges, unknown keys ----


def check_types(table: Mapping[str, Any], kind: type[Kind]) -> tuple[Kind | None, list[Problem]]:
    """What the tables describe, of this kind of document, or None and all that is wrong with keys, types and ranges."""
    try:
        return kind.model_validate(_tuples(table)), []
    except ValidationError as error:
        found: dict[Path, Problem] = {}
        for details in error.errors(include_url=False):
            problem = _from_pydantic(table, details, kind)
            found.setdefault(problem.path, problem)
        return None, list(found.values())


def _tuples(value: Any) -> Any:
    """TOML's lists as tuples, which is what the schema holds."""
    if isinstance(value, Mapping):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


def _from_pydantic(table: Mapping[str, Any], details: Mapping[str, Any], kind: type[Table]) -> Problem:
    path, field, unknown_in = _locate(details["loc"], kind)
    key = dotted(path)
    if unknown_in is not None:
        value = lookup(table, path)
        what = f"[{key}]: no such table" if isinstance(value, dict) else f"{key} = {show_value(value)}: no such key"
        return Problem(path, what + _nearest_key(path, unknown_in))
    assert field is not None
    if not holds(table, path):
        return Problem(path, _missing(key, field))
    wanted = kinds.allowed(field)
    if details["type"] == "value_error":
        wanted = str(details["ctx"]["error"])
    value = lookup(table, path)
    close = perhaps(value, list(kinds.choices(field))) if isinstance(value, str) else ""
    return Problem(path, f"{key} = {show_value(value)}: {wanted}{close}")


def _locate(location: tuple[int | str, ...], kind: type[Table]) -> tuple[Path, FieldInfo | None, type[Table] | None]:
    """Walk pydantic's location down to a key of the schema, or to the first name that its table does not have."""
    table = kind
    path: list[str] = []
    field: FieldInfo | None = None
    parts = iter(location)
    for part in parts:
        path.append(str(part))
        field = table.model_fields.get(str(part))
        if field is None:
            return tuple(path), None, table
        inner = kinds.table_of(field.annotation)
        named = kinds.tables_by_name(field.annotation)
        if named and (name := next(parts, None)) is not None:
            path.append(str(name))
            inner = named
        if inner is None:
            break
        table = inner
    return tuple(path), field, None


def _missing(key: str, field: FieldInfo | None) -> str:
    assert field is not None
    table = kinds.table_of(field.annotation)
    if table is None:
        return f"{key}: missing; {kinds.allowed(field)}"
    needed = [name for name, inner in table.model_fields.items() if inner.is_required()]
    return f"[{key}]: missing table" + (f"; it needs {', '.join(needed)}" if needed else "")


def _nearest_key(path: Path, table: type[Table]) -> str:
    """The nearest key of the same table, or the same name in another table."""
    *above, name = path
    close = nearest(name, table.model_fields)
    if close:
        return f" (did you mean '{dotted([*above, close[0]])}'?)"
    elsewhere = keys_named(name)
    return f" (did you mean '{elsewhere[0]}'?)" if elsewhere else ""


def known_keys(table: type[Table] = Recipe, above: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every key of the schema with its path; tables come before their keys. `<name>` stands for a name of one's own."""
    for name, field in table.model_fields.items():
        path = (*above, name)
        yield path, field
        if inner := kinds.table_of(field.annotation):
            yield from known_keys(inner, path)
        elif inner := kinds.tables_by_name(field.annotation):
            yield from known_keys(inner, (*path, "<name>"))


def keys_named(name: str) -> list[str]:
    """Dotted keys of the schema whose last part is the name; where there is none, whose last part is close to it."""
    paths = [path for path, field in known_keys() if kinds.table_of(field.annotation) is None and "<name>" not in path]
    close = nearest(name, {path[-1] for path in paths})
    return [dotted(path) for path in paths if close and path[-1] == close[0]]


def _field_at(path: Path) -> FieldInfo | None:
    return next((field for known, field in known_keys() if known == path), None)


def _touches(path: Path, wrong: list[Path]) -> bool:
    """Whether the path, a table above it or a key below it is among the wrong ones."""
    return any(path[: len(other)] == other or other[: len(path)] == path for other in wrong)


# ---- keys that would do nothing ----


def _without_effect(table: Mapping[str, Any]) -> Iterator[Problem]:
    for dependent, switch, needed in READ_ONLY_WITH:
        path, switch_path = tuple(dependent.split(".")), tuple(switch.split("."))
        actual = value_of(table, switch_path)
        if actual in needed or not holds(table, path):
            continue
        held = lookup(table, path)
        for key, value in leaves(held, path).items() if isinstance(held, Mapping) else [(path, held)]:
            yield Problem(
                key,
                f"{dotted(key)} = {show_value(value)}: read only with {switch} = {one_of(needed)}, "
                f"and it is {show_value(actual)}; remove one of them",
            )


# ---- rules between keys ----


def _one_gamma_for_all(fusion: str, norm: str, choose: str) -> Iterator[Problem]:
    if fusion == "exchange" and choose != "none" and norm in ("shared", "statistics-private"):
        yield Problem(
            ("sharing", "norm"),
            f'sharing.norm = "{norm}": one gamma for all modalities leaves nothing to exchange by; '
            '"private" or "affine-private", or model.fusion = "none", or exchange.choose = "none"',
        )


def _budget_of_the_choice(choose: str, budget: float | None, every: int | None, share: float) -> Iterator[Problem]:
    if choose == "gain" and budget is None:
        yield Problem(
            ("exchange", "budget"),
            'exchange.budget: missing; exchange.choose = "gain" needs a share, such as 0.3',
        )
    if choose == "gamma" and budget is None and every is not None:
        yield Problem(
            ("exchange", "choose_every"),
            f"exchange.choose_every = {every}: the threshold decides at every step without exchange.budget; remove it",
        )
    if choose == "random" and budget is not None and share != value_of({}, ("exchange", "share")):
        yield Problem(
            ("exchange", "share"),
            f"exchange.share = {share}: not read beside exchange.budget = {budget}; remove one",
        )


def _one_input(inputs: list[str], fusion: str) -> Iterator[Problem]:
    if len(inputs) == 1 and fusion != "none":
        what = "exchange" if fusion == "exchange" else "be fused"
        yield Problem(
            ("model", "fusion"),
            f'model.fusion = "{fusion}": one modality ("{inputs[0]}") has nothing to {what} with; '
            'model.fusion = "none", or two or more data.inputs',
        )


def _one_donor(inputs: list[str], fusion: str, donors: str) -> Iterator[Problem]:
    if len(inputs) == 2 and fusion == "exchange" and donors == "groups":
        yield Problem(
            ("exchange", "donors"),
            'exchange.donors = "groups": of two modalities each has one donor; "mean", or three or more data.inputs',
        )


def _fused_at_the_input(fusion: str, stage: str) -> Iterator[Problem]:
    if fusion in BASELINES and fusion != "concat" and stage == "input":
        yield Problem(
            ("model", "fusion_stage"),
            f'model.fusion_stage = "input": images are put side by side by model.fusion = "concat", not "{fusion}"',
        )


def _width_of_resnets(backbone: str | None, width: int) -> Iterator[Problem]:
    if (backbone or "").startswith("timm/") and width != 64:
        yield Problem(("model", "encoder_width"), f"model.encoder_width = {width}: read of ResNets alone; remove it")


def _modality_to_drop(inputs: list[str], probability: float) -> Iterator[Problem]:
    if len(inputs) == 1 and probability > 0:
        yield Problem(
            ("train", "modality_dropout"),
            f'train.modality_dropout = {probability}: one modality ("{inputs[0]}") always stays; 0, or two or more '
            "data.inputs",
        )


def _stages_fill_the_run(kind: str, stages: list[int], epochs: int) -> Iterator[Problem]:
    if kind == "staged" and sum(stages) != epochs:
        yield Problem(
            ("schedule", "stage_epochs"),
            f"schedule.stage_epochs = {show_value(stages)}: the epochs of each stage, which sum to "
            f"train.epochs = {epochs} (they sum to {sum(stages)})",
        )


def _rates_by_stage(kind: str, stages: list[int], *rates: Any) -> Iterator[Problem]:
    for name, rate in zip(("encoder_lr", "decoder_lr", "gamma_lr"), rates, strict=True):
        shown = f"optimizer.{name} = {show_value(rate)}"
        if kind == "staged" and rate is not None and (not isinstance(rate, list) or len(rate) != len(stages)):
            yield Problem(
                ("optimizer", name), f"{shown}: a list of {len(stages)}, one for each stage of schedule.stage_epochs"
            )
        if kind != "staged" and isinstance(rate, list):
            yield Problem(
                ("optimizer", name), f'{shown}: one number; a list needs schedule.kind = "staged", and it is "{kind}"'
            )


def _weights_fit(weights: str, encoder_width: int) -> Iterator[Problem]:
    if weights == "imagenet" and encoder_width != 64:
        yield Problem(
            ("model", "encoder_width"),
            f'model.encoder_width = {encoder_width}: 64 with model.weights = "imagenet", since published weights have '
            'that width; or model.weights = "none"',
        )


def _scores_exist(
    task: str, inputs: list[str], fusion: str, best_by: str, expected: Mapping[str, Any]
) -> Iterator[Problem]:
    metrics = METRICS.get(task, ())
    branches = ("ensemble", *(["fused"] if fusion in BASELINES else inputs))
    names = [f"{branch}.{metric}" for branch in branches for metric in metrics]
    wanted = f"a score: {' or '.join(branches)}, a dot, then {', '.join(metrics)}"
    if best_by and best_by not in names:
        shown = f"train.best_by = {show_value(best_by)}"
        yield Problem(("train", "best_by"), f"{shown}: {wanted}{perhaps(best_by, names)}")
    for name, line in expected.items():
        path = ("expected", name)
        if name not in names:
            yield Problem(path, f"[{dotted(path)}]: named after {wanted}{perhaps(name, names)}")
        elif name.rpartition(".")[2] in SHARES and line["value"] > 1:
            yield Problem((*path, "value"), f"{dotted((*path, 'value'))} = {line['value']}: a share between 0 and 1")


def _network_of_the_task(task: str, arch: str, backbone: str | None) -> Iterator[Problem]:
    fitting = {"segmentation": ("refinenet", "pspnet"), "translation": ("unet",)}.get(task, ())
    if arch not in fitting:
        yield Problem(("model", "arch"), f'model.arch = "{arch}": {one_of(fitting)} with task = "{task}"')
    elif arch != "unet" and backbone is None:
        yield Problem(("model", "backbone"), f"model.backbone: missing; {BACKBONES}")
    elif arch == "pspnet" and backbone in ("resnet18", "resnet34"):
        yield Problem(
            ("model", "backbone"),
            f'model.backbone = "{backbone}": "resnet50", "resnet101" or "resnet152" with model.arch = "pspnet", whose '
            "dilated stages need bottleneck blocks",
        )


def _target_of_the_task(task: str, kind: str, inputs: list[str], target: str | None) -> Iterator[Problem]:
    if task == "translation" and target is None:
        yield Problem(("data", "target"), 'data.target: missing; the modality to be made, with task = "translation"')
    if target in inputs:
        yield Problem(("data", "target"), f'data.target = "{target}": it is one of data.inputs = {show_value(inputs)}')
    if task == "segmentation" and kind == "taskonomy":
        yield Problem(("data", "kind"), 'data.kind = "taskonomy": its labels are not read; with task = "translation"')
    if task == "translation" and kind in ("sunrgbd", "cityscapes"):
        yield Problem(("data", "kind"), f'data.kind = "{kind}": read with its labels only; with task = "segmentation"')


def _sizes_fit_the_unet(
    arch: str, levels: int, crop: list[int], resize: list[int] | None, size: list[int] | None, kind: str, rooms: int
) -> Iterator[Problem]:
    if arch != "unet":
        return
    whole = ("eval.size", size) if size else ("data.resize", resize)
    if kind == "rooms" and not whole[1]:
        whole = ("data.rooms.size", [rooms])
    for key, sides in (("data.crop", crop), whole):
        if sides and any(side % 2**levels for side in sides):
            yield Problem(
                tuple(key.split(".")),
                f"{key} = {show_value(sides)}: multiples of {2**levels}, since unet.levels = {levels} halve the image "
                f"{levels} times",
            )


def _crop_fits_the_discriminator(task: str, weight: float, layers: int, crop: list[int]) -> Iterator[Problem]:
    least = 3 * 2**layers
    if task == "translation" and weight > 0 and min(crop) < least:
        yield Problem(
            ("gan", "layers"),
            f"gan.layers = {layers}: a discriminator of so many layers needs crops of {least} pixels or more, and "
            f"data.crop = {show_value(crop)}",
        )


def _linear_within_the_run(kind: str, constant: int, epochs: int) -> Iterator[Problem]:
    if kind == "linear" and constant >= epochs:
        yield Problem(
            ("schedule", "constant_epochs"),
            f"schedule.constant_epochs = {constant}: fewer than train.epochs = {epochs}",
        )


def _paper_protocol(task: str, protocol: str) -> Iterator[Problem]:
    if task == "segmentation" and protocol == "paper":
        yield Problem(("eval", "protocol"), 'eval.protocol = "paper": with task = "translation"; here "strict"')


def _normalized_inputs(inputs: list[str], normalize: Mapping[str, Any]) -> Iterator[Problem]:
    for name in normalize:
        if name not in inputs:
            path = ("data", "normalize", name)
            wanted = f"one of data.inputs = {show_value(inputs)}"
            yield Problem(path, f"[{dotted(path)}]: {wanted}{perhaps(name, inputs)}")


def _windows_overlap(window: list[int] | None, stride: list[int] | None) -> Iterator[Problem]:
    if stride is None:
        return
    if window is None:
        yield Problem(("eval", "stride"), f"eval.stride = {show_value(stride)}: steps of eval.window, which is absent")
    elif any(step > side for step, side in zip(stride, window, strict=True)):
        yield Problem(
            ("eval", "stride"),
            f"eval.stride = {show_value(stride)}: at most eval.window = {show_value(window)}, lest pixels are left out",
        )


_Rule = Callable[..., Iterator[Problem]]
_RULES: list[tuple[list[Path], _Rule]] = [
    ([tuple(key.split(".")) for key in keys.split()], rule)
    for keys, rule in (
        ("model.fusion sharing.norm exchange.choose", _one_gamma_for_all),
        ("exchange.choose exchange.budget exchange.choose_every exchange.share", _budget_of_the_choice),
        ("data.inputs model.fusion", _one_input),
        ("data.inputs model.fusion exchange.donors", _one_donor),
        ("data.inputs train.modality_dropout", _modality_to_drop),
        ("model.fusion model.fusion_stage", _fused_at_the_input),
        ("model.backbone model.encoder_width", _width_of_resnets),
        ("schedule.kind schedule.stage_epochs train.epochs", _stages_fill_the_run),
        (
            "schedule.kind schedule.stage_epochs optimizer.encoder_lr optimizer.decoder_lr optimizer.gamma_lr",
            _rates_by_stage,
        ),
        ("model.weights model.encoder_width", _weights_fit),
        ("task data.inputs model.fusion train.best_by expected", _scores_exist),
        ("task model.arch model.backbone", _network_of_the_task),
        ("task data.kind data.inputs data.target", _target_of_the_task),
        ("model.arch unet.levels data.crop data.resize eval.size data.kind data.rooms.size", _sizes_fit_the_unet),
        ("task gan.adversarial_weight gan.layers data.crop", _crop_fits_the_discriminator),
        ("schedule.kind schedule.constant_epochs train.epochs", _linear_within_the_run),
        ("task eval.protocol", _paper_protocol),
        ("eval.window eval.stride", _windows_overlap),
        ("data.inputs data.normalize", _normalized_inputs),
    )
] + folder_rules.RULES
