"""Channel exchange between modalities: P Eq. 6 and S Section 2.

A channel whose norm has learned a gamma near 0 carries next to nothing. Its place is given to the same channel of the
other modalities, averaged:

    out[m, c] = x'[m, c]                              where |gamma[m, c]| >= threshold
              = mean over m' != m of x'[m', c]        otherwise ("replaced")

x' are the norm's outputs, all taken before any exchange of this layer. Channels are cut into M contiguous parts; the L1
penalty presses modality m's gammas inside part m alone ("disjoint", the default), or everywhere ("all").

Where three modalities or more exchange, a replaced channel may instead take that of one of the others alone, by fixed
random groups, as successors of the paper do (`allot_donors`).

The paper does not say whether a channel outside the own part may be replaced when its gamma falls below the threshold
unpressed. By default it may not (`replace = "own-part"`); `"anywhere"` lets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cen_cli.models.norms import ModalNorm, at_least_float32
from cen_cli.models.streams import check_divisible
from cen_cli.results import ReplacedCount, below_threshold

THRESHOLD = 1e-2
"""Theta where none is given (S Section 2)."""

Region = Literal["disjoint", "all"]
Replace = Literal["own-part", "anywhere"]
Parts = Tensor | Sequence[slice | tuple[int, int]] | None


def channel_parts(channels: int, modalities: int) -> tuple[slice, ...]:
    """Cut `channels` into one contiguous part per modality; sizes differ by at most one, larger parts first."""
    if channels < 1 or modalities < 1:
        raise ValueError(f"channels = {channels}, modalities = {modalities}: both must be at least 1")
    size, larger = divmod(channels, modalities)
    starts = [m * size + min(m, larger) for m in range(modalities + 1)]
    return tuple(slice(start, stop) for start, stop in pairwise(starts))


def exchange_channels(
    x: Tensor, gamma: Tensor, threshold: float, parts: Parts = None, donor: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Replace each modality's dead channels by the mean of the other modalities' same channels (P Eq. 6).

        channel                   0    1    2    3
        stream 0, part {0, 1}     a0   a1   a2   a3     gamma[0, 1] is near 0
                                       ^         |
                                       |         v
        stream 1, part {2, 3}     b0   b1   b2   b3     gamma[1, 3] is near 0

        result, stream 0          a0   b1   a2   a3
        result, stream 1          b0   b1   b2   a3

    Args:
        x: [M*B, C, H, W], the streams' normalised activations, modality-major; any floating dtype and memory format.
        gamma: [M, C], the norm's scaling factors; M and C are read from it.
        threshold: channels with |gamma| < threshold are replaced; 0 or less replaces none.
        parts: where each modality's channels may be replaced: bool [M, C]; or M slices or (start, stop) pairs,
            disjoint; or None, anywhere.
        donor: int [M, C], the modality that gives to each channel where it is replaced; None: the mean of the others.

    Returns:
        y [M*B, C, H, W] in x's dtype and memory format, and replaced, bool [M, C]. The gradient of a replaced channel
        goes to its donors. With M = 1 there is no donor and nothing is replaced.

    Raises:
        ValueError: shapes do not fit, M does not divide x.shape[0], parts overlap or lie outside the channels, or a
            donor is no other modality.
    """
    if gamma.dim() != 2:
        raise ValueError(f"gamma must be [M, C], got shape {tuple(gamma.shape)}")
    modalities, channels = gamma.shape
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(f"x must be [{modalities}*B, {channels}, H, W] to fit gamma, got shape {tuple(x.shape)}")
    check_divisible(x, modalities)
    replaceable = replaceable_mask(parts, modalities, channels, gamma.device)
    replaced = below_threshold(gamma.detach(), threshold) & replaceable
    if modalities == 1:
        return x, torch.zeros_like(replaced)
    if donor is not None:
        _check_donors(donor, gamma.shape)
    return mix_channels(x, replaced, donor), replaced


def _check_donors(donor: Tensor, shape: torch.Size) -> None:
    """ValueError unless `donor` is int [M, C], this shape, and names another modality in every place."""
    if donor.is_floating_point() or donor.shape != shape:
        raise ValueError(f"donor must be int {list(shape)}, got {donor.dtype} {list(donor.shape)}")
    modalities, own = len(donor), torch.arange(len(donor), device=donor.device)[:, None]
    if torch.compiler.is_compiling():
        return  # which reads no values
    if ((donor < 0) | (donor >= modalities) | (donor == own)).any():
        raise ValueError(f"a donor is one of the other modalities, by its place among 0..{modalities - 1}")


def mix_channels(x: Tensor, share: Tensor, donor: Tensor | None = None, probe: Tensor | None = None) -> Tensor:
    """(1 - a) own + a others in every channel, where `share` is a, in [0, 1] or bool (True: the others'), [M, C].

    The others are the mean of the other modalities, or those that `donor`, int [M, C], names. The `grad` of `probe`,
    float32 [M, C] of zeros, takes dL/da. x [M*B, C, H, W], M >= 2 -> the same shape, dtype and memory format.
    """
    transformed = torch._C._are_functorch_transforms_active()  # by torch.func
    if torch.compiler.is_exporting() or torch.jit.is_tracing() or transformed:  # plain operations, which others know
        own, given = x.unflatten(0, (len(share), -1)), torch.stack(_given(x, len(share), donor))
        a = share[:, None, :, None, None]
        made = torch.where(a, given, own) if a.dtype == torch.bool else torch.lerp(own, given, a.to(x.dtype))
        return made.flatten(0, 1)
    share = share.float() if share.dtype == torch.bool else share
    mixed: Tensor = _Mixed.apply(x, share if probe is None else share + probe, donor)
    return mixed


class _Mixed(torch.autograd.Function):
    """`mix_channels`, each stream written once and nothing copied; on a CPU `torch.where` takes four times as long.

    `lerp` gives finite values that it is given, to the bit, where a is 0 or 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Tensor, donor: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if share.requires_grad else None, share, donor)
        made, a = torch.empty_like(x), _by_stream(share, x)
        own, given = _streams(x, len(a)), _given(x, len(a), donor)
        for m, into in enumerate(_streams(made, len(a))):
            torch.lerp(own[m], given[m], a[m], out=into)
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, share, donor = ctx.saved_tensors
        streams, made, a = _streams(gradient, len(share)), torch.empty_like(gradient), _by_stream(share, gradient)
        gives = _by_stream(_donors(len(share), gradient, donor), gradient)  # [to, from, C]
        others = [[other for other in range(len(a)) if other != m] for m in range(len(a))]
        if torch.is_grad_enabled():  # of a second derivative, which has to know how it is made
            sums = (sum(streams[other] * (a[other] * gives[other, m]) for other in others[m]) for m in range(len(a)))
            made = torch.cat([streams[m] * (1 - a[m]) + each for m, each in enumerate(sums)])
            return made, None if x is None else _gains(gradient, x, share, donor), None
        for m, into in enumerate(_streams(made, len(a))):
            torch.mul(streams[m], 1 - a[m], out=into)
            for other in others[m]:
                into.addcmul_(streams[other], a[other] * gives[other, m])
        return made, None if x is None else _gains(gradient, x, share, donor), None


def _gains(gradient: Tensor, x: Tensor, share: Tensor, donor: Tensor | None) -> Tensor:
    """dL/da, [M, C], summed over batch and pixels."""
    wide, given = at_least_float32(gradient), torch.stack(_given(x, len(share), donor))
    received, own = gradient.unflatten(0, (len(share), -1)), x.unflatten(0, (len(share), -1))
    gains = received.to(wide) * (given - own)  # a scaled loss's would overflow float16
    return gains.sum(dim=(1, 3, 4)).to(share.dtype)


def _by_stream(table: Tensor, like: Tensor) -> Tensor:
    """[..., C] -> [..., C, 1, 1], to go with maps of this kind."""
    return table.to(like.dtype)[..., None, None]


def _donors(modalities: int, like: Tensor, donor: Tensor | None) -> Tensor:
    """[M, M, C]: how much of modality n's channel (second) is in what modality m (first) is given."""
    if donor is not None:
        return torch.stack([donor == other for other in range(modalities)], dim=1).to(like.dtype)
    return torch.full((modalities, modalities, 1), 1 / (modalities - 1), dtype=like.dtype, device=like.device)


def _streams(x: Tensor, modalities: int) -> tuple[Tensor, ...]:
    """[M*B, C, H, W] -> M x [B, C, H, W], views."""
    return x.unflatten(0, (modalities, -1)).unbind()


def _given(x: Tensor, modalities: int, donor: Tensor | None) -> list[Tensor]:
    """[M*B, C, H, W] -> M x [B, C, H, W]: what would take the place of each modality's channels."""
    streams = _streams(x, modalities)
    if modalities == 2:
        return [streams[1], streams[0]]
    return [_mean(streams, m) if donor is None else _of_one_other(streams, donor[m]) for m in range(modalities)]


def _mean(streams: Sequence[Tensor], m: int) -> Tensor:
    """The mean of all but m.

    The others are added up as they are; taking them as (sum - own) would lose them to rounding beside a large own.
    """
    first, *rest = (stream for other, stream in enumerate(streams) if other != m)
    return sum(rest, start=first) / len([first, *rest])


def _of_one_other(streams: Sequence[Tensor], donor: Tensor) -> Tensor:
    """Each channel is that of the modality which `donor`, int [C], names."""
    taken = streams[0]
    for other, stream in enumerate(streams[1:], start=1):
        taken = torch.where((donor == other)[:, None, None], stream, taken)
    return taken


def replaceable_mask(parts: Parts, modalities: int, channels: int, device: torch.device | None = None) -> Tensor:
    """Bool [M, C]: where each modality's channels may be replaced; `parts` as in `exchange_channels`."""
    if parts is None:
        return torch.ones(modalities, channels, dtype=torch.bool, device=device)
    if isinstance(parts, Tensor):
        if parts.dtype != torch.bool or parts.shape != (modalities, channels):
            raise ValueError(
                f"parts must be bool [{modalities}, {channels}], got {parts.dtype} {list(parts.shape)}",
            )
        return parts.to(device)
    mask = torch.zeros(modalities, channels, dtype=torch.bool, device=device)
    for m, (start, stop) in enumerate(_checked_bounds(parts, modalities, channels)):
        mask[m, start:stop] = True
    return mask


def _checked_bounds(parts: Sequence[slice | tuple[int, int]], modalities: int, channels: int) -> list[tuple[int, int]]:
    """(start, stop) of each part; raises ValueError unless there are M, inside the channels, disjoint."""
    if len(parts) != modalities:
        raise ValueError(f"expected {modalities} parts, one per modality, got {len(parts)}")
    bounds = [_bounds(part, channels) for part in parts]
    for start, stop in bounds:
        if not 0 <= start <= stop <= channels:
            raise ValueError(f"part ({start}, {stop}) lies outside the channels 0..{channels}")
    occupied = sorted(bound for bound in bounds if bound[0] < bound[1])
    for before, after in pairwise(occupied):
        if after[0] < before[1]:
            raise ValueError(f"parts {before} and {after} overlap: parts must be disjoint")
    return bounds


def _bounds(part: slice | tuple[int, int], channels: int) -> tuple[int, int]:
    if not isinstance(part, slice):
        start, stop = part
        return int(start), int(stop)
    if part.step not in (None, 1):
        raise ValueError(f"part {part} has a step: parts are contiguous")
    return (0 if part.start is None else part.start), (channels if part.stop is None else part.stop)


class ChannelExchange(nn.Module):
    """A norm followed by the exchange of its channels; stands where the norm stood.

    `norm.weight` is gamma; a channel with |gamma| below `threshold` is replaced (P Eq. 6). `pressed` and `replaceable`,
    bool [M, C], say where the L1 penalty acts and where a channel may be replaced; they follow from `region`
    ("disjoint" or "all") and `replace` ("own-part" or "anywhere") and are not saved. `active = False` keeps norm and
    penalty but exchanges nothing (S-Table 7, rows with l1 only). `fix` takes the choice of channels away from the
    threshold, `allot` names one donor for each; `choice` is who chooses, None where the threshold does. Raises
    ValueError for other words, and for a norm whose modalities share one gamma.
    """

    pressed: Tensor
    replaceable: Tensor
    fixed: Tensor | None
    """Bool [M, C]: the channels that are replaced whatever the threshold says; None where it chooses, or gates do."""
    gate: nn.Parameter | None
    """[M, C]: logits of what is mixed in of the others (`mixing`); None where whole channels are replaced."""
    gradient_square: Tensor | None
    """Mean square of the task's gradients with respect to gamma (`sparsity`); None where nobody follows it."""
    probe: Tensor | None
    """[M, C]: its `grad` takes dL/da of every channel (`choices.watch_gains`); None where nobody asks. Never saved."""
    donor: Tensor | None
    """int64 [M, C]: the modality that gives to a replaced channel; None where the mean of the others does."""

    def __init__(
        self,
        norm: ModalNorm,
        *,
        threshold: float = THRESHOLD,
        region: Region = "disjoint",
        replace: Replace = "own-part",
        active: bool = True,
    ) -> None:
        super().__init__()
        if region not in ("disjoint", "all"):
            raise ValueError(f"region = {region!r}: 'disjoint' or 'all'")
        if replace not in ("own-part", "anywhere"):
            raise ValueError(f"replace = {replace!r}: 'own-part' or 'anywhere'")
        if active and norm.weight.shape[0] != norm.modalities:
            raise ValueError("the modalities share one gamma: nothing to exchange by (make gamma private)")
        self.norm = norm
        self.modalities = norm.modalities
        self.threshold, self.region, self.replace, self.active = threshold, region, replace, active
        for name, mask in zip(("pressed", "replaceable"), self._masks(norm.weight.device), strict=True):
            self.register_buffer(name, mask, persistent=False)
        self.register_buffer("fixed", None)
        self.register_buffer("gradient_square", None)
        self.register_parameter("gate", None)
        self.choice: nn.Module | None = None
        self.probe = None
        self.register_buffer("donor", None)
        self.register_load_state_dict_pre_hook(_as_saved)

    def _masks(self, device: torch.device) -> tuple[Tensor, Tensor]:
        own = channel_parts(self.norm.channels, self.modalities) if self.region == "disjoint" else None
        pressed = replaceable_mask(own, self.modalities, self.norm.channels, device)
        return pressed, pressed.clone() if self.replace == "own-part" else torch.ones_like(pressed)

    def fix(self, replaced: Tensor) -> None:
        """Replace these channels, bool [M, C], from now on, whatever the threshold says; saved with the weights.

        Raises ValueError for another shape, and for a channel that may not be replaced.
        """
        if replaced.dtype != torch.bool or replaced.shape != self.replaceable.shape:
            raise ValueError(
                f"replaced must be bool {list(self.replaceable.shape)}, got {replaced.dtype} {list(replaced.shape)}"
            )
        mask = replaced.to(self.replaceable.device)
        if (mask & ~self.replaceable).any():
            raise ValueError("a channel is to be replaced outside the part in which that is allowed")
        if self.fixed is None:
            self.fixed = mask.clone()
        else:
            self.fixed.copy_(mask)

    def allot(self, donor: Tensor) -> None:
        """Let replaced channels take those of these modalities, int [M, C], from now on; saved with the weights.

        Raises ValueError for another shape, and for a donor that is no other modality.
        """
        _check_donors(donor, self.replaceable.shape)
        self.donor = donor.to(self.replaceable.device, torch.int64)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and exchange [M*B, C, H, W], modality-major; the result has x's shape and memory format."""
        y = self.norm(x)
        if not self.active or self.modalities == 1:
            return y
        share = self.mixing if self.gate is not None else self.replaced() if self.fixed is None else self.fixed
        return mix_channels(y, share, self.donor, self.probe)

    @property
    def gamma(self) -> Tensor:
        """[M, C]: the norm's scaling factors (one row repeated where the modalities share it)."""
        return self.norm.weight.expand(self.modalities, -1)

    @property
    def mixing(self) -> Tensor:
        """[M, C], in [0, 1]: how much of the others stands in each channel; with gates they say, else it is 0 or 1."""
        if self.gate is None or not self.active or self.modalities == 1:
            return self.replaced().float()
        return torch.where(self.replaceable, self.gate.sigmoid(), 0.0)

    @property
    def mixes(self) -> bool:
        """Whether a gate leaves a channel between its own and the others'."""
        return bool(((self.mixing > 0) & (self.mixing < 1)).any())

    @torch.no_grad()
    def replaced(self) -> Tensor:
        """Bool [M, C]: the channels that `forward` would wholly replace now; none while inactive or with M = 1."""
        if not self.active or self.modalities == 1:
            return torch.zeros_like(self.replaceable)
        if self.gate is not None:
            return self.mixing == 1
        if self.fixed is not None:
            return self.fixed.clone()  # not what `fix` writes to
        return below_threshold(self.gamma, self.threshold) & self.replaceable

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        settings = f"threshold={self.threshold}, region={self.region}, replace={self.replace}, active={self.active}"
        told = {"fixed": self.fixed, "gates": self.gate, "donors=groups": self.donor}
        return ", ".join([settings, *(word for word, there in told.items() if there is not None)])


def exchange_layers(model: nn.Module) -> dict[str, ChannelExchange]:
    """The exchanging layers of `model` by name, in network order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, ChannelExchange)}


def exchanging_layers(model: nn.Module) -> dict[str, ChannelExchange]:
    """Those of `exchange_layers` that can replace channels: switched on, and with another modality to give some."""
    return {name: layer for name, layer in exchange_layers(model).items() if layer.active and layer.modalities > 1}


def _as_saved(layer: ChannelExchange, state: Mapping[str, Tensor], prefix: str, *others: Any) -> None:
    """Before a state is loaded: make what is not saved, and room for the choice and the donors that it holds."""
    gamma = layer.norm.weight if not layer.norm.weight.is_meta else state.get(f"{prefix}norm.weight", layer.norm.weight)
    layer.pressed, layer.replaceable = layer._masks(gamma.device)  # of one that was made without memory
    fixed, donor = state.get(f"{prefix}fixed"), state.get(f"{prefix}donor")
    if fixed is not None and not layer.active:
        others[-1].append(f"{prefix}fixed: a choice of channels, and this network is made to exchange nothing")
    try:
        if fixed is not None:
            layer.fix(fixed)
        if donor is not None:
            layer.allot(donor)
    except ValueError as error:
        others[-1].append(f"{prefix.rstrip('.')}: {error}")  # torch's list of messages


def computed_channels(replaced: Tensor, donor: Tensor | None = None) -> Tensor:
    """Bool [M, C]: the channels that some stream reads, where those of `replaced`, bool [M, C], are replaced.

    All other streams give to a replaced channel, or the one that `donor`, int [M, C], names.
    """
    if donor is None:
        donors = replaced.sum(0) - replaced.int() > 0
    else:
        donors = torch.zeros_like(replaced)
        streams, channels = replaced.nonzero(as_tuple=True)
        donors[donor[streams, channels], channels] = True
    return ~replaced | donors


def count_replaced(layers: Mapping[str, ChannelExchange], modalities: Sequence[str]) -> tuple[ReplacedCount, ...]:
    """Replaced, pressed and all channels per modality over all exchanging layers; one transfer from the device.

    Empty where no layer exchanges, and where gates mix channels, which replaces none.
    """
    if not layers or any(layer.mixes for layer in layers.values()):
        return ()
    masks = ((layer.replaced(), layer.pressed, _fallen(layer)) for layer in layers.values())
    counts = torch.stack([torch.stack(of_layer).sum(dim=2) for of_layer in masks])
    replaced, pressed, fallen = counts.sum(dim=0).tolist()
    channels = sum(layer.pressed.shape[1] for layer in layers.values())
    return tuple(
        ReplacedCount(name, replaced[index], pressed[index], channels, fallen=fallen[index])
        for index, name in enumerate(modalities)
    )


def _fallen(layer: ChannelExchange) -> Tensor:
    """Bool [M, C]: pressed gammas below the threshold, where it decides."""
    decides = layer.fixed is None and layer.gate is None
    return below_threshold(layer.gamma.detach(), layer.threshold) & layer.pressed & decides


def allot_donors(model: nn.Module, seed: int) -> None:
    """In every exchanging layer let each replaced channel take that of one other modality, by fixed random groups.

    The channels in which a modality may be replaced are cut at random into M - 1 groups of sizes that differ by at
    most one, and each of the other modalities gives to one of them; `seed` decides which. With two modalities nothing
    changes.
    """
    generator = torch.Generator().manual_seed(seed)
    for layer in exchanging_layers(model).values():
        modalities = layer.modalities
        donor = torch.zeros(layer.replaceable.shape, dtype=torch.int64)
        for m, allowed in enumerate(layer.replaceable.cpu()):
            others = torch.tensor([other for other in range(modalities) if other != m])
            donor[m] = others[0]  # outside these channels nobody asks
            places = allowed.nonzero().flatten()
            shuffled = places[torch.randperm(len(places), generator=generator)]
            donor[m, shuffled] = others[torch.arange(len(places)) % (modalities - 1)]
        layer.allot(donor)
