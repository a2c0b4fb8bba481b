"""ONNX graphs against the networks that they were made from."""

from __future__ import annotations

import onnx
import pytest
import torch
from torch import Tensor, nn

from cen_cli.analysis import export
from cen_cli.analysis.equality import random_batches
from cen_cli.errors import CheckpointError, MismatchError, UnavailableError
from cen_cli.models.compact import compacted
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.heads.pspnet import PSPNetDecoder
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.translator import Translator, unet_translator
from tests.models.test_compact import trained

NAMES = ("a", "b", "c")


class Strides(nn.Module):
    """The smallest encoder: four maps at strides 4, 8, 8 and 8."""

    def __init__(self) -> None:
        super().__init__()
        self.junctions = nn.ModuleList()
        self.first = nn.Conv2d(3, 4, 5, stride=4, padding=2)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = self.first(x)
        second = self.second(first)
        return first, second, second, second


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.manual_seed(0)
    return trained(unet_translator(NAMES, levels=3, filters=4))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def written(translator: Translator) -> bytes:
    return export.onnx_file(translator, {"task": "translation"}, (16, 16))


def test_a_file_says_what_it_takes_and_gives(written: bytes) -> None:
    model = onnx.load_from_string(written)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["a", "b", "c"]
    assert [value.name for value in model.graph.output] == ["branch_a", "branch_b", "branch_c", "ensemble"]
    assert {entry.key: entry.value for entry in model.metadata_props}["task"] == "translation"
    assert [entry.version for entry in model.opset_import if not entry.domain] == [export.OPSET]
    for value in model.graph.input:
        batch, channels, height, width = value.type.tensor_type.shape.dim
        assert channels.dim_value == 3
        assert all(side.dim_param for side in (batch, height, width))


def test_it_holds_for_every_size_and_batch(translator: Translator, written: bytes) -> None:
    assert any(layer.replaced().any() for layer in exchange_layers(translator).values())
    for size in ((8, 8), (24, 40)):  # the last map of the first is one pixel
        compared = export.compare_onnx(translator, written, random_batches(NAMES, size, 8))
        assert [line.images.split(",")[0] for line in compared] == ["random"] * 2


def test_a_graph_of_other_weights_is_found_out(translator: Translator, written: bytes) -> None:
    other = compacted(translator)
    with torch.no_grad():
        other.ensemble.alpha[0] += 0.1
    with pytest.raises(MismatchError, match="the exported graph: its output ensemble differs by"):
        export.compare_onnx(other, written, random_batches(NAMES, (16, 16), 8))


def test_a_compact_pyramid_with_one_modality() -> None:
    torch.manual_seed(0)
    net = compacted(trained(Segmenter(Strides(), _converted(PSPNetDecoder((4, 4, 4, 4), 3, width=4)), ("a",))))
    content = export.onnx_file(net, {}, (64, 64))
    assert [value.name for value in onnx.load_from_string(content).graph.output] == ["branch_a"]
    export.compare_onnx(net, content, random_batches(("a",), (61, 50), 1))


def test_the_graph_of_a_timm_encoder_is_for_one_size() -> None:
    torch.manual_seed(0)
    net = refinenet_segmenter(("a", "b"), 3, backbone="timm/test_resnet", width=8, light=True).eval()
    assert export.takes_one_size(net)
    content = export.onnx_file(net, {}, (40, 56))
    batches = random_batches(("a", "b"), (40, 56), 0)
    assert [batch.size for batch in batches] == [(40, 56)] * 2
    export.compare_onnx(net, content, batches)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        export.compare_onnx(net, content, random_batches(("a", "b"), (40, 60), 0))


def _converted(decoder: nn.Module) -> nn.Module:
    from cen_cli.models.conversion import convert_layers, nowhere
    from cen_cli.models.settings import MERGED

    convert_layers(decoder, 1, MERGED, after=nowhere)
    return decoder


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(UnavailableError, match="needs onnxscript, onnxruntime, which are not installed") as found:
        export.check_installed()
    assert found.value.hint == "pip install onnxscript onnxruntime (or cen with its extra: pip install 'cen-cli[onnx]')"


def test_what_torch_cannot_export_is_said_in_a_line(translator: Translator) -> None:
    class Reading(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float(x.sum())

    broken = compacted(translator)
    broken.encoder = nn.Sequential(Reading(), broken.encoder)  # type: ignore[assignment]
    with pytest.raises(CheckpointError, match=r"^torch cannot export this network: [^\n]+$"):
        export.onnx_file(broken, {}, (16, 16))


def test_weights_that_do_not_fit_into_one_file_are_refused(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST_FILE", 100)
    with pytest.raises(CheckpointError, match="an ONNX file holds 2 GiB at most"):
        export.onnx_file(translator, {}, (16, 16))


def test_what_is_no_graph_is_said(translator: Translator) -> None:
    with pytest.raises(MismatchError, match="ONNX Runtime cannot read the exported graph"):
        export.compare_onnx(translator, b"not a graph", [])
