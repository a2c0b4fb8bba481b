"""Networks run by ONNX Runtime against themselves."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import Tensor

from cen_cli.analysis import onnx_engine
from cen_cli.analysis.export import onnx_file
from cen_cli.analysis.onnx_engine import run_by_onnx
from cen_cli.errors import MismatchError, UsageError
from cen_cli.models.norms import set_norm_statistics
from cen_cli.models.translator import Translator, unet_translator
from cen_cli.scoring.translation import translating
from tests.models.test_compact import trained

NAMES = ("a", "b")


@pytest.fixture(scope="module")
def torchs() -> Translator:
    torch.manual_seed(0)
    return trained(unet_translator(NAMES, levels=3, filters=4, dropout=0.5)).eval()  # type: ignore[return-value]


@pytest.fixture(scope="module")
def onnxs(torchs: Translator) -> Translator:
    net = copy.deepcopy(torchs)
    run_by_onnx(net)
    return net


def images(height: int = 16, width: int = 24, batch: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(height)
    return {name: torch.randn(batch, 3, height, width, generator=generator) for name in NAMES}


@pytest.mark.parametrize("statistics", ["instance", "running"])
def test_outputs_are_the_networks_own_at_every_size_and_by_either_statistics(torchs, onnxs, statistics, monkeypatch):
    monkeypatch.setattr(Translator, "forward", counted := Counted(Translator.forward))
    for x in (images(), images(24, 16, batch=3)):
        outputs = []
        for net in (torchs, onnxs):
            set_norm_statistics(net, statistics)
            with torch.inference_mode():
                outputs.append(net(x))
        for own, graphs in zip(*outputs, strict=True):
            if own is not None:
                torch.testing.assert_close(graphs, own, rtol=1e-4, atol=1e-5)
    assert counted.by(onnxs) == 1, "torch runs the first batch, to be compared, and no other"


class Counted:
    """A method that remembers who called it."""

    def __init__(self, method):
        self.method, self.callers = method, []

    def __get__(self, instance, owner):
        return self if instance is None else lambda *arguments: self(instance, *arguments)

    def __call__(self, instance, *arguments):
        self.callers.append(instance)
        return self.method(instance, *arguments)

    def by(self, instance) -> int:
        return sum(caller is instance for caller in self.callers)


def test_a_graph_of_another_network_is_found_out_on_the_first_batch(torchs, monkeypatch):
    net, other = copy.deepcopy(torchs), copy.deepcopy(torchs)
    with torch.no_grad():
        other.ensemble.alpha[0] += 0.5
    monkeypatch.setattr(onnx_engine, "onnx_file", lambda _, *others: onnx_file(other, *others))
    run_by_onnx(net)
    for _ in range(2):  # and it is not used afterwards
        with pytest.raises(MismatchError, match="ONNX Runtime: its output ensemble differs by"):
            net(images())


def test_what_a_graph_does_not_do_is_refused(onnxs, monkeypatch):
    dropout = pytest.raises(UsageError, match="--engine onnx: it does not train and draws no dropout")
    with dropout, translating(onnxs, "paper", "instance"):
        onnxs(images())
    half = pytest.raises(UsageError, match="computes in fp32, and this run in another precision")
    with half, torch.autocast("cpu", dtype=torch.bfloat16):
        onnxs(images())
    with pytest.raises(UsageError, match="its graph takes 8 x 8 pixels or more, not 4 x 8"):
        onnxs(images(4, 8))
    with pytest.raises(UsageError, match=r"its graph takes multiples of [0-9]+ pixels, not 17 x 24"):
        onnxs(images(17, 24))
    monkeypatch.setattr(onnxs.forward, "_only", (16, 24))
    with pytest.raises(UsageError, match=re.escape("takes (16, 24) pixels alone, not (24, 16)")):
        onnxs(images(24, 16))
