"""Pictures in rows and columns with captions: the paper that panels and contact sheets are laid out on."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from cen_cli.results import Frame

Array = npt.NDArray[Any]

GAP = 6
TEXT_HEIGHT = 18
SMALLEST = 128
"""Pixels: narrower pictures are drawn larger, by a whole factor, as long as they fit into this."""
BACKGROUND, INK = (255, 255, 255), (20, 20, 20)


def sheet(
    rows: Sequence[Mapping[str, Array]],
    names: Sequence[str],
    frames: Sequence[Frame | None] | None = None,
    *,
    longest: int | None = None,
) -> Image.Image:
    """Rows of pictures by caption: captions above the columns, each view's name above its row.

    A caption that is wider than the pictures goes on in another line after a hyphen, if it has one.

    `frames`: a region of each row that is framed in all its pictures, or None. `longest`: pixels to which the longer
    side of larger pictures is brought.

    Raises ValueError without rows, or where their captions differ.
    """
    if not rows:
        raise ValueError("a panel needs at least one row")
    if longest is not None:
        rows = [{caption: reduced(picture, longest) for caption, picture in row.items()} for row in rows]
    captions = list(rows[0])
    if any(list(row) != captions for row in rows):
        raise ValueError("the rows of a panel must have the same inputs and predictions")
    widest = max(picture.shape[1] for row in rows for picture in row.values())
    factor = max(SMALLEST // widest, 1)
    rows = [{caption: enlarged(picture, factor) for caption, picture in row.items()} for row in rows]
    cell = widest * factor
    heads = [_folded(caption, cell) for caption in captions]
    cell = max(cell, *(text_width(line) for head in heads for line in head))
    heights = [TEXT_HEIGHT + max(picture.shape[0] for picture in row.values()) + GAP for row in rows]
    head_height = TEXT_HEIGHT * max(map(len, heads))
    whole = Image.new("RGB", (GAP + len(captions) * (cell + GAP), GAP + head_height + sum(heights)), BACKGROUND)
    draw = ImageDraw.Draw(whole)
    lefts = [GAP + index * (cell + GAP) for index in range(len(captions))]
    for left, head in zip(lefts, heads, strict=True):
        for index, line in enumerate(head):
            text(draw, (left, GAP + index * TEXT_HEIGHT), line)
    top = GAP + head_height
    for row, name, height, frame in zip(rows, names, heights, frames or [None] * len(rows), strict=True):
        text(draw, (GAP, top), name)
        for left, picture in zip(lefts, row.values(), strict=True):
            corner = (left, top + TEXT_HEIGHT)
            whole.paste(Image.fromarray(np.ascontiguousarray(picture)), corner)
            if frame is not None:
                _draw_frame(draw, corner, picture.shape[:2], frame)
        top += height
    return whole


def _folded(caption: str, width: int) -> list[str]:
    """The caption in lines of at most `width` pixels, as far as its hyphens allow."""
    first, *others = re.findall(r"[^-]*-+|[^-]+", caption) or [caption]
    lines = [first]
    for piece in others:
        if text_width(lines[-1] + piece) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines


def reduced(picture: Array, longest: int) -> Array:
    """A picture [H, W, 3], its longer side brought to `longest` pixels where it is longer."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    return np.asarray(image)


def enlarged(picture: Array, factor: int) -> Array:
    """A picture [H, W, 3], every pixel drawn `factor` times wider and higher."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def _draw_frame(draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, ...], frame: Frame) -> None:
    """A white line beside a black one, so that it shows on every picture."""
    top, left, bottom, right = frame
    height, width = size
    place = (corner[0] + left * width, corner[1] + top * height, corner[0] + right * width, corner[1] + bottom * height)
    draw.rectangle(place, outline=(0, 0, 0), width=3)
    draw.rectangle((place[0] + 1, place[1] + 1, place[2] - 1, place[3] - 1), outline=BACKGROUND, width=1)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """That of the plots, which has the letters of many languages."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size=11)


def text_width(words: str) -> int:
    """Pixels that the words take."""
    return int(np.ceil(_font().getlength(words)))


def text(draw: ImageDraw.ImageDraw, place: tuple[int, int], words: str) -> None:
    """Write words with their upper left corner at `place` (x, y)."""
    draw.text(place, words, fill=INK, font=_font())
