"""Modality dropout: training views that lack some of their modalities (ModDrop, Neverova et al., TPAMI 2016).

The network learns to do with what is there. The paper does not use it. A dropped modality is 0 as the network sees it
(`Sample.without`), and nothing else changes: its branch is supervised as ever, on what it gets through the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from cen_cli.data.sample import Sample


def drop_modalities(sample: Sample, probability: float, generator: torch.Generator) -> Sample:
    """The sample without the modalities that are drawn, each with the probability; one at least stays."""
    dropped = draw_dropped(tuple(sample.inputs), probability, generator)
    return sample.without(dropped) if dropped else sample


def draw_dropped(modalities: Sequence[str], probability: float, generator: torch.Generator) -> tuple[str, ...]:
    """Each modality with `probability`, independently; where that would be all M, one of them, at random, stays.

    So a modality is dropped with probability p - p^M / M. Always draws M + 1 numbers.
    """
    drawn = torch.rand(len(modalities), generator=generator) < probability
    spared = int(torch.randint(len(modalities), (), generator=generator))
    if drawn.all():
        drawn[spared] = False
    return tuple(name for name, dropped in zip(modalities, drawn.tolist(), strict=True) if dropped)
