"""How often the host waits for the device: never in a training step, once for each batch of an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cen_cli.metrics import segmentation
from cen_cli.metrics.regression import RegressionSums
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.models.translator import unet_translator
from cen_cli.scoring.segmentation import Scorer, SegmentationScorer
from cen_cli.scoring.test_time_augmentation import MultiScaleFlip
from cen_cli.scoring.translation import TranslationScorer
from tests import ranked
from tests.ranked import CLASSES, CPU, INPUTS, Views
from tests.streams import built

OPERATIONS = {"nonzero", "masked_select", "_unique2"}
"""Of torch, whose results are as large as numbers say that the host must know."""
METHODS = ("cpu", "tolist", "numpy", "item", "__bool__", "__int__", "__float__")


class Waits(TorchDispatchMode):
    """Counts what would make the host wait for a GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.seen: list[str] = []
        for name in METHODS:
            monkeypatch.setattr(torch.Tensor, name, self._noted(name, getattr(torch.Tensor, name)))

    def _noted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            self.seen.append(name)
            return method(*arguments, **options)

        return noted

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        masks = (each for each in args[1] if each is not None) if name == "index" else ()
        if name in OPERATIONS or any(mask.dtype == torch.bool for mask in masks):
            self.seen.append(name)
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("kind", ["segmentation", "translation"])
def test_no_training_step_waits(kind, monkeypatch):
    task = getattr(ranked, kind)()
    batch = ranked.batch_of([ranked.sample_of(number, labels=kind == "segmentation") for number in (1, 2)])
    task.step(batch, 0)  # the optimiser's first step makes its state
    with Waits(monkeypatch) as waits:
        task.step(batch, 1)
    assert waits.seen == []


@pytest.mark.parametrize(
    ("kind", "augmentation", "found"),
    [
        ("segmentation", MultiScaleFlip(), "__bool__"),
        ("segmentation", MultiScaleFlip((1.0, 1.5), flip=True), "__bool__"),
        ("translation", None, "cpu"),
    ],
)
def test_an_evaluation_waits_once_for_each_batch(kind, augmentation, found, monkeypatch):
    monkeypatch.setattr(segmentation, "_check_range", lambda *_: None)  # on a CPU alone, where nothing waits
    monkeypatch.setattr(RegressionSums, "update", lambda *_: None)  # is given what lies on the host
    scorer: Scorer
    if kind == "segmentation":
        scorer = SegmentationScorer(CPU, "fp32", batch=1, workers=0, augmentation=augmentation)
        model = built(refinenet_segmenter, INPUTS, CLASSES, backbone="resnet18", encoder_width=8, width=8)
    else:
        scorer = TranslationScorer(CPU, "fp32", 1, 0, "strict", "instance")
        model = built(unet_translator, INPUTS, levels=4, filters=4)
    views = Views(4, labels=kind == "segmentation")
    counts = []
    for limit in (1, 1, 4):
        with monkeypatch.context() as patch, Waits(patch) as waits:
            scorer(model, views, split="val", limit=limit)
        counts.append(waits.seen)
    _, one, four = counts  # the first one makes what is kept
    assert sorted(four) == sorted([*one, *[found] * 3])
