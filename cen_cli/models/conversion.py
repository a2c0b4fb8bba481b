"""`to_cen`: any CNN with batch or instance norms becomes a channel exchanging network (P Section 3.3, S Section 2).

Every norm is replaced by a modal norm that starts from copies of the original's tensors. A norm that follows a k x k
convolution with k > 1 is followed by the exchange. All else is shared by the modalities, as streams are stacked on the
batch axis. Norms are converted by their exact class (`known_norms`), and refused where that is not known: the converted
network computes what the network computed.

Which norm follows which convolution is read off the order in which modules are registered: a norm follows the nearest
convolution (nn.Conv2d or nn.ConvTranspose2d) registered before it, if no other norm stands between and the channel
counts agree. A network that registers its layers in another order than it runs them, or whose norm sees a
concatenation, exchanges behind another norm there, or behind none: `exchange_layers` tells, and `after` decides.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as changed
from functools import partial
from types import UnionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from cen_cli.models.choices import SHARE, RandomShare, check_share, choose_channels
from cen_cli.models.exchange import THRESHOLD, ChannelExchange, Region, Replace, exchange_layers
from cen_cli.models.known_norms import known_norms, modal_layer, norm_channels
from cen_cli.models.modal_network import ModalNetwork, checked_names, no_maps
from cen_cli.models.norms import ModalLayerNorm2d, ModalNorm, NormSharing, Share, set_frozen_statistics
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import PrivateCopies, split_modalities

Network = TypeVar("Network", bound=nn.Module)
Convolution = nn.Conv2d | nn.ConvTranspose2d
After = Callable[[str, Convolution], bool]

CHECKED_SIDE = 64
"""Pixels: side of the random images on which a conversion is checked."""
CHECKED_TO = 1e-4
"""Largest difference from the network itself, as a share of its largest output, or absolute where that is below 1."""


def larger_than_one(name: str, conv: Convolution) -> bool:  # noqa: ARG001 (a rule may go by the name)
    """The default rule: exchange after every convolution whose kernel is larger than 1x1."""
    return max(conv.kernel_size) > 1


def nowhere(name: str, conv: Convolution) -> bool:  # noqa: ARG001 (called with both)
    """The rule for parts of a network that do not exchange: after no convolution."""
    return False


def to_cen(
    model: nn.Module,
    modalities: Sequence[str],
    *,
    share: float | None = None,
    threshold: float | None = None,
    region: Region = "disjoint",
    replace: Replace = "own-part",
    conv: Share = "shared",
    norm: NormSharing = "private",
    exchange: bool = True,
    gamma_init: float | None = None,
    after: After = larger_than_one,
    check: bool | Tensor = False,
) -> ModalNetwork:
    """Make a channel exchanging network of `model`, which is copied and left as it is.

    Args:
        model: a CNN of one input, with norms that are known (`known_norms`), that treats samples alone.
        modalities: names of its M >= 1 inputs, each brought to the channels that `model` takes.
        share: this share of each modality's part of the channels is replaced, drawn once, the same in every call; it is
            rounded to whole channels in each layer. None: 0.3.
        threshold: in place of that, channels with |gamma| below it are, as in the paper; a penalty on the gammas has to
            press them there (`sparsity_penalty`). At least 0.
        region: "disjoint": each modality's gammas are pressed in its own part of the channels; "all": everywhere.
        replace: "own-part": a channel is replaced only where it is pressed; "anywhere": wherever gamma is small.
        conv: "private" gives each modality its own copy of every convolution (nn.Conv2d, nn.ConvTranspose2d and their
            subclasses) and, in networks of layer norms, of every nn.Linear; other layers stay shared.
        norm: what norms share: "private" nothing, "shared" all, "statistics-private" gamma and beta,
            "affine-private" mean and variance.
        exchange: False keeps the norms pressed but exchanges nothing.
        gamma_init: initial gamma of the exchanging norms; None keeps the model's own.
        after: (name, convolution) -> whether the norm that follows this convolution exchanges.
        check: True compares every branch, before anything is exchanged, with `model` in evaluation, on random images
            [2, C, 64, 64] with the channels of its first convolution, in float32; a tensor [B, C, H, W] gives their
            shape.

    Raises:
        ValueError: no norm to convert, gammas shared while exchanging, a layer that cannot be converted, bad names, a
            share that is not in (0, 1] or no channel anywhere, a threshold that is not finite or below 0, both of
            them; replacing anywhere without a threshold; a gamma_init that is not finite and above 0; a branch that
            differs, or images that `model` does not take (`check`).
        TypeError: `model` is no network, but for example its name.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: a network (torch.nn.Module) such as torchvision.models.resnet18(), not {model!r}")
    names = checked_names(modalities)
    if share is not None and threshold is not None:
        raise ValueError(f"share = {share} and threshold = {threshold}: one of them decides what is replaced")
    if share is not None and not 0 < _number(share) <= 1:
        raise ValueError(f"share = {share!r}: above 0, at most 1")
    theta = THRESHOLD if threshold is None else _number(threshold)
    if not 0 <= theta < math.inf:
        raise ValueError(f"threshold = {threshold!r}: at least 0, and finite")
    if gamma_init is not None and not 0 < _number(gamma_init) < math.inf:
        raise ValueError(f"gamma_init = {gamma_init!r}: above 0, and finite")
    if replace == "anywhere" and threshold is None and exchange and len(names) > 1:
        raise ValueError('replace = "anywhere": a threshold finds channels there; a share is of each modality\'s part')
    if not isinstance(check, bool | Tensor):
        raise TypeError(f"check: True, False or images [B, C, H, W], not {check!r}")
    settings = StreamSettings(theta, region, replace, conv, norm, exchange, gamma_init)
    body = _copied(model)
    if not isinstance(check, bool) or check:
        _check_equal(model, names, settings, None if isinstance(check, bool) else check.shape)
    convert_layers(body, len(names), settings, after=after)
    if exchange and not exchange_layers(body):
        raise ValueError("no layer would exchange: no norm follows a convolution that `after` takes; or exchange=False")
    opened = copy.deepcopy(model)
    opened.train()  # its own `train` may keep norms in evaluation, and return nothing
    for name, layer in opened.named_modules():
        if isinstance(layer, _NormBase) and not layer.training:
            set_frozen_statistics(body.get_submodule(name), True)
    if threshold is None and exchange:
        random = RandomShare(SHARE if share is None else share)
        check_share(body, random.share)
        choose_channels(body, random, seed=0)
    made = _on_device_of(model, ModalNetwork(body, names))
    made.training = made.ensemble.training = model.training  # layers keep theirs: norms may be frozen by `eval()`
    return made


def _copied(model: nn.Module) -> nn.Module:
    """A copy of the network. Raises ValueError where its weights have no size yet, or are made by hooks."""
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise ValueError(f"{name}: has no size yet; run a batch through the network first")
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise ValueError(
            f"the network cannot be copied ({error}); weights that hooks make (nn.utils.weight_norm, "
            "spectral_norm, prune) can be once they are parametrizations, or removed"
        ) from error


def _number(value: Any) -> float:
    """A number of any kind, or a tensor of one; NaN for what is none."""
    try:
        return math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan


def _on_device_of(model: nn.Module, made: Network) -> Network:
    """What was made of `model`, where its parameters are: they say nothing to norms that have none."""
    devices = {parameter.device for parameter in model.parameters()}
    return made.to(devices.pop()) if len(devices) == 1 else made


def convert_layers(
    module: nn.Module,
    modalities: int,
    settings: StreamSettings,
    *,
    after: After = larger_than_one,
    linear: bool = False,
) -> None:
    """Convert the layers of `module` in place, for `modalities` streams; `after` and errors as in `to_cen`.

    `linear`: private streams have copies of every nn.Linear too, without any layer norm as well.
    """
    if settings.exchange and settings.affine == "shared" and modalities > 1:
        raise ValueError(f"norm = {settings.norm!r} leaves one gamma for all modalities: nothing to exchange by")
    norms = known_norms(module, allow_others=settings.norm == "shared")
    if "" in norms:
        raise ValueError(f"a {type(module).__name__} is one layer, and no network of several")
    pairs = convolutions_and_norms(module, tuple({type(layer) for layer, _ in norms.values()}))
    preceding = {norm: (name, conv) for (name, conv), (_, norm) in pairs if conv.out_channels == norm_channels(norm)}
    exchanging = {norm for norm, pair in preceding.items() if after(*pair)}
    shares: dict[str, Share] = {"affine": settings.affine, "statistics": settings.statistics}
    replacements: dict[nn.Module, nn.Module] = {}
    for name, (layer, kind) in norms.items():
        if kind.channels_innermost and layer not in preceding:
            raise ValueError(
                f"{name}: a {type(layer).__name__} that follows no convolution. Transformers, and what else normalises "
                "tokens, are not converted: they have no maps of channels behind convolutions to exchange"
            )
        _refuse_hooks(name, layer)
        around = partial(_exchanged, settings=settings) if layer in exchanging else None
        try:
            replacements[layer] = modal_layer(layer, kind, modalities, **shares, around=around)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if settings.exchange and not exchanging and all(kind.modal is ModalLayerNorm2d for _, kind in norms.values()):
        raise ValueError(
            "no batch or instance norm, no layer norm behind a convolution: there is no gamma to exchange by"
        )
    _refuse_tied(module, replacements)
    replace_layers(module, replacements)
    if settings.conv == "private":
        linear = linear or any(kind.modal is ModalLayerNorm2d for _, kind in norms.values())
        make_convolutions_private(module, modalities, linear=linear)


def make_convolutions_private(module: nn.Module, modalities: int, *, linear: bool) -> None:
    """Give each of `modalities` streams a copy, in place, of every convolution (`is_convolution`)."""
    convolutions = [(name, layer) for name, layer in module.named_modules() if is_convolution(layer, linear=linear)]
    if is_convolution(module, linear=linear):
        raise ValueError(f"a {type(module).__name__} is one layer, and no network of several")
    for name, layer in convolutions:
        _refuse_hooks(name, layer)
    _refuse_tied(module, [layer for _, layer in convolutions])
    replace_layers(module, {layer: PrivateCopies(layer, modalities) for _, layer in convolutions})


def is_convolution(layer: nn.Module, *, linear: bool) -> bool:
    """Whether it is an nn.Conv2d or nn.ConvTranspose2d, subclasses too.

    `linear`: or an nn.Linear, which on maps [N, H, W, C] is a convolution of 1 x 1.
    """
    return isinstance(layer, Convolution) or (linear and type(layer) is nn.Linear)


def replace_layers(module: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> None:
    """Put each replacement in the place, or places, of the layer it stands for."""
    for parent in list(module.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and child in replacements:
                setattr(parent, name, replacements[child])


def convolutions_and_norms(
    module: nn.Module, norms: UnionType | tuple[type, ...]
) -> Iterator[tuple[tuple[str, Any], tuple[str, Any]]]:
    """The pairs of a convolution and the norm of these kinds that follows it, both by name (see the head).

    A private convolution is one, as its `PrivateCopies`.
    """
    last: tuple[str, Any] | None = None
    inside: set[nn.Module] = set()
    for name, layer in module.named_modules():
        if isinstance(layer, PrivateCopies):
            inside |= set(layer.copies)
        if isinstance(layer.layer if isinstance(layer, PrivateCopies) else layer, Convolution) and layer not in inside:
            last = (name, layer)
        elif isinstance(layer, norms):
            if last is not None:
                yield last, (name, layer)
            last = None


def _refuse_hooks(name: str, layer: nn.Module) -> None:
    """ValueError where others listen to a layer that is to be replaced: they would hear no more, or M times."""
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks:
        raise ValueError(f"{name}: {type(layer).__name__} has hooks, which do not outlive conversion; remove them")
    if "forward" in vars(layer):
        raise ValueError(f"{name}: a forward was put on this {type(layer).__name__}, which does not outlive conversion")


def _refuse_tied(module: nn.Module, layers: Iterable[nn.Module]) -> None:
    """ValueError where a parameter of a layer that is to be replaced is another layer's too: they would part."""
    replaced = set(layers)
    owners: dict[nn.Parameter, list[str]] = {}
    for name, layer in module.named_modules():
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(parameter, []).append(name)
    for name, layer in module.named_modules():
        tied = [owners[parameter] for parameter in layer.parameters(recurse=False) if len(owners[parameter]) > 1]
        if layer in replaced and tied:
            raise ValueError(
                f"{name}: {' and '.join(tied[0])} have one parameter in common, and would get two; untie it"
            )


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


@torch.no_grad()
def _check_equal(model: nn.Module, names: Sequence[str], settings: StreamSettings, shape: Sequence[int] | None) -> None:
    """ValueError where a stream of the converted network, not exchanging, is not what `model` makes of its images.

    Every stream has norms of its own for that, and `model` those of each in turn, so that an image that is taken for
    another stream's is seen. `shape`: of the images; None: of some for the first convolution.
    """
    if shape is None:
        channels = next((layer.in_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)), 3)
        shape = (2, channels, CHECKED_SIDE, CHECKED_SIDE)
    body = copy.deepcopy(model).float()
    body.eval()
    device = next((parameter.device for parameter in body.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=generator).to(device) for _ in names]
    told_apart = settings.affine == "private", settings.statistics == "private"
    norms = [*known_norms(body, allow_others=settings.norm == "shared")]
    outputs = []
    try:
        for m, x in enumerate(inputs):
            own = copy.deepcopy(body)
            for index, name in enumerate(norms):
                _tell_apart(own.get_submodule(name), *told_apart, m, index)
            outputs.append(own(x))
    except Exception as error:  # of any kind, by what the network does
        raise ValueError(
            f"it cannot be checked on images {list(shape)}, as the network fails on them ({error}); check=a tensor "
            "[B, C, H, W] gives another shape"
        ) from error
    expected = [_leaves(output) for output in outputs]
    if settings.statistics == "private":
        _refuse_shared_statistics(body, tuple(f"{name}." for name in norms), inputs[0])
    converted = [layer for layer, _ in known_norms(body, allow_others=settings.norm == "shared").values()]
    convert_layers(body, len(names), changed(settings, exchange=False, gamma_init=None))
    _on_device_of(model, body)
    for index, (name, layer) in enumerate(zip(norms, converted, strict=True)):
        layer.register_forward_pre_hook(_still_runs)
        modal = next(part for part in body.get_submodule(name).modules() if isinstance(part, ModalNorm))
        for m in range(len(names)):
            _tell_apart(modal, *told_apart, m, index, row=m)
    mixes = "It mixes the images of a batch, draws at random in evaluation, or reads a layer without calling it"
    try:
        made = body(torch.cat(inputs))
    except _StillRunsError:
        raise
    except Exception as error:  # as above
        raise ValueError(f"converted, the network fails on images {list(shape)} ({error!r}). {mixes}") from error
    stacks = [split_modalities(leaf, len(names)) for leaf in _leaves(made)]
    for m, name in enumerate(names):
        for wanted, stack in zip(expected[m], stacks, strict=True):
            alike = stack[m].shape == wanted.shape
            difference = (stack[m] - wanted).abs().max().item() if alike else math.nan
            if not difference <= CHECKED_TO * max(1.0, wanted.abs().max().item()):
                raise ValueError(
                    f"converted, the network computes something else: stream {name!r} differs by {difference:.1e} on "
                    f"images {list(shape)}. {mixes}"
                )


def _refuse_shared_statistics(body: nn.Module, norms: tuple[str, ...], x: Tensor) -> None:
    """ValueError where a layer beside the norms, by their prefixes, keeps in training what depends on the images.

    All modalities would share it. Power iterations and counts depend on no images; a network that cannot be trained on
    `x` is not looked at.
    """
    kept: list[dict[str, Tensor]] = []
    devices = [*range(torch.cuda.device_count())] if x.is_cuda else []
    seed = torch.manual_seed if x.is_cuda else torch.default_generator.manual_seed  # the first seeds every GPU too
    for images in (x, 2 * x + 1):
        own = copy.deepcopy(body).train()
        with torch.random.fork_rng(devices=devices), contextlib.suppress(Exception):
            seed(0)
            own(images)
            kept.append(dict(own.named_buffers()))
    for name, buffer in kept[0].items() if len(kept) == 2 else ():
        if not name.startswith(norms) and not torch.equal(buffer, kept[1][name]):
            layer, _, statistic = name.rpartition(".")
            kind = type(body.get_submodule(layer)).__name__
            raise ValueError(
                f"{layer or 'the network'}: {kind} is no known norm and keeps, as {statistic}, what it measures of "
                "images in training; all modalities would share it (norm='shared' leaves it as it is)"
            )


def _tell_apart(norm: nn.Module, affine: bool, statistics: bool, m: int, index: int, row: int | None = None) -> None:
    """Scale what stream `m` has for itself of the network's norm of this index; `row`: of a modal norm's tables."""
    factor = (1 + m / 4) ** (-1) ** index  # in turn, so that nothing grows over many layers
    for name, own in (("weight", affine), ("bias", affine), ("running_mean", statistics), ("running_var", statistics)):
        table = getattr(norm, name, None)
        if own and table is not None:
            (table if row is None else table[row]).mul_(factor)


def _leaves(outputs: Any) -> list[Tensor]:
    """The tensors that a network returned; TypeError where it returned something else as well."""
    for leaf in (leaves := tree_leaves(outputs)):
        if not isinstance(leaf, Tensor):
            raise no_maps(leaf)
    return leaves


class _StillRunsError(ValueError):
    """A layer was converted, and the network goes on calling what it was."""


def _still_runs(layer: nn.Module, _: object) -> None:
    raise _StillRunsError(
        f"a {type(layer).__name__} that was converted still runs: the network also holds it where modules are not "
        "seen, such as in a plain list"
    )
