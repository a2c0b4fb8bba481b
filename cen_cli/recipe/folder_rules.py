"""The rules between the keys of `[data.folders]`: what files of one's own need so that they can be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cen_cli.recipe.paths import Path, dotted
from cen_cli.recipe.wording import Problem, perhaps, show_value

Modality = Mapping[str, Any]

RESERVED = ("ensemble", "labels", "target")
"""Names that mean something else beside those of modalities."""
LIMITS = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-32768, 32767)}
"""What a pixel of a type can hold."""

_AT = ("data", "folders", "modalities")
_LABELS = ("data", "folders", "labels")
_OF_MEASUREMENTS = ("scale", "unit", "invalid")


def _inputs_are_modalities(
    kind: str, inputs: list[str], target: str | None, modalities: Mapping[str, Any]
) -> Iterator[Problem]:
    if kind != "folders":
        return
    names = list(modalities)
    if not names:
        yield Problem(
            _AT, "[data.folders.modalities]: missing; one table a modality, such as [data.folders.modalities.rgb]"
        )
        return
    wanted = f"one of [data.folders.modalities]: {', '.join(names)}"
    for name in inputs:
        if name not in names:
            yield Problem(("data", "inputs"), f'data.inputs: "{name}" is not {wanted}{perhaps(name, names)}')
    if target is not None and target not in names:
        yield Problem(("data", "target"), f'data.target = "{target}": {wanted}{perhaps(target, names)}')


def _names_are_free(modalities: Mapping[str, Any]) -> Iterator[Problem]:
    for name in modalities:
        path = (*_AT, name)
        if name in RESERVED:
            yield Problem(path, f'[{dotted(path)}]: "{name}" means something else here; another name')
        elif not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            yield Problem(path, f"[{dotted(path)}]: a name of letters, digits, dashes and underscores")


def _measurements(modalities: Mapping[str, Modality]) -> Iterator[Problem]:
    for name, modality in modalities.items():
        path = (*_AT, name)
        if modality["kind"] == "measurement":
            yield from _range_of_measurement(path, modality)
            continue
        for key in _OF_MEASUREMENTS:
            if modality.get(key) not in (None, []):
                shown = f"{dotted((*path, key))} = {show_value(modality[key])}"
                yield Problem(
                    (*path, key), f'{shown}: read only with kind = "measurement", and it is "{modality["kind"]}"'
                )


def _range_of_measurement(path: tuple[str, ...], modality: Modality) -> Iterator[Problem]:
    if "range" not in modality:
        yield Problem(
            (*path, "range"),
            f"{dotted((*path, 'range'))}: missing; a measurement needs its [lowest, highest], in its unit",
        )


def _ranges(modalities: Mapping[str, Modality]) -> Iterator[Problem]:
    for name, modality in modalities.items():
        path = (*_AT, name, "range")
        if modality["kind"] == "normals" and modality["channels"] != 3:
            key = (*_AT, name, "channels")
            yield Problem(key, f'{dotted(key)} = {modality["channels"]}: 3 with kind = "normals"')
        if modality.get("range") is None:
            continue
        low, high = modality["range"]
        shown = f"{dotted(path)} = {show_value(modality['range'])}"
        if low == high:
            yield Problem(path, f"{shown}: two different numbers")
        yield from _reachable(path, shown, modality)


def _bands(modalities: Mapping[str, Modality]) -> Iterator[Problem]:
    for name, modality in modalities.items():
        path, bands = (*_AT, name, "bands"), modality.get("bands", [])
        shown = f"{dotted(path)} = {show_value(bands)}"
        if bands and (len(bands) != modality["channels"] or len(set(bands)) != len(bands)):
            yield Problem(path, f"{shown}: one for each of channels = {modality['channels']}, all different")
        if bands and modality.get("convert"):
            yield Problem(path, f"{shown}: beside convert = true, which is for pictures as a whole; remove one of them")
        if modality.get("convert") and modality.get("stored", "uint8") != "uint8":
            key = (*_AT, name, "convert")
            yield Problem(key, f'{dotted(key)} = true: with stored = "uint8", and it is "{modality["stored"]}"')


def _tolerance(
    tolerance: int, stored: str, classes: list[str], first: int | None, values: list[int]
) -> Iterator[Problem]:
    if not tolerance:
        return
    path = (*_LABELS, "tolerance")
    shown = f"{dotted(path)} = {tolerance}"
    taken = list(values) or [(first or 0) + number for number in range(len(classes))]
    if stored != "index" or len(taken) != 2:
        yield Problem(path, f'{shown}: for two classes with stored = "index"; store other label maps as PNG')
    elif 2 * tolerance >= abs(taken[1] - taken[0]):
        yield Problem(path, f"{shown}: less than half of what lies between the classes' values {show_value(taken)}")


def _reachable(path: tuple[str, ...], shown: str, modality: Modality) -> Iterator[Problem]:
    """A range must hold some value that the files can hold; that of an image must hold no other."""
    low, high = modality["range"]
    stored = modality.get("stored", "uint8")
    if stored not in LIMITS:
        return
    scale = modality.get("scale", 1)
    least, most = (limit / scale for limit in LIMITS[stored])
    if modality["kind"] != "measurement" and (low < least or high > most):
        yield Problem(path, f'{shown}: stored values, between {least:g} and {most:g} with stored = "{stored}"')
    elif low >= most or high <= least:
        unit = f"{stored} with {scale:g} steps a unit" if scale != 1 else stored
        yield Problem(path, f"{shown}: some of what the files can hold, which is {least:g} to {most:g} ({unit})")


def _labels_of_a_segmentation(
    kind: str, task: str, pattern: str, stored: str, classes: Sequence[str], colors: Sequence[Any]
) -> Iterator[Problem]:
    if kind != "folders" or task != "segmentation":
        return
    if not pattern:
        yield Problem((*_LABELS, "pattern"), 'data.folders.labels.pattern: missing; such as "masks/{stem}.png"')
    if not classes:
        yield Problem((*_LABELS, "classes"), "data.folders.labels.classes: missing; the names of the classes, in order")
    elif (colors or stored == "color") and len(colors) != len(classes):
        yield Problem(
            (*_LABELS, "colors"),
            f"data.folders.labels.colors: {len(colors)} colours; one for each of the {len(classes)} classes",
        )


def _values_of_labels(
    classes: list[str], first: int | None, values: list[int], void: list[int] | None
) -> Iterator[Problem]:
    path = (*_LABELS, "values")
    shown = f"data.folders.labels.values = {show_value(values)}"
    if values and first is not None:
        yield Problem(path, f"{shown}: beside data.folders.labels.first = {first}; remove one of them")
    if values and (len(values) != len(classes) or len(set(values)) != len(values)):
        yield Problem(path, f"{shown}: one for each of the {len(classes)} classes, all different")
    taken = values or range(first or 0, (first or 0) + len(classes))
    both = sorted(set(void or ()) & set(taken))
    if both:
        yield Problem(
            (*_LABELS, "void"),
            f"data.folders.labels.void = {show_value(void)}: {both[0]} is the stored value of a class, "
            f'"{classes[list(taken).index(both[0])]}"',
        )


def _colors_of_labels(stored: str, colors: list[list[int]], void: list[list[int]] | None) -> Iterator[Problem]:
    if stored != "color":
        return
    twice = [color for color in colors if colors.count(color) > 1]
    if twice:
        yield Problem((*_LABELS, "colors"), f"data.folders.labels.colors: {twice[0]} is named twice")
    both = [color for color in void or () if color in colors]
    if both:
        yield Problem(
            (*_LABELS, "void_colors"),
            f"data.folders.labels.void_colors = {show_value(void)}: {both[0]} is the colour of a class",
        )


def _fields_agree(
    kind: str, task: str, inputs: list[str], target: str | None, modalities: Mapping[str, Modality], labels: str
) -> Iterator[Problem]:
    if kind != "folders":
        return
    used = [name for name in (*inputs, target or "") if name in modalities]
    patterns: dict[tuple[str, ...], str] = {(*_AT, name, "pattern"): modalities[name]["pattern"] for name in used}
    if task == "segmentation" and labels:
        patterns[(*_LABELS, "pattern")] = labels
    for field in ("{group}", "{split}"):
        have = [path for path, pattern in patterns.items() if field in pattern]
        lack = [path for path, pattern in patterns.items() if field not in pattern]
        if have and lack:
            yield Problem(
                lack[0],
                f'{dotted(lack[0])} = "{patterns[lack[0]]}": has no {field}, and {dotted(have[0])} = '
                f'"{patterns[have[0]]}" has; all patterns or none',
            )


def _one_way_to_split(
    kind: str, train: str, val: str, test: str, inputs: list[str], modalities: Mapping[str, Any]
) -> Iterator[Problem]:
    if kind != "folders":
        return
    lists = {"train_list": train, "val_list": val, "test_list": test}
    given = [name for name, value in lists.items() if value]
    if given and not (train and val):
        missing = next(name for name in lists if name not in given)
        yield Problem(
            ("data", missing), f"data.{missing}: missing; data.{given[0]} is given, and train and val belong together"
        )
    split = [name for name in inputs if "{split}" in modalities.get(name, {}).get("pattern", "")]
    if given and split:
        path = ("data", given[0])
        yield Problem(
            path,
            f'data.{given[0]} = "{lists[given[0]]}": the patterns have {{split}}, which divides the views already; '
            "remove one of them",
        )


RULES: list[tuple[list[Path], Callable[..., Iterator[Problem]]]] = [
    ([tuple(key.split(".")) for key in keys.split()], rule)
    for keys, rule in (
        ("data.kind data.inputs data.target data.folders.modalities", _inputs_are_modalities),
        ("data.folders.modalities", _names_are_free),
        ("data.folders.modalities", _measurements),
        ("data.folders.modalities", _ranges),
        ("data.folders.modalities", _bands),
        (
            "data.folders.labels.tolerance data.folders.labels.stored data.folders.labels.classes "
            "data.folders.labels.first data.folders.labels.values",
            _tolerance,
        ),
        (
            "data.kind task data.folders.labels.pattern data.folders.labels.stored data.folders.labels.classes "
            "data.folders.labels.colors",
            _labels_of_a_segmentation,
        ),
        (
            "data.folders.labels.classes data.folders.labels.first data.folders.labels.values data.folders.labels.void",
            _values_of_labels,
        ),
        ("data.folders.labels.stored data.folders.labels.colors data.folders.labels.void_colors", _colors_of_labels),
        (
            "data.kind task data.inputs data.target data.folders.modalities data.folders.labels.pattern",
            _fields_agree,
        ),
        (
            "data.kind data.train_list data.val_list data.test_list data.inputs data.folders.modalities",
            _one_way_to_split,
        ),
    )
]
"""(keys that a rule reads, rule)."""
