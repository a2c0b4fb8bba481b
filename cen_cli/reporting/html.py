"""Pages: blocks of text, tables and pictures as one HTML file that needs nothing beside it.

Pictures are in the page as data URIs, its few styles too; it has no script, loads nothing, and prints. Tables are those
that a terminal shows, so that a page and a command never say different numbers. The template escapes all text.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

import jinja2
from PIL import Image
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cen_cli.reporting.files import write_whole
from cen_cli.wording import printable

WIDE = 560
"""Pixels from which on a picture that stands alone gets a frame to scroll in."""
LARGE_PNG = 300_000
"""Bytes from which on a picture of views is stored as JPEG."""

Tone = Literal["good", "bad", "open"]
Style = Literal["lines", "colours"]


@dataclasses.dataclass(frozen=True)
class Words:
    """A paragraph."""

    kind: ClassVar = "words"
    text: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """A table of text. The first cell of a row names it."""

    kind: ClassVar = "table"
    head: tuple[str, ...]
    """Empty for a table of names and values."""
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[bool, ...]
    """Which rows stand out."""
    numbers: tuple[bool, ...]
    """Which columns hold numbers."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG or JPEG file, with the words for those who do not see it."""

    kind: ClassVar = "picture"
    content: bytes
    alt: str
    caption: str
    style: Style = "lines"
    """Lines and bars on white, which a dark page inverts; or colours that mean something, which it only dims."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        with Image.open(io.BytesIO(self.content), formats=("PNG", "JPEG")) as image:
            return image.size

    @property
    def uri(self) -> str:
        """The whole picture as a data URI."""
        kind = "png" if self.content.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.content).decode()}"

    @property
    def wide(self) -> bool:
        """Whether a telephone, fitting it to its screen, would shrink it beyond reading."""
        return self.size[0] > WIDE


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Small pictures side by side where there is room."""

    kind: ClassVar = "gallery"
    pictures: tuple[Picture, ...]


@dataclasses.dataclass(frozen=True)
class Code:
    """Lines as they are typed or stored."""

    kind: ClassVar = "code"
    text: str


@dataclasses.dataclass(frozen=True)
class Folded:
    """Blocks behind a line that opens them."""

    kind: ClassVar = "folded"
    summary: str
    blocks: tuple[Block, ...]


Block = Words | Listing | Picture | Gallery | Code | Folded


@dataclasses.dataclass(frozen=True)
class Section:
    """One part of a page under a heading; `ident` is what links lead to."""

    ident: str
    title: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Page:
    """A whole page: what it is of, the verdict, the rest."""

    title: str
    subtitle: str
    tone: Tone
    headline: str
    verdict: tuple[str, ...]
    sections: tuple[Section, ...]
    foot: str


def write_page(page: Page, out: Path) -> Path:
    """Write the page whole or not at all. Raises SaveError."""
    return write_whole(rendered(page).encode(), out)


def rendered(page: Page) -> str:
    """The page as HTML."""
    return printable(_template().render(page=page))


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cen_cli.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def image_content(image: Image.Image) -> bytes:
    """A picture of views as the bytes of a file: PNG, or JPEG where that would be large."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    if buffer.tell() > LARGE_PNG:
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, format="JPEG", quality=88)
    return buffer.getvalue()


# --- parts of a terminal's report ---------------------------------------------------------------------------------


def blocks(parts: Iterable[RenderableType]) -> tuple[Block, ...]:
    """The parts of a report (see `tables`) as blocks; lines that follow each other become one paragraph."""
    content: list[Block] = []
    for part in parts:
        if isinstance(part, Table):
            content.append(listing(part))
        elif str(part).strip():
            before = content.pop() if content and isinstance(content[-1], Words) else None
            content.append(Words(f"{before.text} {part}" if isinstance(before, Words) else str(part)))
    return tuple(content)


def listing(table: Table) -> Listing:
    """A rich table as a table of text."""
    columns = [[_text(cell) for cell in column.cells] for column in table.columns]
    return Listing(
        head=tuple(_text(column.header) for column in table.columns) if table.show_header else (),
        rows=tuple(zip(*columns, strict=True)),
        strong=tuple(row.style is not None and "bold" in str(row.style) for row in table.rows),
        numbers=tuple(column.justify == "right" for column in table.columns),
    )


def _text(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)
