"""Which classes are taken for which: words, numbers and a picture that say the same."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from PIL import Image

from cen_cli.reporting.plots import draw_confusion
from cen_cli.reporting.tables import confusion_csv, confusion_sentences
from cen_cli.results import Evaluation, as_json

COUNTS = ((60, 30, 10), (0, 100, 0), (5, 0, 15))


@pytest.fixture
def confused(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, confusion=COUNTS)


def test_the_most_confused_pairs_come_first(confused: Evaluation, evaluation: Evaluation) -> None:
    assert [(pair.truth, pair.labelled, pair.share) for pair in confused.most_confused(2)] == [
        ("wall", "floor", 0.3),
        ("ceiling", "wall", 0.25),
    ]
    (sentence,) = confusion_sentences(confused)
    assert sentence.startswith("Most confused: 30.0% of wall is labelled floor; 25.0% of ceiling is labelled wall;")
    assert confusion_sentences(evaluation) == []


def test_numbers_are_written_with_their_names_and_read_back(confused: Evaluation) -> None:
    head, *rows = csv.reader(io.StringIO(confusion_csv(confused)))
    assert head == ["true class", "wall", "floor", "ceiling"]
    assert rows[0] == ["wall", "60", "30", "10"]
    assert Evaluation.from_json(as_json(confused)).confusion == COUNTS


def test_names_with_dollars_and_control_characters_are_no_mathematics(confused: Evaluation, tmp_path: Path) -> None:
    odd = dataclasses.replace(confused, class_names=("$\\frac$", "a$b$c", "x\x1b[31m"))
    assert draw_confusion(odd, tmp_path / "odd.png").is_file()


def test_the_picture_shows_the_shares(confused: Evaluation, tmp_path: Path) -> None:
    """Other shares give another picture, the same shares of more pixels the same one."""

    def drawn(name: str, counts: tuple[tuple[int, ...], ...]) -> bytes:
        with Image.open(draw_confusion(dataclasses.replace(confused, confusion=counts), tmp_path / name)) as image:
            return image.tobytes()

    first = drawn("a.png", COUNTS)
    assert drawn("b.png", tuple(tuple(10 * count for count in row) for row in COUNTS)) == first
    assert drawn("c.png", ((30, 60, 10), *COUNTS[1:])) != first
