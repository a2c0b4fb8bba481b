from __future__ import annotations

import io

import pytest
from rich.console import Console

from cen_cli.reporting.sweeps import WideTable, sweep_markdown
from cen_cli.results import SweepReport


def lines(width: int, table: WideTable) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


ROWS = [
    (f"convs unshared, row {row}", [f"{row}.{column}2345 ± 0.1234 | 0.4321" for column in range(6)]) for row in (1, 2)
]
TABLE = WideTable("row", [f"score\nnumber {column}" for column in range(6)], ROWS, together=2)


@pytest.mark.parametrize(("width", "blocks"), [(80, 3), (120, 2), (500, 2)])
def test_columns_go_below_each_other_and_nothing_is_cut(width: int, blocks: int) -> None:
    shown = lines(width, TABLE)
    assert max(len(line) for line in shown) <= min(width, 120)
    text = "\n".join(shown)
    assert text.count("convs unshared, row 1") == blocks
    for column in range(6):
        assert f"number {column}" in text
        assert f"1.{column}2345 ± 0.1234 | 0.4321" in text


def test_the_last_columns_stay_together() -> None:
    last = next(line for line in lines(80, TABLE) if "number 5" in line)
    assert "number 4" in last


def test_long_names_fold_at_words() -> None:
    named = WideTable("row", ["a"], [("convolutions unshared and norms unshared", ["1"])], together=1)
    assert [line.split() for line in lines(40, named)][3:5] == [["convolutions", "1"], ["unshared", "and"]]


def test_markdown_says_what_the_table_says() -> None:
    report = SweepReport(
        "t", "S-Table 8", "on", "val", "segmentation", (), notes=("of other weights",), advice=("Take it.",)
    )
    text = sweep_markdown(report)
    assert all(said in text for said in ("The paper's numbers: S-Table 8.", "- Take it.", "- note: of other weights"))
