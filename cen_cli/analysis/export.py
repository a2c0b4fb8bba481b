"""A network as an ONNX graph whose batch and, but for timm's encoders, image size are open, and how that is checked.

Inputs are named after the modalities, outputs `branch_NAME` for every branch (a graph's names are unique, and a branch
has that of its modality) and `ensemble`. All the same numbers come out as of the network itself: normalised float32
images go in, logits or images in [-1, 1] come out, at the network's own resolution.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cen_cli.analysis.equality import ComparedBatch, check_equal
from cen_cli.errors import CheckpointError, MismatchError, UnavailableError
from cen_cli.models.backbones.staged import StagedEncoder
from cen_cli.models.network import StreamNetwork
from cen_cli.models.portable import make_portable
from cen_cli.results import ENSEMBLE, Compared
from cen_cli.scoring.segmentation import evaluating

OPSET = 23
"""The newest that both torch's exporter and ONNX Runtime know."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST_FILE = 2**31 - 2**20
"""Bytes of weights that fit into one file beside the graph."""
SHORTEST_SIDE = 33
"""Pixels from which on a ResNet's last map has more than one row and column, as the graph takes for granted."""
TRACED_SIDE = 64
"""Pixels of the images that the graph is traced with, at least."""


def check_installed() -> None:
    """Raises UnavailableError, naming them, where packages that the export needs are missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UnavailableError(
            f"a graph of ONNX needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"pip install {' '.join(missing)} (or cen with its extra: pip install 'cen-cli[onnx]')",
        )


def graph_outputs(network: StreamNetwork) -> tuple[str, ...]:
    """The outputs' names in the graph, in the order of the branches, then the ensemble of several."""
    branches = tuple(f"branch_{name}" for name in network.branches)
    return branches if len(branches) == 1 else (*branches, ENSEMBLE)


def fewest_pixels(network: StreamNetwork) -> int:
    """Height and width that the graph takes at least."""
    return getattr(network, "size_multiple", SHORTEST_SIDE)


def takes_one_size(network: StreamNetwork) -> bool:
    """Whether the graph is for one image size: torch's exporter takes minutes over open ones of timm's encoders."""
    return isinstance(network.encoder, StagedEncoder)


class _Graph(nn.Module):
    """The network with one argument for each modality, and a tuple of its outputs."""

    def __init__(self, network: StreamNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        output = self.network(torch.cat(images))
        return tuple(output.named(self.network.branches).values())


def onnx_file(network: StreamNetwork, metadata: Mapping[str, str], size: tuple[int, int]) -> bytes:
    """The content of an ONNX file of the network, which is on the CPU; `metadata` become its properties.

    `size`: height and width of the images where the graph takes one size; else those are open.

    Raises CheckpointError for a network that is too large for one file, or that torch cannot export.
    """
    stored = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if stored > LARGEST_FILE:
        raise CheckpointError(f"its weights take {stored / 2**30:.1f} GiB, and an ONNX file holds 2 GiB at most")
    copied = copy.deepcopy(network).eval()
    make_portable(copied)
    try:
        with _quiet(), torch.inference_mode():
            exported = _exported(copied, size)
    except Exception as error:  # the exporter raises many kinds
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
            f"torch cannot export this network: {reason}", hint="run again with --debug for all of it"
        ) from error
    exported.model.metadata_props.update(metadata)
    content: bytes = exported.model_proto.SerializeToString()
    return content


def _exported(network: StreamNetwork, size: tuple[int, int]) -> torch.onnx.ONNXProgram:
    """The graph, traced in evaluation with an open batch, and open sizes where it can have them."""
    axes: dict[int, Any] = {0: torch.export.Dim("B", min=2)}
    if not takes_one_size(network):
        multiple = getattr(network, "size_multiple", 1)
        side = multiple * max(2, -(-TRACED_SIDE // multiple))
        size = (side, side + multiple)
        fewest = SHORTEST_SIDE if multiple == 1 else 2
        axes |= {axis: multiple * torch.export.Dim(name, min=fewest) for axis, name in ((2, "h"), (3, "w"))}
    images = tuple(torch.zeros(2, 3, *size) for _ in network.modalities)
    shapes = (tuple(axes for _ in images),)
    program = torch.export.export(_Graph(network), images, dynamic_shapes=shapes, strict=False)
    exported = torch.onnx.export(
        program,
        images,
        dynamo=True,
        input_names=list(network.modalities),
        output_names=list(graph_outputs(network)),
        opset_version=OPSET,
        verbose=False,
    )
    assert exported is not None, "no file was named, so the program is returned"
    return exported


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks are for its authors: a graph that is wrong is found by running it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def graph_session(content: bytes) -> Any:
    """ONNX Runtime with the file's graph, on as many threads as torch. Raises MismatchError where it cannot read it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise MismatchError(f"ONNX Runtime cannot read the exported graph: {error}") from error


def run_graph(session: Any, network: StreamNetwork, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of a network's graph for float32 images [B, 3, H, W], by their names in the graph."""
    names = graph_outputs(network)
    made = session.run(names, {name: image.numpy() for name, image in images.items()})
    return {name: torch.from_numpy(array) for name, array in zip(names, made, strict=True)}


def compare_onnx(network: StreamNetwork, content: bytes, batches: Iterable[ComparedBatch]) -> tuple[Compared, ...]:
    """How far the file's outputs are from the network's, on the CPU. Raises MismatchError where that is too far."""
    session, compared = graph_session(content), []
    for batch in batches:
        with evaluating(network):
            outputs = network(batch.inputs).named(network.branches).values()
        expected = dict(zip(graph_outputs(network), outputs, strict=True))
        obtained = run_graph(session, network, batch.inputs)
        compared.append(Compared(batch.name, check_equal(expected, obtained, batch, "the exported graph")))
    return tuple(compared)
