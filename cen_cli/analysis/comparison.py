"""Several networks on the same views, those that are named, dark, bright, or where outputs differ most (S-Fig 6 to 10).

Differences are those between the networks' final outputs, the ensemble's where there is one: for label maps the share
of pairs of networks that disagree at a pixel, for images the range of their values there, averaged over channels.
Light is the mean luminance of the picture that is seen, or made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from cen_cli.analysis.pictures import as_array
from cen_cli.data import tensors
from cen_cli.data.sample import RawView
from cen_cli.data.tensors import DepthMap
from cen_cli.data.views import ViewDataset
from cen_cli.errors import UsageError
from cen_cli.results import Frame, PictureRow
from cen_cli.wording import did_you_mean

FRAME = 1 / 3
"""Side of the framed region, as a share of the picture's."""
CANDIDATES = 64
"""Views among which those are sought that are darkest, or where networks differ most, evenly spaced over the split."""
LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue (ITU-R BT.709)."""

By = Literal["difference", "darkest", "brightest"]

Difference = npt.NDArray[np.float64]
MakeRow = Callable[[RawView], PictureRow]
"""A network, by what it makes of a view."""
Branches = Mapping[str, Literal["before", "instead"]]
"""Networks whose branches are shown, before their final output or instead of it."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """Which views of a split are shown: those that are named, or of each kind of `by` so many."""

    count: int = 0
    by: Sequence[By] = ("difference",)
    names: Sequence[str] = ()


def compared_views(
    networks: Mapping[str, MakeRow], data: Mapping[str, ViewDataset], shown: Shown, branches: Branches
) -> list[PictureRow]:
    """Views beside what networks, by name, make of them, the region framed in which their final outputs differ most.

    `data` holds the same views by network, with the inputs that it takes. `inputs` of a row are all of these, `outputs`
    each network's final one and `branches`. No region is framed where they agree. Raises UsageError for a name that no
    view has, where there is no picture whose light could be measured, and where networks see a view in different sizes.
    """
    difference = label_disagreement if next(iter(data.values())).target is None else image_range

    def row(index: int) -> tuple[PictureRow, Difference]:
        views = {name: data[name].view(index) for name in networks}
        if len({view.size for view in views.values()}) > 1:
            sizes = ", ".join(f"{name} {' x '.join(map(str, view.size))}" for name, view in views.items())
            raise UsageError(f"no picture shows views of different sizes side by side: {sizes} pixels")
        rows = {name: make(views[name]) for name, make in networks.items()}
        inputs = {key: picture for each in rows.values() for key, picture in each.inputs.items()}
        outputs = _named({name: each.outputs for name, each in rows.items()}, branches, inputs)
        differing = difference([[*each.outputs.values()][-1] for each in rows.values()])
        return dataclasses.replace(next(iter(rows.values())), inputs=inputs, outputs=outputs), differing

    return _chosen(row, data, shown)


def _named(
    outputs: Mapping[str, Mapping[str, np.ndarray]], branches: Branches, inputs: Collection[str]
) -> dict[str, np.ndarray]:
    """Each network's last output under its name; the others before or instead of it, as `network: branch`.

    A network that is called as an input is told from that input's branch.
    """
    named: dict[str, np.ndarray] = {}
    for network, made in outputs.items():
        *others, last = made
        wanted = branches.get(network)
        named |= {f"{network}: {branch}": made[branch] for branch in others if wanted}
        if wanted != "instead" or not others:
            named[f"{network} (network)" if network in inputs else network] = made[last]
    return named


# ---- which views ----


def _chosen(
    row: Callable[[int], tuple[PictureRow, Difference]], data: Mapping[str, ViewDataset], shown: Shown
) -> list[PictureRow]:
    """The rows of the views that are to be shown, each with its region framed."""
    first = next(iter(data.values()))
    if shown.names:
        return [_framed(*row(_place(name, first.names))) for name in shown.names]
    few = np.unique(np.linspace(0, len(first) - 1, min(len(first), CANDIDATES)).round().astype(int)).tolist()
    rows: list[PictureRow] = []
    for by in shown.by:
        if by == "difference":
            worst = sorted((row(index) for index in few), key=lambda pair: -float(pair[1].mean()))
            rows += [_framed(*pair) for pair in worst[: shown.count]]
            continue
        light = {index: luminance(each.view(index) for each in data.values()) for index in few}
        for index in sorted(few, key=light.__getitem__, reverse=by == "brightest")[: shown.count]:
            lit = _framed(*row(index))
            rows.append(dataclasses.replace(lit, name=f"{lit.name}, {by}: luminance {light[index]:.0f} of 255"))
    return rows


def _framed(row: PictureRow, difference: Difference) -> PictureRow:
    return dataclasses.replace(row, frame=most_different_region(difference) if difference.any() else None)


def _place(name: str, names: Sequence[str]) -> int:
    if name not in names:
        hint = did_you_mean(name, names) or f"the first is {names[0]!r}"
        raise UsageError(f"no view {name!r} among the {len(names)} of the split", hint=hint)
    return names.index(name)


def luminance(views: Iterable[RawView]) -> float:
    """Mean luminance, 0 to 255, of what networks see of one view: of their input `rgb`, else of their first picture.

    Where inputs are depth maps alone, of the image that they are translated to. Raises UsageError where there is none.
    """
    seen = [*views]
    images = {name: image for view in reversed(seen) for name, image in view.inputs.items()}
    pictures = {name: image for name, image in images.items() if not isinstance(image, DepthMap)}
    made = [view.target for view in seen if isinstance(view.target, tensors.Image)]
    chosen = next(iter([*(pictures[name] for name in pictures if name == "rgb"), *pictures.values(), *made]), None)
    if chosen is None:
        raise UsageError(f"{seen[0].name}: no picture among inputs and target whose light could be measured")
    return float((as_array(chosen) @ np.array(LUMINANCE)).mean())


# ---- where they differ ----


def label_disagreement(maps: Sequence[np.ndarray]) -> Difference:
    """Share of pairs of label maps [H, W] that differ at each pixel, [H, W]; 0 for a single map."""
    pairs = [(one, other) for index, one in enumerate(maps) for other in maps[index + 1 :]]
    if not pairs:
        return np.zeros(maps[0].shape)
    return np.mean([one != other for one, other in pairs], axis=0)


def image_range(images: Sequence[np.ndarray]) -> Difference:
    """Largest minus smallest value at each pixel of images [H, W] or [H, W, 3], averaged over channels: [H, W]."""
    spread = np.ptp(np.stack(images).astype(np.float64), axis=0)
    return spread if spread.ndim == 2 else spread.mean(axis=-1)


def most_different_region(difference: Difference) -> Frame:
    """The region of a third of the height and width with the largest sum of differences [H, W]."""
    height, width = difference.shape
    tall, wide = (max(round(side * FRAME), 1) for side in (height, width))
    sums = np.pad(difference, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # of everything above and left
    windows = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    top, left = (int(place) for place in np.unravel_index(int(windows.argmax()), windows.shape))
    return top / height, left / width, (top + tall) / height, (left + wide) / width
