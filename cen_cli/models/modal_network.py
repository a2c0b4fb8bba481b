"""What `to_cen` returns: any network's streams, and the learned ensemble of what it returns (P Eq. 4).

Unlike the networks of recipes (`network`) it may return several maps, and it has no parts that others know by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.norms import ModalNorm
from cen_cli.models.streams import ModalOutput, stack_modalities
from cen_cli.results import ENSEMBLE

ModalOutputs: TypeAlias = "ModalOutput | dict[Any, ModalOutputs] | list[ModalOutputs] | tuple[ModalOutputs, ...]"


class ModalNetwork(nn.Module):
    """A converted network: M streams through one `body`, and the learned ensemble of what it returns."""

    def __init__(self, body: nn.Module, modalities: Sequence[str]) -> None:
        super().__init__()
        self.body = body
        self.modalities = checked_names(modalities)
        self.ensemble = LearnedEnsemble(len(self.modalities))
        self.register_load_state_dict_pre_hook(_as_named)

    def get_extra_state(self) -> Tensor:
        """The modalities' names, in order, which the state holds beside its tables: uint8, of UTF-8."""
        return torch.tensor(list(", ".join(self.modalities).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Raises ValueError, with nothing loaded, for a state of other modalities, or of these in another order."""
        names, own = bytes(state.tolist()).decode(), ", ".join(self.modalities)
        if names != own:
            raise ValueError(f"this is the state of a network of the modalities {names}, in this order, not {own}")

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay is to leave alone, as timm's optimisers ask for them.

        Those of the modal norms, which are tables [M, C] and so no vectors to a rule that goes by dimensions, of the
        ensemble, and what the network itself names.
        """
        norms = {name for name, module in self.named_modules() if isinstance(module, ModalNorm | LearnedEnsemble)}
        of_body: Callable[[], Iterable[str]] = getattr(self.body, "no_weight_decay", tuple)
        named = {f"body.{name}" for name in of_body()}
        return {name for name, _ in self.named_parameters() if name.rpartition(".")[0] in norms or name in named}

    def forward(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutputs:
        """Run every modality's stream.

        `inputs`: one [B, C, H, W] per modality, or a stack (see `stack_modalities`). Returns a `ModalOutput` for each
        tensor that the body returns: one, or a dict, list or tuple of them. Raises TypeError where it returns others,
        ValueError for a tensor whose first axis is not that of the images.
        """
        stacked = stack_modalities(inputs, self.modalities)
        return self._combined(self.body(stacked), stacked.shape[0])  # len() would fix the batch of exported ones

    def _combined(self, outputs: Any, samples: int) -> ModalOutputs:
        if isinstance(outputs, Tensor):
            if not torch.compiler.is_compiling() and outputs.dim() and len(outputs) % samples:
                raise ValueError(
                    f"the network returned {list(outputs.shape)} for {samples} images: its first axis is not "
                    "theirs, so that it has no modalities"
                )
            return self.ensemble.combine(outputs)
        if isinstance(outputs, Mapping):
            return {name: self._combined(output, samples) for name, output in outputs.items()}
        if isinstance(outputs, list | tuple):
            combined = [self._combined(output, samples) for output in outputs]
            return combined if isinstance(outputs, list) and not torch.jit.is_tracing() else tuple(combined)
        raise no_maps(outputs)


def checked_names(modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities' names as a tuple; ValueError where there is none, or one twice, or they are in no order."""
    names = tuple(modalities) if isinstance(modalities, Sequence) and not isinstance(modalities, str) else ()
    if not names or len(set(names)) < len(names):
        raise ValueError(f"modalities = {modalities!r}: a list or tuple of one or more different names is needed")
    if ENSEMBLE in names:
        raise ValueError(f"modalities = {modalities!r}: {ENSEMBLE!r} is what the branches' sum is called")
    return names


def _as_named(network: ModalNetwork, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Before a state is loaded: those of version 0.1 name no modalities."""
    state.setdefault(f"{prefix}_extra_state", network.get_extra_state())


def no_maps(output: object) -> TypeError:
    """That a network returned such a thing, for the caller to raise."""
    what = type(output).__name__
    return TypeError(f"the network returned {what}: expected tensors, or mappings, lists or tuples of them")
