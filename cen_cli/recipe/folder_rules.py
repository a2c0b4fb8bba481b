"""The rules between the keys of `[data.folders]`: what files of one's own need so that they can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cen_cli.recipe.rules import RULES, Complaints, rule
from cen_cli.recipe.wording import perhaps, show_value
from cen_cli.results import FULL_RANGE, RESERVED

__all__ = ["RULES"]

Modality = Mapping[str, Any]

_MODALITIES = "data.folders.modalities"
_LABELS = "data.folders.labels"


@rule("data.kind data.inputs data.target data.folders.modalities")
def _inputs_are_modalities(
    kind: str, inputs: list[str], target: str | None, modalities: Mapping[str, Any]
) -> Complaints:
    if kind != "folders":
        return
    if not modalities:
        yield _MODALITIES, "missing; one table a modality, such as [data.folders.modalities.rgb]"
        return
    names = list(modalities)
    wanted = f"one of [data.folders.modalities]: {', '.join(names)}"
    for name in inputs:
        if name not in names:
            yield "data.inputs", f'"{name}" is not {wanted}{perhaps(name, names)}'
    if target is not None and target not in names:
        yield "data.target", f"{wanted}{perhaps(target, names)}"


@rule("data.folders.modalities")
def _modalities(modalities: Mapping[str, Modality]) -> Complaints:
    for name, modality in modalities.items():
        at = ("data", "folders", "modalities", name)
        if name in RESERVED:
            yield at, f'"{name}" means something else here; another name'
        elif not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            yield at, "a name of letters, digits, dashes and underscores"
        for key, text in (*_kind(modality), *_range(modality), *_bands(modality)):
            yield (*at, str(key)), text


def _kind(modality: Modality) -> Complaints:
    kind = modality["kind"]
    if kind == "measurement" and "range" not in modality:
        yield "range", "missing; a measurement needs its [lowest, highest], in its unit"
    if kind == "measurement" and modality["channels"] != 1:
        yield "channels", '1 with kind = "measurement"; a modality for each of several'
    if kind == "normals" and modality["channels"] != 3:
        yield "channels", '3 with kind = "normals"'
    for key in ("scale", "unit", "invalid") if kind != "measurement" else ():
        if modality.get(key) not in (None, []):
            yield key, f'read only with kind = "measurement", and it is "{kind}"'


def _range(modality: Modality) -> Complaints:
    """A range must hold some value that the files can hold; that of an image must hold no other."""
    low, high = modality.get("range") or (0, 1)
    stored, scale = modality.get("stored", "uint8"), modality.get("scale", 1)
    if low == high:
        yield "range", "two different numbers"
    if modality.get("range") is None or stored == "float32":
        return
    least, most = (limit / scale for limit in FULL_RANGE[stored])
    if modality["kind"] != "measurement" and (low < least or high > most):
        yield "range", f'stored values, between {least:g} and {most:g} with stored = "{stored}"'
    elif low >= most or high <= least:
        unit = f"{stored} with {scale:g} steps a unit" if scale != 1 else stored
        yield "range", f"some of what the files can hold, which is {least:g} to {most:g} ({unit})"


def _bands(modality: Modality) -> Complaints:
    bands, convert = modality.get("bands", []), modality.get("convert")
    if bands and (len(bands) != modality["channels"] or len(set(bands)) != len(bands)):
        yield "bands", f"one for each of channels = {modality['channels']}, all different"
    if bands and convert:
        yield "bands", "beside convert = true, which is for pictures as a whole; remove one of them"
    if convert and modality.get("stored", "uint8") != "uint8":
        yield "convert", f'with stored = "uint8", and it is "{modality["stored"]}"'


@rule(
    "data.kind task data.folders.labels.pattern data.folders.labels.stored data.folders.labels.classes "
    "data.folders.labels.colors"
)
def _labels_of_a_segmentation(
    kind: str, task: str, pattern: str, stored: str, classes: list[str], colors: list[Any]
) -> Complaints:
    if kind != "folders" or task != "segmentation":
        return
    if not pattern:
        yield f"{_LABELS}.pattern", 'missing; such as "masks/{stem}.png"'
    if not classes:
        yield f"{_LABELS}.classes", "missing; the names of the classes, in order"
    elif (colors or stored == "color") and len(colors) != len(classes):
        yield f"{_LABELS}.colors", f"{len(colors)} colours; one for each of the {len(classes)} classes"


@rule("loss.class_weights data.kind data.folders.labels.classes")
def _weights_of_classes(weights: str | list[float], kind: str, classes: list[str]) -> Complaints:
    if kind == "folders" and classes and isinstance(weights, list) and len(weights) != len(classes):
        yield "loss.class_weights", f"{len(weights)} numbers; one for each of the {len(classes)} classes"


@rule(
    "data.folders.labels.stored data.folders.labels.classes data.folders.labels.first data.folders.labels.values "
    "data.folders.labels.void data.folders.labels.tolerance"
)
def _values_of_labels(
    stored: str, classes: list[str], first: int | None, values: list[int], void: list[int] | None, tolerance: int
) -> Complaints:
    if values and first is not None:
        yield f"{_LABELS}.values", f"beside data.folders.labels.first = {first}; remove one of them"
    if values and (len(values) != len(classes) or len(set(values)) != len(values)):
        yield f"{_LABELS}.values", f"one for each of the {len(classes)} classes, all different"
    taken = values or [(first or 0) + number for number in range(len(classes))]
    both = sorted(set(void or ()) & set(taken))
    if both:
        yield f"{_LABELS}.void", f'{both[0]} is the stored value of a class, "{classes[taken.index(both[0])]}"'
    if tolerance and (stored != "index" or len(taken) != 2):
        yield f"{_LABELS}.tolerance", 'for two classes with stored = "index"; store other label maps as PNG'
    elif tolerance and 2 * tolerance >= abs(taken[1] - taken[0]):
        yield f"{_LABELS}.tolerance", f"less than half of what lies between the classes' values {show_value(taken)}"


@rule("data.folders.labels.stored data.folders.labels.colors data.folders.labels.void_colors")
def _colors_of_labels(stored: str, colors: list[list[int]], void: list[list[int]] | None) -> Complaints:
    twice = [color for color in colors if colors.count(color) > 1]
    if stored == "color" and twice:
        yield f"{_LABELS}.colors", f"{twice[0]} is named twice"
    both = [color for color in void or () if color in colors]
    if stored == "color" and both:
        yield f"{_LABELS}.void_colors", f"{both[0]} is the colour of a class"


@rule("data.kind task data.inputs data.target data.folders.modalities data.folders.labels.pattern")
def _fields_agree(
    kind: str, task: str, inputs: list[str], target: str | None, modalities: Mapping[str, Modality], labels: str
) -> Complaints:
    if kind != "folders":
        return
    used = [name for name in (*inputs, target or "") if name in modalities]
    patterns = {f"{_MODALITIES}.{name}.pattern": modalities[name]["pattern"] for name in used}
    if task == "segmentation" and labels:
        patterns[f"{_LABELS}.pattern"] = labels
    for field in ("{group}", "{split}"):
        have = [key for key, pattern in patterns.items() if field in pattern]
        lack = [key for key, pattern in patterns.items() if field not in pattern]
        if have and lack:
            yield lack[0], f'has no {field}, and {have[0]} = "{patterns[have[0]]}" has; all patterns or none'


@rule("data.kind data.train_list data.val_list data.test_list data.inputs data.folders.modalities")
def _one_way_to_split(
    kind: str, train: str, val: str, test: str, inputs: list[str], modalities: Mapping[str, Modality]
) -> Complaints:
    lists = {"train_list": train, "val_list": val, "test_list": test}
    named = [name for name, value in lists.items() if value]
    if kind != "folders" or not named:
        return
    if not (train and val):
        missing = next(name for name in lists if name not in named)
        yield f"data.{missing}", f"missing; data.{named[0]} is given, and train and val belong together"
    if any("{split}" in modalities.get(name, {}).get("pattern", "") for name in inputs):
        yield f"data.{named[0]}", "the patterns have {split}, which divides the views already; remove one of them"
