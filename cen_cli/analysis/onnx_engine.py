"""A network whose outputs ONNX Runtime makes, by the graph that `export` writes: on the CPU, in float32.

Small networks are faster so, once the graph is made; whatever holds the network otherwise stays torch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cen_cli.analysis.equality import ComparedBatch, check_equal
from cen_cli.analysis.export import (
    check_installed,
    fewest_pixels,
    graph_session,
    onnx_file,
    run_graph,
    takes_one_size,
)
from cen_cli.errors import UsageError
from cen_cli.models.network import StreamNetwork
from cen_cli.models.streams import ModalOutput, stack_images


def run_by_onnx(network: StreamNetwork) -> None:
    """Let ONNX Runtime make the outputs of `network`, which is on the CPU, from now on.

    Its graph is made from the network as it then is when it first sees images; of these its outputs are compared with
    the network's own. Raises UnavailableError without the packages for ONNX. What is called then raises MismatchError
    where outputs differ by more than 1e-4, and UsageError for what the graph does not do: training, dropout, other
    precisions, and sizes that it does not take.
    """
    check_installed()
    network.forward = _Graphs(network)  # type: ignore[method-assign]


class _Graphs:
    """The forward of a network: one graph for each kind of statistics that its instance norms go by."""

    def __init__(self, network: StreamNetwork) -> None:
        self._network = network
        self._sessions: dict[bool, Any] = {}
        self._only: tuple[int, ...] | None = None
        """Height and width of the images, where the graph takes one size."""

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput:
        network = self._network
        stack = stack_images(inputs, network.modalities)
        self._check(stack)
        images = dict(zip(network.modalities, stack.float().chunk(len(network.modalities)), strict=True))
        running = any(getattr(module, "use_running_statistics", False) for module in network.modules())
        session = self._sessions.get(running) or self._made(stack)
        outputs = [*run_graph(session, network, images).values()]
        if running not in self._sessions:
            expected = type(network).forward(network, stack.float()).named(network.branches)
            made = dict(zip(expected, outputs, strict=True))
            check_equal(expected, made, ComparedBatch("the first batch", images), "ONNX Runtime", "use --engine torch")
            self._sessions[running] = session
        return ModalOutput(torch.stack(outputs[: len(network.branches)]), outputs[-1], network.ensemble.weights())

    def _check(self, stack: Tensor) -> None:
        """Raises UsageError for what the graph does not do."""
        size, fewest = tuple(stack.shape[-2:]), fewest_pixels(self._network)
        multiple = getattr(self._network, "size_multiple", 1)
        reason = ""
        if any(module.training for module in self._network.modules()):
            reason = "it does not train and draws no dropout (protocol paper)"
        elif torch.is_autocast_enabled("cpu"):
            reason = "ONNX Runtime computes in fp32, and this run in another precision (train.precision)"
        elif self._only not in (None, size):
            reason = f"its graph of this network takes {self._only} pixels alone, not {size}"
        elif min(size) < fewest:
            reason = f"its graph takes {fewest} x {fewest} pixels or more, not {size[0]} x {size[1]}"
        elif any(side % multiple for side in size):
            reason = f"its graph takes multiples of {multiple} pixels, not {size[0]} x {size[1]}"
        if reason:
            raise UsageError(f"--engine onnx: {reason}", hint="use --engine torch")

    def _made(self, stack: Tensor) -> Any:
        """The graph of the network as it is now."""
        network, size = self._network, (stack.shape[-2], stack.shape[-1])
        del network.forward  # copied with the network it would take this one along
        try:
            content = onnx_file(network, {}, size)
        finally:
            network.forward = self  # type: ignore[method-assign]
        self._only = size if takes_one_size(network) else None
        return graph_session(content)
