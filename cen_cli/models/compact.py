"""Compact networks: for inference alone, without what no output depends on.

What a stream makes of a channel, x' in P Eq. 6, is read by the stream itself unless the channel is replaced there, and
by the streams to which it gives where it is replaced there, since all x' are taken before any exchange:

    channel                   0    1    2    3
    stream 0                  a0   --   a2   a3     replaced in stream 0 alone: a1 is never read, so never computed
                                   ^         |
    stream 1                  b0   b1   b2   --     replaced in stream 1 alone: b3 likewise

A convolution, the norm behind it and the exchange become one `CompactConvolution`: an ordinary convolution per stream
with the filters that it computes, and the exchange as an index into what they make. A norm of given statistics (batch
norm; instance norm with running statistics) is folded into these filters. An instance norm by each image's own
statistics cannot be: it stays, for the channels computed.

Folded filters differ from stream to stream even where the convolution is shared. So that a file does not hold each of
them M times, it holds the filters as they were, and the scale and shift of every stream's channels (`compact_tensors`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from cen_cli.models.conversion import CHECKED_SIDE, Convolution, convolutions_and_norms, replace_layers
from cen_cli.models.exchange import ChannelExchange, computed_channels, exchanging_layers
from cen_cli.models.network import StreamNetwork
from cen_cli.models.norms import BatchOrInstanceNorm, ModalBatchNorm2d, ModalInstanceNorm2d
from cen_cli.models.streams import PrivateCopies, split_modalities

TRAINING_ONLY = "decoder.auxiliary."
"""Beginning of the names of what is there for a loss alone (PSPNet's second head): a compact network has none of it."""
COMPACT_TO, COMPACT_HALF_TO = 1e-3, 0.1
"""Largest difference of a compact network's outputs, as a share of the largest, or absolute where that is below 1; and
that of weights of 16 bits."""
TABLES = ("weight", "bias", "running_mean", "running_var")

Network = TypeVar("Network", bound=nn.Module)


class CompactConvolution(nn.Module):
    """A convolution, its norm and the exchange of M streams, as far as anything of it is read.

    Args:
        convs: one per stream that computes a channel at all, in order.
        norms: behind each; Identity where the norm is folded.
        replaced: bool [M, C].
        donor: int [M, C], the stream that gives to a replaced channel; None: the mean of the others.
    """

    sources: Tensor | None
    donors: Tensor | None

    def __init__(
        self, convs: Sequence[nn.Module], norms: Sequence[nn.Module], replaced: Tensor, donor: Tensor | None = None
    ) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(convs), nn.ModuleList(norms)
        self.modalities = len(replaced)
        computed = computed_channels(replaced, donor)
        self.streams = [m for m, row in enumerate(computed.tolist()) if any(row)]
        sources, donors = _index(replaced, computed, donor) if replaced.any() else (None, None)
        self.register_buffer("sources", sources, persistent=False)
        self.register_buffer("donors", donors, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, I, H, W], modality-major -> [M*B, C, h, w], normalised and exchanged."""
        inputs = split_modalities(x, self.modalities)  # [M, B, I, H, W]
        computing = zip(self.streams, self.convs, self.norms, strict=True)
        outputs = [norm(conv(inputs[m])) for m, conv, norm in computing]  # each [B, channels computed, h, w]
        if self.sources is None:
            return torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        pool = torch.cat(outputs, dim=1)
        if self.donors is not None:
            terms = [_channels(pool, places) for places in self.donors]
            pool = torch.cat([pool, sum(terms[1:], start=terms[0]) / len(terms)], dim=1)
        return torch.cat([_channels(pool, places) for places in self.sources])


def _channels(x: Tensor, places: Tensor) -> Tensor:
    """x[:, places] in the memory format of x, which `index_select` alone does not keep."""
    if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).index_select(3, places).permute(0, 3, 1, 2)
    return x.index_select(1, places)


def _index(replaced: Tensor, computed: Tensor, donor: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Where every stream's channels come from: sources [M, C], places in the pool of all channels computed.

    Where several streams give to a channel, the means of the N replaced channels' donors lie behind these in the pool;
    donors [M - 1, N] are the places of their terms.
    """
    modalities = len(replaced)
    places = torch.full(replaced.shape, -1)
    places[computed] = torch.arange(int(computed.sum()))
    if modalities == 2:
        donor = torch.tensor([[1], [0]]).expand_as(places)
    if donor is not None:
        return torch.where(replaced, places.gather(0, donor), places), None
    others = [[other for other in range(modalities) if other != m] for m in range(modalities)]
    terms = [places[others[m], channel] for m, channel in replaced.nonzero().tolist()]  # N x [M - 1]
    sources = places.clone()
    sources[replaced] = torch.arange(len(terms)) + int(computed.sum())
    return sources, torch.stack(terms, dim=1)


@torch.no_grad()
def compacted(network: Network, like: Tensor | None = None) -> Network:
    """A compact copy of a network in evaluation, with what its norms go by now; `network` is left as it is.

    It is run on random images to see which norm reads what, of the shape of `like` [.., C, H, W]; None: of 64 x 64
    pixels with the channels of its first convolution. Raises ValueError for gates that mix channels, and where the copy
    makes something else of them: where a convolution's output is read by a norm and by others too.
    """
    copied = copy.deepcopy(network)
    copied.load_state_dict(put_compact_layers(copied, compact_tensors(network, like)))
    copied.to(next(network.parameters()).device).eval()
    x = _noise(network, like).cpu()  # GPUs may round what convolutions read
    outputs = (
        [each.float() for each in tree_leaves(copy.deepcopy(net).cpu().eval()(x)) if isinstance(each, Tensor)]
        for net in (network, copied)
    )
    allowed = COMPACT_TO if x.dtype in (torch.float32, torch.float64) else COMPACT_HALF_TO
    for wanted, made in zip(*outputs, strict=True):
        if not (made - wanted).abs().max() <= allowed * max(1.0, float(wanted.abs().max())):
            raise ValueError("compact, the network computes something else: it reads what a convolution makes twice")
    return copied


def _noise(network: nn.Module, like: Tensor | None) -> Tensor:
    """A random image of each stream, [M, 1, C, H, W], that the network takes."""
    side = max(CHECKED_SIDE, getattr(network, "size_multiple", 1))
    first = next((layer for layer in network.modules() if isinstance(layer, nn.Conv2d)), None)
    channels = 3 if first is None or isinstance(network, StreamNetwork) else first.in_channels
    shape = (channels, side, side) if like is None else like.shape[-3:]
    modalities = len(network.modalities)  # type: ignore[arg-type]  # names, of all networks of streams
    noise = torch.randn(modalities, 1, *shape, generator=torch.Generator().manual_seed(0))
    return noise.to(next(network.parameters()))


# ---- where it is done ----


@dataclasses.dataclass(frozen=True)
class Site:
    """A convolution and the norm behind it, by name, which become one `CompactConvolution`."""

    conv_name: str
    placed: Convolution | PrivateCopies
    """What stands there: a convolution, or a copy of one for each stream."""
    conv: Convolution
    """The convolution, or the first stream's."""
    norm_name: str
    layer: nn.Module
    """The norm, or the exchange that holds it."""
    norm: BatchOrInstanceNorm

    @property
    def folds(self) -> bool:
        """Whether the norm is the same multiplication and addition for every image."""
        return not isinstance(self.norm, ModalInstanceNorm2d) or self.norm.use_running_statistics

    @property
    def private(self) -> bool:
        """Whether every stream has filters of its own."""
        return self.placed is not self.conv

    @property
    def replaced(self) -> Tensor:
        """Bool [M, C], on the CPU; M is 1 where filters and norm are one for all streams, which then go as one."""
        if isinstance(self.layer, ChannelExchange) and self.layer.active:
            return self.layer.replaced().cpu()
        alike = not self.private and all(len(getattr(self.norm, name)) == 1 for name in TABLES)
        return torch.zeros(1 if alike else self.norm.modalities, self.norm.channels, dtype=torch.bool)

    @property
    def donor(self) -> Tensor | None:
        """int64 [M, C], on the CPU: who gives to a replaced channel; None where all others do."""
        donor = self.layer.donor if isinstance(self.layer, ChannelExchange) and self.layer.active else None
        return None if donor is None else donor.cpu()

    @property
    def computed(self) -> Tensor:
        """Bool [M, C]: the channels that some stream reads."""
        return computed_channels(self.replaced, self.donor)


def compact_sites(network: nn.Module, like: Tensor | None = None) -> list[Site]:
    """What a compact network does differently: norms that fold, and exchanges in which something is replaced.

    Norms that do not read the very output of the convolution before them, as the network runs once, are no such sites.
    """
    sites = [site for site in _sites(network) if site.folds or bool(site.replaced.any())]
    following = _following(network, sites, like)
    return [site for site in sites if site.norm_name in following]


@torch.inference_mode(False)
@torch.no_grad()
def _following(network: nn.Module, sites: Sequence[Site], like: Tensor | None) -> set[str]:
    """The norms, by name, that read what the convolution of their site has made, and always do."""
    made: dict[str, tuple[Any, int]] = {}
    reads: dict[str, bool] = {}

    def has_made(name: str, output: Any) -> None:
        made[name] = output, output._version

    def has_read(name: str, x: Any) -> None:
        output, version = made.get(name, (None, 0))
        reads[name] = reads.get(name, True) and output is x and x._version == version  # nothing changed it in place

    modes = {module: module.training for module in network.modules()}
    with ExitStack() as hooks:
        for module, mode in modes.items():
            hooks.callback(setattr, module, "training", mode)
        for site in sites:
            name = site.norm_name
            on_conv = site.placed.register_forward_hook(lambda _, __, output, name=name: has_made(name, output))
            on_norm = site.layer.register_forward_pre_hook(lambda _, inputs, name=name: has_read(name, inputs[0]))
            hooks.callback(on_conv.remove)
            hooks.callback(on_norm.remove)
        network.eval()(_noise(network, like))
    return {name for name, reading in reads.items() if reading}


def _sites(network: nn.Module) -> Iterator[Site]:
    """Ordinary convolutions and the batch or instance norms of all their channels."""
    norms = ModalBatchNorm2d | ModalInstanceNorm2d | ChannelExchange
    for (conv_name, placed), (norm_name, layer) in convolutions_and_norms(network, norms):
        conv: Any = placed.layer if isinstance(placed, PrivateCopies) else placed
        norm: Any = layer.norm if isinstance(layer, ChannelExchange) else layer
        hooked = conv._forward_pre_hooks or conv._forward_hooks  # as of spectral_norm
        ordinary = type(conv) in (nn.Conv2d, nn.ConvTranspose2d) and conv.groups == 1 and not hooked
        known = isinstance(norm, BatchOrInstanceNorm) and conv.out_channels == norm.channels
        if ordinary and known and not conv_name.startswith(TRAINING_ONLY):
            yield Site(conv_name, placed, conv, norm_name, layer, norm)


# ---- network -> what is stored ----


@torch.no_grad()
def compact_tensors(network: nn.Module, like: Tensor | None = None) -> dict[str, Tensor]:
    """What a file holds of the compact network: the weights that it needs, by name.

    Of a `Site`, under its convolution's name: `weight`, filters [O, I, k, k] where they are shared, else the kept ones
    of all streams, one stream behind the other, [K, I, k, k] (K channels computed in all); under its norm's name:
    `replaced`, bool [M, C], and `donor`, int64 [M, C], where one stream gives; `scale` and `shift` [K] where it folds,
    else the tables of the norm, [K] each, beside the convolution's `bias`. Everything else is as it was. Raises
    ValueError for gates that mix channels.
    """
    if any(layer.mixes for layer in exchanging_layers(network).values()):
        raise ValueError("gates mix channels, which no index stands for: harden them first")
    sites = compact_sites(network, like)
    left_out = (TRAINING_ONLY, *(f"{name}." for site in sites for name in (site.conv_name, site.norm_name)))
    kept = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith(left_out)}
    for site in sites:
        kept |= _site_tensors(site)
    return kept


def _site_tensors(site: Site) -> dict[str, Tensor]:
    computed = site.computed
    weight, bias = (
        site.placed.stacked(name) if isinstance(site.placed, PrivateCopies) else getattr(site.placed, name)
        for name in ("weight", "bias")
    )
    if isinstance(site.conv, nn.ConvTranspose2d):  # output channels first
        weight = weight.transpose(-4, -3)
    of_conv = {"weight": weight[computed] if site.private else weight}
    tables = {name: getattr(site.norm, name).expand_as(computed)[computed] for name in TABLES}
    of_norm = {"replaced": site.replaced} | ({} if site.donor is None else {"donor": site.donor})
    if site.folds:
        scale = tables["weight"] * torch.rsqrt(tables["running_var"] + site.norm.eps)
        mean = tables["running_mean"] if bias is None else tables["running_mean"] - bias.expand_as(computed)[computed]
        of_norm |= {"scale": scale, "shift": tables["bias"] - mean * scale}
    else:
        of_conv |= {} if bias is None else {"bias": bias[computed] if site.private else bias}
        of_norm |= tables
    return {f"{site.conv_name}.{name}": tensor for name, tensor in of_conv.items()} | {
        f"{site.norm_name}.{name}": tensor for name, tensor in of_norm.items()
    }


# ---- what is stored -> network ----


@torch.no_grad()
def put_compact_layers(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make `network`, in place, the compact one of which `compact_tensors` gave the tensors.

    Returns the state that it then loads. Raises KeyError or ValueError where tensors are missing or do not fit.
    """
    left = dict(tensors)
    for site in [site for site in _sites(network) if f"{site.norm_name}.replaced" in left]:
        made = _compact_convolution(site, left)
        replace_layers(network, {site.placed: made, site.layer: nn.Identity()})
        left |= {f"{site.conv_name}.{name}": tensor for name, tensor in made.state_dict().items()}
    decoder, _, auxiliary = TRAINING_ONLY.rstrip(".").partition(".")
    if getattr(getattr(network, decoder, None), auxiliary, None) is not None:
        setattr(network.get_submodule(decoder), auxiliary, None)
    return left


def _compact_convolution(site: Site, tensors: dict[str, Tensor]) -> CompactConvolution:
    """Takes the site's tensors out of `tensors`."""

    def take(name: str) -> Tensor:
        return tensors.pop(f"{site.norm_name}.{name}")

    replaced, donor = take("replaced"), tensors.pop(f"{site.norm_name}.donor", None)
    computed = computed_channels(replaced, donor)
    counts = [count for count in computed.sum(1).tolist() if count]
    filters = tensors.pop(f"{site.conv_name}.weight")
    # What every stream's channels are made of, one stream behind the other.
    rows = torch.arange(len(filters)) if site.private else computed.nonzero()[:, 1]
    if f"{site.norm_name}.scale" in tensors:
        kernels, biases = filters[rows] * take("scale")[:, None, None, None], take("shift")
        norms: list[nn.Module] = [nn.Identity() for _ in counts]
    else:
        bias = tensors.pop(f"{site.conv_name}.bias", None)
        kernels, biases = filters[rows], torch.zeros(len(rows)) if bias is None else bias[rows]
        tables = zip(*(take(name).split(counts) for name in TABLES), strict=True)
        norms = [_instance_norm(*stream, eps=site.norm.eps) for stream in tables]
    streams = zip(kernels.split(counts), biases.split(counts), strict=True)
    return CompactConvolution([_ordinary(site.conv, *stream) for stream in streams], norms, replaced, donor)


def _ordinary(conv: Convolution, kernel: Tensor, bias: Tensor) -> Convolution:
    """A convolution with these filters, [K, I, k, k], that strides, pads and dilates as `conv` does."""
    made = copy.copy(conv)
    made._parameters = {}  # else they are those of `conv`
    made.out_channels = len(kernel)
    kernel = kernel.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else kernel
    made.weight = nn.Parameter(kernel.contiguous(), requires_grad=False)
    made.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return made


def _instance_norm(*tables: Tensor, eps: float) -> ModalInstanceNorm2d:
    """The norm of one stream's channels, from its `TABLES`, [K] each."""
    norm = ModalInstanceNorm2d(len(tables[0]), modalities=1, eps=eps)
    norm.load_state_dict({name: table[None] for name, table in zip(TABLES, tables, strict=True)})
    return norm
