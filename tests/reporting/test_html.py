"""Pages as HTML: what a terminal's parts become, and that a page needs nothing beside it."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.text import Text

from cen_cli.errors import SaveError
from cen_cli.reporting import html, tables
from cen_cli.results import Evaluation
from cen_cli.wording import printable
from tests.pages import check_page


def png(width: int = 4, height: int = 3) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def page() -> html.Page:
    """One of every block, with text that would be markup."""
    table = tables.new_table("branch", numbers=("a < b",))
    table.add_row("<script>alert(1)</script>", "1.5", style="bold")
    blocks = (
        html.Words("5 < 6 & 7"),
        html.listing(table),
        html.listing(tables.facts([("key", '"quoted"'), ("", "goes on")])),
        html.Picture(png(), alt='a "red" one', caption="red"),
        html.Picture(png(900), alt="wide", caption="wide", style="colours"),
        html.Gallery((html.Picture(png(), alt="one", caption="one"), html.Picture(png(900), alt="two", caption="two"))),
        html.Folded("more", (html.Code("cen eval 'a b'"), html.Folded("still more", (html.Words("deep"),)))),
    )
    sections = (html.Section("one", "One", blocks), html.Section("two", "Two", ()))
    return html.Page("run <1>", "sub", "good", "Fine", ("first", "second"), sections, "foot")


def test_a_page_is_whole_and_escapes_all_text(page: html.Page) -> None:
    text = html.rendered(page)
    problems, shown, images = check_page(text)
    assert problems == []
    assert images == 4
    assert "<script>alert(1)</script>" in shown
    assert "5 < 6 & 7" in shown
    assert "&lt;script&gt;" in text


def test_a_page_has_no_control_characters(page: html.Page) -> None:
    odd = html.rendered(dataclasses.replace(page, title="a\x1b[31m\x9b\u202e"))
    assert "a\ufffd[31m\ufffd\ufffd" in odd
    assert printable(odd) == odd


def test_only_wide_pictures_that_stand_alone_scroll(page: html.Page) -> None:
    text = html.rendered(page)
    assert text.count('role="region" aria-label="wide"') == 1
    assert 'aria-label="two"' not in text


def test_an_empty_cell_is_no_header(page: html.Page) -> None:
    assert '<th scope="row"></th>' not in html.rendered(page)


def test_a_terminals_table_keeps_its_cells(evaluation: Evaluation) -> None:
    (table,) = tables.score_tables(evaluation)
    listed = html.listing(table)
    assert listed.head == ("branch", "weight", "pixel acc", "mean acc", "mean IoU")
    assert listed.rows[1] == ("depth", "0.250", "90.00", "80.00", "37.50")
    assert listed.strong == (False, False, True)
    assert listed.numbers == (False, True, True, True, True)


def test_a_table_of_facts_has_no_head() -> None:
    listed = html.listing(tables.facts([("name", "value")]))
    assert (listed.head, listed.rows) == ((), (("name", "value"),))


def test_lines_that_follow_each_other_are_one_paragraph() -> None:
    table = tables.facts([("a", "b")])
    found = html.blocks(["first line", Text("second"), table, "", "third"])
    assert found == (html.Words("first line second"), html.listing(table), html.Words("third"))


def test_large_pictures_of_views_become_jpeg() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    small, large = html.image_content(Image.new("RGB", (50, 50))), html.image_content(Image.fromarray(noise))
    assert html.Picture(small, "", "").uri.startswith("data:image/png;")
    assert html.Picture(large, "", "").uri.startswith("data:image/jpeg;")
    assert len(large) < 300_000


def test_a_page_is_written_whole_or_not_at_all(page: html.Page, tmp_path: Path) -> None:
    path = html.write_page(page, tmp_path / "new" / "page.html")
    assert path.read_text() == html.rendered(page)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match=r"could not write .*file/page\.html"):
        html.write_page(page, tmp_path / "file" / "page.html")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "new"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("<p>", "</main> closes something else"),
        ("</p>", "</p> closes something else"),
        ('<img src="a.png" alt="a">', "a picture that is not in the page"),
        ('<a href="https://example.org">a</a>', "a refers to https://example.org"),
        ('<a href="#nowhere">a</a>', "nothing is called nowhere"),
        ('<p id="one"></p>', "an id stands twice"),
        ("<script></script>", "a script"),
        ("<style>@import url(x)</style>", "a style that loads something"),
        ("<table><tr><th>a</th></tr></table>", "a table header without a scope"),
    ],
)
def test_the_checker_finds_what_is_wrong(page: html.Page, broken: str, problem: str) -> None:
    text = html.rendered(page).replace("</main>", f"{broken}</main>")
    assert any(found.startswith(problem) for found in check_page(text)[0])
