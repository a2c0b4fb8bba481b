"""`to_cen`: any CNN with batch or instance norms becomes a channel exchanging network (P Section 3.3, S Section 2).

Every norm is replaced by a modal norm that starts from copies of the original's tensors. A norm that follows a k x k
convolution with k > 1 is followed by the exchange. All else is shared by the modalities, as streams are stacked on the
batch axis.

Which norm follows which convolution is read off the order in which modules are registered: a norm follows the nearest
convolution (nn.Conv2d or nn.ConvTranspose2d) registered before it, if no other norm stands between and the channel
counts agree. A network that registers its layers in another order than it runs them, or whose norm sees a
concatenation, gets modal norms there but no exchange, or should be given its own `after`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any

from torch import Tensor, nn

from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.exchange import THRESHOLD, ChannelExchange, Region, Replace
from cen_cli.models.norms import ModalNorm, NormSharing, Share, from_norm
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import ModalOutput, PrivateConv2d, PrivateConvTranspose2d, stack_modalities

Convolution = nn.Conv2d | nn.ConvTranspose2d
After = Callable[[str, Convolution], bool]


def larger_than_one(name: str, conv: Convolution) -> bool:  # noqa: ARG001 (a rule may go by the name)
    """The default rule: exchange after every convolution whose kernel is larger than 1x1."""
    return max(conv.kernel_size) > 1


def nowhere(name: str, conv: Convolution) -> bool:  # noqa: ARG001 (called with both)
    """The rule for parts of a network that do not exchange: after no convolution."""
    return False


class ModalNetwork(nn.Module):
    """A converted network: M streams through one `body`, and the learned ensemble of what it returns."""

    def __init__(self, body: nn.Module, modalities: Sequence[str]) -> None:
        super().__init__()
        self.body = body
        self.modalities = checked_names(modalities)
        self.ensemble = LearnedEnsemble(len(self.modalities))

    def forward(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput | dict[str, ModalOutput]:
        """Run every modality's stream.

        `inputs`: one [B, C, H, W] per modality, or a stack (see `stack_modalities`). Returns a `ModalOutput`, or a
        dict of them where the body returns a mapping. Raises TypeError where it returns neither that nor a tensor.
        """
        outputs = self.body(stack_modalities(inputs, self.modalities))
        if isinstance(outputs, Tensor):
            return self.ensemble.combine(outputs)
        if isinstance(outputs, Mapping):
            return {name: self.ensemble.combine(output) for name, output in outputs.items()}
        raise TypeError(f"the converted network returned {type(outputs).__name__}: expected a tensor or a mapping")


def to_cen(
    model: nn.Module,
    modalities: Sequence[str],
    *,
    threshold: float = THRESHOLD,
    region: Region = "disjoint",
    replace: Replace = "own-part",
    conv: Share = "shared",
    norm: NormSharing = "private",
    exchange: bool = True,
    gamma_init: float | None = None,
    after: After = larger_than_one,
) -> ModalNetwork:
    """Make a channel exchanging network of `model`, which is copied and left as it is.

    Args:
        model: a CNN of one input, with BatchNorm2d or InstanceNorm2d layers, that treats samples alone.
        modalities: names of its M >= 1 inputs, each brought to the channels that `model` takes.
        threshold: channels with |gamma| below it are replaced.
        region: "disjoint": each modality's gammas are pressed in its own part of the channels; "all": everywhere.
        replace: "own-part": a channel is replaced only where it is pressed; "anywhere": wherever gamma is small.
        conv: "private" gives each modality its own kernels (nn.Conv2d and nn.ConvTranspose2d; others stay shared).
        norm: what norms share: "private" nothing, "shared" all, "statistics-private" gamma and beta,
            "affine-private" mean and variance.
        exchange: False keeps the norms pressed but exchanges nothing.
        gamma_init: initial gamma of the exchanging norms; None keeps the model's own.
        after: (name, convolution) -> whether the norm that follows this convolution exchanges.

    Raises:
        ValueError: no norm to convert, gammas shared while exchanging, a layer that cannot be converted, bad names.
    """
    names = checked_names(modalities)
    settings = StreamSettings(threshold, region, replace, conv, norm, exchange, gamma_init)
    body = copy.deepcopy(model)
    convert_layers(body, len(names), settings, after=after)
    return ModalNetwork(body, names).train(model.training)


def convert_layers(
    module: nn.Module, modalities: int, settings: StreamSettings, *, after: After = larger_than_one
) -> None:
    """Convert the layers of `module` in place, for `modalities` streams; `after` and errors as in `to_cen`."""
    settings.check(modalities)
    exchanging = _norms_after(module, after)
    replacements: dict[nn.Module, nn.Module] = {}
    for name, layer in _norms(module, allow_others=settings.norm == "shared"):
        modal = _converted(name, layer, modalities, settings)
        replacements[layer] = _exchanged(modal, settings) if layer in exchanging else modal
    if not replacements and settings.exchange:
        raise ValueError("the network has no BatchNorm2d or InstanceNorm2d: there is no gamma to exchange channels by")
    replace_layers(module, replacements)
    if settings.conv == "private":
        make_convolutions_private(module, modalities)


def convert_children(network: nn.Module, names: Sequence[str], modalities: int, settings: StreamSettings) -> None:
    """Convert some children of `network`, in place, for `modalities` streams that do not exchange; leave the others."""
    part = nn.ModuleDict({name: network.get_submodule(name) for name in names})
    convert_layers(part, modalities, settings, after=nowhere)
    for name, module in part.items():
        setattr(network, name, module)


def make_convolutions_private(module: nn.Module, modalities: int) -> None:
    """Give each of `modalities` streams its own kernels, in place: every nn.Conv2d and nn.ConvTranspose2d."""
    replacements: dict[nn.Module, nn.Module] = {}
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            replacements[layer] = PrivateConv2d.from_conv(layer, modalities)
        elif isinstance(layer, nn.ConvTranspose2d):
            replacements[layer] = PrivateConvTranspose2d.from_conv(layer, modalities)
    replace_layers(module, replacements)


def replace_layers(module: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> None:
    """Put each replacement in the place, or places, of the layer it stands for."""
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and child in replacements:
                setattr(parent, name, replacements[child])


def checked_names(modalities: Sequence[str]) -> tuple[str, ...]:
    """The modalities' names as a tuple; ValueError where there is none, or one twice, or a bare string."""
    names = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    if isinstance(modalities, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"modalities = {modalities!r}: a sequence of one or more different names is needed")
    return names


def _norms_after(module: nn.Module, after: After) -> set[nn.Module]:
    """The norms that exchange: those that follow a convolution which `after` chooses."""
    chosen: set[nn.Module] = set()
    for (name, conv), (_, norm) in convolutions_and_norms(module, Convolution, nn.BatchNorm2d | nn.InstanceNorm2d):
        if conv.out_channels == norm.num_features and after(name, conv):
            chosen.add(norm)
    return chosen


def convolutions_and_norms(
    module: nn.Module, convolutions: UnionType | type, norms: UnionType | type
) -> Iterator[tuple[tuple[str, Any], tuple[str, Any]]]:
    """The pairs of a convolution and the norm that follows it, both by name and of these kinds (see the head)."""
    last: tuple[str, Any] | None = None
    for name, layer in module.named_modules():
        if isinstance(layer, convolutions):
            last = (name, layer)
        elif isinstance(layer, norms):
            if last is not None:
                yield last, (name, layer)
            last = None


def _norms(module: nn.Module, *, allow_others: bool) -> Iterator[tuple[str, nn.BatchNorm2d | nn.InstanceNorm2d]]:
    """The convertible norms; ValueError at one that would mix the modalities' statistics unasked."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d):
            yield name, layer
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm) and not allow_others:
            raise ValueError(
                f"{name}: {type(layer).__name__} would normalise all modalities together; only BatchNorm2d and "
                "InstanceNorm2d can be converted (norm='shared' leaves it as it is)"
            )


def _converted(
    name: str, layer: nn.BatchNorm2d | nn.InstanceNorm2d, modalities: int, settings: StreamSettings
) -> ModalNorm:
    try:
        return from_norm(layer, modalities, affine=settings.affine, statistics=settings.statistics)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _exchanged(norm: ModalNorm, settings: StreamSettings) -> ChannelExchange:
    """The norm, followed by the exchange of its channels."""
    if settings.gamma_init is not None:
        nn.init.constant_(norm.weight, settings.gamma_init)
    return ChannelExchange(
        norm,
        threshold=settings.threshold,
        region=settings.region,
        replace=settings.replace,
        active=settings.exchange and settings.affine == "private",
    )
