"""Segmentation panels: inputs, truth, every branch and the ensemble side by side, with captions and a class legend.

Pictures are uint8 [H, W, 3]; depth maps are float [H, W] in metres with 0 where there is no measurement; label maps are
integers [H, W] with `VOID` where there is no label. A palette is a sequence of (red, green, blue), one per class.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from cen_cli.reporting.sheets import BACKGROUND, GAP, INK, TEXT_HEIGHT, Array, sheet, text, text_width
from cen_cli.results import VOID, PictureRow

Palette = Sequence[Sequence[int]]


@functools.cache
def default_palette(classes: int) -> tuple[tuple[int, int, int], ...]:
    """Up to 255 colours, each as far as possible from those before it, from black (void) and from white.

    The colours of the first classes are the same however many there are.
    """
    levels = np.linspace(0, 255, 7)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    taken = [np.zeros(3), np.full(3, 255.0)]
    nearest = np.minimum(*(_colour_distance(candidates, colour) for colour in taken))
    palette = []
    for _ in range(classes):
        chosen = candidates[int(nearest.argmax())]
        palette.append(_rgb(chosen.round()))
        nearest = np.minimum(nearest, _colour_distance(candidates, chosen))
    return tuple(palette)


def _colour_distance(colours: Array, other: Array) -> Array:
    """Squared distance in RGB, weighted by what the eye makes of each channel."""
    return ((colours - other) ** 2 * (2, 4, 3)).sum(axis=-1)


def void_colour(palette: Palette) -> tuple[int, int, int]:
    """Black, or where a class is black white, or the first grey that no class has."""
    taken = {_rgb(colour) for colour in palette}
    return next(grey for grey in ((value,) * 3 for value in (0, 255, *range(1, 255))) if grey not in taken)


def colour_labels(labels: Array, palette: Palette) -> Array:
    """A label map [H, W] as a picture [H, W, 3], void in its own colour. Raises ValueError for one without a colour."""
    table = np.zeros((VOID + 1, 3), dtype=np.uint8)
    table[: len(palette)] = np.asarray(palette, dtype=np.uint8)
    table[VOID] = void_colour(palette)
    unknown = labels[(labels != VOID) & ((labels < 0) | (labels >= len(palette)))]
    if unknown.size:
        raise ValueError(f"label {int(unknown[0])} has no colour: the palette has {len(palette)}")
    return table[labels]


def depth_range(*maps: Array) -> tuple[float, float]:
    """The 2nd and 98th percentile (metres) of what was measured, so that a stray pixel does not flatten the rest."""
    measured = np.concatenate([depth[_measured(depth)] for depth in maps])
    if not measured.size:
        return 0.0, 1.0
    low, high = np.percentile(measured, (2, 98))
    return float(low), float(high)


def _measured(depth: Array) -> Array:
    return np.isfinite(depth) & (depth > 0)


def colour_depth(depth: Array, span: tuple[float, float] | None = None) -> Array:
    """A depth map [H, W] in metres as a picture [H, W, 3]: near dark, far bright, no measurement black.

    Colours span `span`, by default the map's own `depth_range`.
    """
    from matplotlib import colormaps

    low, high = depth_range(depth) if span is None else span
    measured = _measured(depth)
    scaled = np.clip((np.where(measured, depth, low) - low) / max(high - low, 1e-6), 0, 1)
    picture = (colormaps["viridis"](scaled)[..., :3] * 255).round().astype(np.uint8)
    return np.where(measured[..., None], picture, np.uint8(0))


def overlay(image: Array, labels: Array, palette: Palette, opacity: float = 0.5) -> Array:
    """The coloured label map over the picture [H, W, 3]; void pixels show the picture alone."""
    colours = colour_labels(labels, palette).astype(np.float64)
    share = np.where(labels == VOID, 0.0, opacity)[..., None]
    return ((1 - share) * image + share * colours).round().astype(np.uint8)


def segmentation_panel(
    rows: Iterable[PictureRow],
    class_names: Sequence[str],
    palette: Palette | None = None,
    *,
    truth_over: bool = False,
    longest: int | None = None,
) -> Image.Image:
    """One row of pictures per view, column captions above, the classes that occur below, where there are any.

    Pictures of one row have one size; rows may differ. With `truth_over` the true labels stand also over the first
    picture. `longest` as in `sheet`. Raises ValueError without rows or where columns differ.
    """
    rows = list(rows)
    colours = default_palette(len(class_names)) if palette is None else palette
    drawn = [_pictures(row, colours) for row in rows]
    for row, pictures in zip(rows, drawn, strict=True):
        if truth_over and row.truth is not None:
            first = next(iter(row.inputs))
            pictures[f"truth over {first}"] = overlay(pictures[first], row.truth, colours)
    parts = [sheet(drawn, [row.name for row in rows], [row.frame for row in rows], longest=longest)]
    if class_names:
        parts.append(_legend(_present(rows, len(class_names)), class_names, colours, parts[0].width))
    return Image.fromarray(np.vstack([np.asarray(part) for part in parts]))


def _pictures(row: PictureRow, palette: Palette) -> dict[str, Array]:
    """Every column of one view as a picture, by caption."""
    pictures = {name: colour_depth(values) if values.ndim == 2 else values for name, values in row.inputs.items()}
    if row.truth is not None:
        pictures["truth"] = colour_labels(row.truth, palette)
    for branch, labels in row.outputs.items():
        pictures[branch_caption(branch, row.inputs)] = colour_labels(labels, palette)
    return pictures


def branch_caption(branch: str, inputs: Iterable[str]) -> str:
    """The caption of what a branch made; branches are called as their inputs are."""
    return f"{branch} branch" if branch in inputs else branch


def _present(rows: Sequence[PictureRow], classes: int) -> list[int]:
    """The classes that occur in any truth or prediction of the panel."""
    maps = [labels for row in rows for labels in (row.truth, *row.outputs.values()) if labels is not None]
    labels_shown = set().union(*(np.unique(labels).tolist() for labels in maps))
    return sorted(label for label in labels_shown if 0 <= label < classes)


def _legend(present: Sequence[int], class_names: Sequence[str], palette: Palette, width: int) -> Image.Image:
    """Coloured squares with class names, wrapped to the width; void last."""
    entries = [(class_names[index], _rgb(palette[index])) for index in present] + [("void", void_colour(palette))]
    places, left, top = [], GAP, 0
    for name, _ in entries:
        needed = TEXT_HEIGHT + text_width(name) + 2 * GAP
        if left > GAP and left + needed > width:
            left, top = GAP, top + TEXT_HEIGHT + 2
        places.append((left, top))
        left += needed
    legend = Image.new("RGB", (width, top + TEXT_HEIGHT + GAP), BACKGROUND)
    draw = ImageDraw.Draw(legend)
    for (name, colour), (x, y) in zip(entries, places, strict=True):
        draw.rectangle((x, y + 2, x + TEXT_HEIGHT - 6, y + TEXT_HEIGHT - 4), fill=colour, outline=INK)
        text(draw, (x + TEXT_HEIGHT, y), name)
    return legend


def _rgb(colour: Sequence[float] | Array) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in colour)
    return red, green, blue
