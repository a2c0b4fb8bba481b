"""Checks a data set before it is trained on: statistics of every split, and what looks wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cen_cli.data.inspect import problems
from cen_cli.data.inspect.split_statistics import ModalityStatistics, SplitStatistics, split_statistics
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.results import SPLITS, VOID, Advance, ClassShare, unheard
from cen_cli.results.datasets import DataCheck, Finding, ModalityFacts, SplitFacts

Open = Callable[[str], ViewDataset]
"""Gives the data set of a split."""


def check_data(
    recipe: str,
    opened: Open,
    *,
    multiple: int,
    wanted: int | None = None,
    progress: Callable[[str], Advance] = lambda _: unheard,
) -> DataCheck:
    """Check train, val and test (unless that is val) of a data set; `recipe` is what it is called.

    `wanted`: views of each split that are opened, all by default. `multiple`: what the sides of evaluated views
    must be multiples of. `progress` gives, for a split, what is told (views done, views in all). Every DataError
    becomes a finding.
    """
    parts: list[SplitStatistics] = []
    findings: list[Finding] = []
    for split in SPLITS:
        try:
            data = opened(split)
        except DataError as error:  # a folder that is not there is not there for any split: said once
            said = {(finding.text, finding.modality) for finding in findings}
            new = problems.not_built(split, error)
            findings += [finding for finding in new if (finding.text, finding.modality) not in said]
            continue
        if any(_same_views(data, part.data) for part in parts if part.split == "val" and split == "test"):
            continue
        part = split_statistics(data, split, wanted=wanted, progress=progress(split))
        findings += problems.of_split(part, multiple)
        parts.append(part)
    findings += problems.shared_views(parts)
    errors_first = sorted(findings, key=lambda finding: finding.severity != "error")
    return DataCheck(recipe, tuple(_split_facts(part) for part in parts), tuple(errors_first))


def _same_views(one: ViewDataset, other: ViewDataset) -> bool:
    return len(one) == len(other) and all(one.files(index) == other.files(index) for index in range(len(one)))


def _split_facts(part: SplitStatistics) -> SplitFacts:
    names = part.data.class_names
    total = sum(count for label, count in part.labels.items() if label != VOID)
    return SplitFacts(
        split=part.split,
        views=len(part.data),
        opened=len(part.indices),
        modalities=tuple(_modality_facts(modality, len(names)) for modality in part.modalities.values()),
        labels=tuple(ClassShare(name, part.labels[label] / max(total, 1)) for label, name in enumerate(names)),
    )


def _modality_facts(modality: ModalityStatistics, classes: int) -> ModalityFacts:
    finite = bool(modality.lows) and not np.isnan(modality.lows).all()
    shares = modality.invalid
    mean, std = modality.moments
    return ModalityFacts(
        name=modality.name,
        expected=problems.expectation(modality.spec, classes, metres=modality.one_file),
        stored=tuple(name for name, _ in modality.types.most_common()),
        sizes=tuple(size for size, _ in modality.sizes.most_common()),
        low=float(np.nanmin(modality.lows)) if finite else None,
        high=float(np.nanmax(modality.highs)) if finite else None,
        invalid=sum(shares.values()) / len(shares) if shares else None,
        mean=mean,
        std=std,
    )
