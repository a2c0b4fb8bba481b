"""A table whose columns go below each other in blocks where the terminal is too narrow for all of them.

Each block repeats the names of the rows, so that no name, number or heading is ever cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult

from cen_cli.reporting.tables import new_table

WIDEST = 120
"""Columns that a block takes at most, piped too."""

GAP = 3
"""What stands between two columns."""


@dataclass(frozen=True)
class WideTable:
    """Rows with a name each; their names fold at words, all else stays whole."""

    name: str
    """Over the rows' names."""
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """A row's name, and a cell for each of the headings."""
    bold: str = ""
    """The name of the row that stands out."""
    together: int = 1
    """How many of the last columns stay in one block."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One table a block."""
        width = min(options.max_width, WIDEST)
        longest = max(cell_len(name) for name in (self.name, *(name for name, _ in self.rows)))
        names = min(longest, max(width // 3, 16))
        for block in self._blocks(width - names - GAP):
            table = new_table(numbers=())
            table.add_column(self.name, width=names, overflow="fold")
            for column in block:
                table.add_column(self.headings[column], justify="right", no_wrap=True)
            for name, cells in self.rows:
                table.add_row(name, *(cells[column] for column in block), style="bold" if name == self.bold else None)
            yield table

    def _blocks(self, room: int) -> Iterator[list[int]]:
        """The columns of each block, as many as there is room for."""
        last = len(self.headings) - self.together
        units = [[column] for column in range(last)] + [list(range(last, len(self.headings)))]
        block: list[int] = []
        for unit in units:
            if block and sum(map(self._width, block + unit)) > room:
                yield block
                block = []
            block = block + unit
        yield block

    def _width(self, column: int) -> int:
        texts = (*self.headings[column].splitlines(), *(cells[column] for _, cells in self.rows))
        return max(map(cell_len, texts)) + GAP
