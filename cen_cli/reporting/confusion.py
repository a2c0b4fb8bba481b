"""Which classes are taken for which others: in words, and as a table of numbers."""

from __future__ import annotations

import csv
import io

from cen_cli.reporting import formats
from cen_cli.results import Evaluation


def sentences(evaluation: Evaluation) -> list[str]:
    """The most confused pairs of classes; nothing where none is known."""
    pairs = [
        f"{formats.percent(pair.share, 1)}% of {pair.truth} is labelled {pair.labelled}"
        for pair in evaluation.most_confused()
    ]
    return [f"Most confused: {'; '.join(pairs)}."] if pairs else []


def confusion_csv(evaluation: Evaluation) -> str:
    """Pixels by true class (a row each) and labelled class (a column each), with the classes' names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *evaluation.class_names])
    writer.writerows([name, *row] for name, row in zip(evaluation.class_names, evaluation.confusion, strict=True))
    return text.getvalue()
