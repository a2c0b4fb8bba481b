"""Checks a data set before it is trained on: measures every split and says what was seen and what looks wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cen_cli.data.inspect import problems
from cen_cli.data.inspect.statistics import Measured, Progress, measure
from cen_cli.data.sample import LABELS
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.results import SPLITS, VOID
from cen_cli.results.findings import DataCheck, Finding, LabelShare, ModalityFacts, SplitFacts

Open = Callable[[str], ViewDataset]
"""Gives the data set of a split."""


def check_data(
    recipe: str,
    opened: Open,
    *,
    multiple: int,
    wanted: int | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> DataCheck:
    """Look at train, val and test (unless that is val) of a data set; `recipe` is what it is called.

    `wanted`: views of each split that are opened, all by default. `multiple`: what the sides of evaluated views
    must be multiples of. `progress` gives, for a split, what is told (views done, views in all). Every DataError
    becomes a finding.
    """
    seen: list[Measured] = []
    findings: list[Finding] = []
    for split in SPLITS:
        try:
            data = opened(split)
        except DataError as error:
            findings += [finding for finding in problems.not_built(split, error) if not _told(finding, findings)]
            continue
        if any(_same_views(data, part.data) for part in seen if part.split == "val" and split == "test"):
            continue
        part = measure(data, split, wanted=wanted, progress=None if progress is None else progress(split))
        findings += [finding for suspicion in problems.OF_ONE_SPLIT for finding in suspicion(part)]
        findings += problems.sizes(part, multiple)
        seen.append(part)
    findings += problems.shared_views(seen)
    return DataCheck(recipe, tuple(_facts(part) for part in seen), _ordered(findings))


def _told(finding: Finding, findings: Sequence[Finding]) -> bool:
    """Whether another split has said the same: a folder that is not there is not there for any of them."""
    return any((finding.text, finding.modality) == (other.text, other.modality) for other in findings)


def _same_views(one: ViewDataset, other: ViewDataset) -> bool:
    return len(one) == len(other) and all(one.files(index) == other.files(index) for index in range(len(one)))


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors before warnings."""
    return tuple(sorted(findings, key=lambda finding: finding.severity != "error"))


def _facts(measured: Measured) -> SplitFacts:
    names = measured.data.class_names
    total = sum(count for label, count in measured.labels.items() if label != VOID)
    shares = tuple(LabelShare(name, measured.labels[label] / max(total, 1)) for label, name in enumerate(names))
    return SplitFacts(
        split=measured.split,
        views=len(measured.data),
        looked_at=len(measured.indices),
        modalities=tuple(_modality(measured, key) for key in measured.stored),
        labels=shares,
    )


def _modality(measured: Measured, key: str) -> ModalityFacts:
    stored = measured.stored[key]
    finite = bool(stored.lows) and not np.isnan(stored.lows).all()
    shares = measured.invalid.get(key)
    mean, std = measured.moments(key)
    return ModalityFacts(
        name=measured.shown(key) if key != LABELS else LABELS,
        expected=problems.expectation(measured.spec(key), len(measured.data.class_names), metres=stored.inside),
        stored=tuple(name for name, _ in stored.types.most_common()),
        sizes=tuple(size for size, _ in stored.sizes.most_common()),
        low=float(np.nanmin(stored.lows)) if finite else None,
        high=float(np.nanmax(stored.highs)) if finite else None,
        invalid=sum(shares.values()) / len(shares) if shares else None,
        mean=mean,
        std=std,
    )
