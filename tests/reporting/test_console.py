"""Consoles and progress: where text goes, that it is plain when piped, and that it is not altered."""

from __future__ import annotations

import json
import sys

import pytest
from rich.text import Text

from cen_cli.reporting import console, progress, tables
from cen_cli.results import ReplacedCount
from cen_cli.wording import printable

Captured = pytest.CaptureFixture[str]


def test_piped_text_is_plain_and_never_cut(capsys: Captured) -> None:
    console.out().print(Text("[void]" + "x" * 300, style="bold"))
    console.out().print("runs/a:key:b")  # a code of an emoji
    assert capsys.readouterr().out == "[void]" + "x" * 300 + "\nruns/a:key:b\n"


def test_no_control_character_of_a_name_reaches_a_terminal(capsys: Captured) -> None:
    name = "wall\x1b]0;title\x07\x1b[31m\x9b2J\u202ellaw\udcff"
    table = tables.new_table("class", numbers=())
    table.add_row(name)
    console.out().print(table)
    console.note(name)
    console.print_error(name, name)
    console.print_text(name)
    console.print_json({name: name})
    captured = capsys.readouterr()
    for text in captured:
        assert text.count("]0;title") >= 3
        assert printable(text) == text
    assert json.loads(captured.out[captured.out.index("{") :]) == {name: name}


def test_error_and_hint_keep_markup_and_long_lines(capsys: Captured) -> None:
    console.print_error("a [bold]b[/bold] " + "word " * 100, "see [this]")
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first.startswith("error: a [bold]b[/bold] word")
    assert second == "hint: see [this]"


@pytest.mark.parametrize(("no_color", "colored"), [(None, True), ("1", False)])
def test_terminal_shows_colour_unless_told_not_to(
    no_color: str | None, colored: bool, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console.print_error("bad")
    assert ("\x1b[1;31m" in capsys.readouterr().err) is colored


def test_json_is_one_document_of_records_without_nan(capsys: Captured) -> None:
    console.print_json({"count": ReplacedCount("rgb", 1, 4, 8), "nan": float("nan"), "name": "Größe"})
    text = capsys.readouterr().out
    assert "Größe" in text
    document = json.loads(text)
    assert document["nan"] is None
    assert document["count"]["share_of_pressed"] == 0.25


def test_note_goes_to_stderr_as_it_is(capsys: Captured) -> None:
    console.note("[x] done")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "[x] done\n")


def test_text_ends_in_one_newline(capsys: Captured) -> None:
    console.print_text("a")
    console.print_text("b\n")
    assert capsys.readouterr().out == "a\nb\n"


def test_piped_progress_says_the_end_and_now_and_then_a_line(capsys: Captured) -> None:
    now = [0.0]
    counter = progress.PlainCounter("rendering", clock=lambda: now[0])
    for done in range(1, 101):
        now[0] += 0.5
        counter(done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "rendering: 20/100, 0:00:40 left",
        "rendering: 40/100, 0:00:30 left",
        "rendering: 60/100, 0:00:20 left",
        "rendering: 80/100, 0:00:10 left",
        "rendering: 100/100",
    ]


def test_piped_progress_of_what_was_done_already_is_silent(capsys: Captured) -> None:
    with progress.Terminal().counting("rendering") as advance:
        advance(4, 4)
    assert capsys.readouterr().err == ""


def test_piped_progress_that_is_never_told_anything_is_silent(capsys: Captured) -> None:
    with progress.Terminal().counting("rendering"):
        pass
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_terminal_progress_draws_a_bar_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.Terminal().counting("evaluating [x]") as advance:
        advance(4, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "evaluating [x]" in captured.err
    assert "4/4" in captured.err
