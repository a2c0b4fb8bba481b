"""Compact networks: for inference alone, without what no output depends on.

What a stream makes of a channel, x' in P Eq. 6, is read by the stream itself unless the channel is replaced there, and
by the streams to which it gives where it is replaced there, since all x' are taken before any exchange:

    channel                   0    1    2    3
    stream 0                  a0   --   a2   a3     replaced in stream 0 alone: a1 is never read, so never computed
                                   ^         |
    stream 1                  b0   b1   b2   --     replaced in stream 1 alone: b3 likewise

A channel that is replaced in several streams at once is computed in all of them: they read each other's.

A convolution, the norm behind it and the exchange become one `CompactConvolution`: one ordinary convolution per stream
with the filters that it computes, and the exchange as an index into what they make. A norm of given statistics (batch
norm; instance norm with running statistics) is folded into these filters. An instance norm by each image's own
statistics cannot be: it stays, for the channels computed.

Folded filters differ from stream to stream even where the convolution is shared. So that a file does not hold each of
them M times, it holds the filters as they were, and the scale and shift of every stream's channels
(`compact_tensors`); they are put together when the network is built (`put_compact_layers`).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from cen_cli.models.conversion import Convolution, convolutions_and_norms, replace_layers
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d, ModalNorm
from cen_cli.models.streams import PrivateCopies, split_modalities

TRAINING_ONLY = "decoder.auxiliary."
"""Beginning of the names of what is there for a loss alone (PSPNet's second head): a compact network has none of it."""
INSTANCE_TABLES = ("weight", "bias", "running_mean", "running_var")

Network = TypeVar("Network", bound=nn.Module)


def computed_channels(replaced: Tensor, donor: Tensor | None = None) -> Tensor:
    """Bool [M, C]: the channels that some stream reads, where those of `replaced`, bool [M, C], are replaced.

    All other streams give to a replaced channel, or the one that `donor`, int [M, C], names.
    """
    if donor is None:
        given = replaced.sum(0) - replaced.int() > 0
    else:
        given = torch.zeros_like(replaced)
        streams, channels = replaced.nonzero(as_tuple=True)
        given[donor[streams, channels], channels] = True
    return ~replaced | given


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
        return self._exchanged(torch.cat(outputs, dim=1))

    def _exchanged(self, pool: Tensor) -> Tensor:
        """All channels computed, [B, K, h, w], one stream's behind the other's -> [M*B, C, h, w]."""
        assert self.sources is not None, "something is replaced"
        if self.donors is not None:
            first, *others = (_channels(pool, terms) for terms in self.donors)
            pool = torch.cat([pool, sum(others, start=first) / (self.modalities - 1)], dim=1)
        if _is_channels_last(pool):
            return torch.cat([_channels(pool, stream) for stream in self.sources])
        exchanged = pool.index_select(1, self.sources.flatten()).unflatten(1, (self.modalities, -1))
        return exchanged.transpose(0, 1).flatten(0, 1)  # no copy where B is 1

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"modalities={self.modalities}, exchange={'index' if self.sources is not None else 'none'}"


def _channels(x: Tensor, places: Tensor) -> Tensor:
    """x[:, places] in the memory format of x, which `index_select` alone does not keep."""
    if _is_channels_last(x):
        return x.permute(0, 2, 3, 1).index_select(3, places).permute(0, 3, 1, 2)
    return x.index_select(1, places)


def _is_channels_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _index(replaced: Tensor, computed: Tensor, donor: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Where every stream's channels come from: sources [M, C], places in the pool of all channels computed.

    Where several streams give to a channel, the means of the N replaced channels' donors lie behind these in the pool;
    donors [M - 1, N] are the places of their terms.
    """
    modalities = len(replaced)
    places = torch.full(replaced.shape, -1)
    places[computed] = torch.arange(int(computed.sum()))
    if modalities == 2:
        return torch.where(replaced, places.flip(0), places), None
    if donor is not None:
        return torch.where(replaced, places.gather(0, donor), places), None
    others = [[other for other in range(modalities) if other != m] for m in range(modalities)]
    terms = [places[others[m], channel] for m, channel in replaced.nonzero().tolist()]  # N x [M - 1]
    sources = places.clone()
    sources[replaced] = torch.arange(len(terms)) + int(computed.sum())
    return sources, torch.stack(terms, dim=1)


def compacted(network: Network) -> Network:
    """A compact copy of a network in evaluation, with what its norms go by now; `network` is left as it is."""
    copied = copy.deepcopy(network)
    copied.load_state_dict(put_compact_layers(copied, compact_tensors(network)))
    return copied.eval()


# ---- where it is done ----


@dataclasses.dataclass(frozen=True)
class Site:
    """A convolution and the norm behind it, by name, which become one `CompactConvolution`."""

    conv_name: str
    placed: Convolution | PrivateCopies
    """What stands there: a convolution, or a copy of one for each stream."""
    norm_name: str
    layer: nn.Module
    """The norm, or the exchange that holds it."""

    @property
    def norm(self) -> ModalNorm:
        """Without the exchange."""
        norm = self.layer.norm if isinstance(self.layer, ChannelExchange) else self.layer
        assert isinstance(norm, ModalNorm)
        return norm

    @property
    def fits(self) -> bool:
        """Whether convolution and norm can become one: nothing but an ordinary convolution, then a norm of its maps."""
        ordinary = type(self.conv) in (nn.Conv2d, nn.ConvTranspose2d) and self.conv.groups == 1
        known = isinstance(self.norm, ModalBatchNorm2d | ModalInstanceNorm2d)
        return ordinary and known and self.conv.out_channels == self.norm.channels

    @property
    def folds(self) -> bool:
        """Whether the norm is the same multiplication and addition for every image."""
        return not isinstance(self.norm, ModalInstanceNorm2d) or self.norm.use_running_statistics

    @property
    def private(self) -> bool:
        """Whether every stream has filters of its own."""
        return isinstance(self.placed, PrivateCopies)

    @property
    def conv(self) -> Convolution:
        """The convolution, or the first stream's."""
        conv = self.placed.layer if isinstance(self.placed, PrivateCopies) else self.placed
        assert isinstance(conv, Convolution)
        return conv

    @property
    def modalities(self) -> int:
        """M, or 1 where filters and norm are one for all streams, which then need not be told apart."""
        tables = (getattr(self.norm, name) for name in INSTANCE_TABLES)
        alike = not self.private and all(len(table) == 1 for table in tables)
        return 1 if alike else self.norm.modalities

    @property
    def replaced(self) -> Tensor:
        """Bool [M, C], on the CPU."""
        if isinstance(self.layer, ChannelExchange) and self.layer.active:
            return self.layer.replaced().cpu()
        return torch.zeros(self.modalities, self.norm.channels, dtype=torch.bool)

    @property
    def donor(self) -> Tensor | None:
        """int64 [M, C], on the CPU: who gives to a replaced channel; None where all others do."""
        donor = self.layer.donor if isinstance(self.layer, ChannelExchange) and self.layer.active else None
        return None if donor is None else donor.cpu()


def compact_sites(network: nn.Module) -> list[Site]:
    """What a compact network does differently: norms that fold, and exchanges in which something is replaced."""
    return [site for site in _sites(network) if site.folds or bool(site.replaced.any())]


def _sites(network: nn.Module) -> Iterator[Site]:
    norms = ModalBatchNorm2d | ModalInstanceNorm2d | ChannelExchange
    for (conv_name, placed), (norm_name, layer) in convolutions_and_norms(network, Convolution, norms):
        site = Site(conv_name, placed, norm_name, layer)
        if site.fits and not conv_name.startswith(TRAINING_ONLY):
            yield site


# ---- network -> what is stored ----


@torch.no_grad()
def compact_tensors(network: nn.Module) -> dict[str, Tensor]:
    """What a file holds of the compact network: the weights that it needs, by name.

    Of a `Site`, under its convolution's name: `weight`, filters [O, I, k, k] where they are shared, else the kept ones
    of all streams, one stream behind the other, [K, I, k, k] (K channels computed in all); under its norm's name:
    `replaced`, bool [M, C], and `donor`, int64 [M, C], where one stream gives; `scale` and `shift` [K] where it folds,
    else the tables of the norm, [K] each, beside the convolution's `bias`. Everything else is as it was.
    """
    sites = compact_sites(network)
    ours = tuple(f"{name}." for site in sites for name in (site.conv_name, site.norm_name))
    kept = {
        name: tensor for name, tensor in network.state_dict().items() if not name.startswith((*ours, TRAINING_ONLY))
    }
    for site in sites:
        kept |= _site_tensors(site)
    return kept


def _site_tensors(site: Site) -> dict[str, Tensor]:
    norm, replaced, modalities = site.norm, site.replaced, site.modalities
    computed = computed_channels(replaced, site.donor)
    filters, bias = _filters(site)
    tensors = {f"{site.conv_name}.weight": filters[computed] if site.private else filters}
    tables = {name: _rows(getattr(norm, name), modalities)[computed] for name in INSTANCE_TABLES}
    tensors[f"{site.norm_name}.replaced"] = replaced
    if site.donor is not None:
        tensors[f"{site.norm_name}.donor"] = site.donor
    if site.folds:
        scale = tables["weight"] * torch.rsqrt(tables["running_var"] + norm.eps)
        shift = tables["bias"] - tables["running_mean"] * scale
        shift = shift if bias is None else shift + _rows(bias, modalities)[computed] * scale
        return tensors | {f"{site.norm_name}.scale": scale, f"{site.norm_name}.shift": shift}
    if bias is not None:
        tensors[f"{site.conv_name}.bias"] = bias[computed] if site.private else bias
    return tensors | {f"{site.norm_name}.{name}": table for name, table in tables.items()}


def _filters(site: Site) -> tuple[Tensor, Tensor | None]:
    """([M,] O, I, k, k) and ([M,] O): the output channels first, also of a transposed convolution."""
    placed = site.placed
    weight: Tensor
    if isinstance(placed, PrivateCopies):
        weight, bias = placed.stacked("weight"), placed.stacked("bias")
    else:
        weight, bias = placed.weight, placed.bias
    if isinstance(site.conv, nn.ConvTranspose2d):
        weight = weight.transpose(-4, -3)
    return weight, bias


def _rows(table: Tensor, modalities: int) -> Tensor:
    """[C] or [1, C] or [M, C] -> [M, C]."""
    return table.expand(modalities, -1)


# ---- what is stored -> network ----


@torch.no_grad()
def put_compact_layers(network: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make `network`, in place, the compact one of which `compact_tensors` gave the tensors.

    Returns the state that it then loads. Raises KeyError or ValueError where tensors are missing or do not fit.
    """
    left = dict(tensors)
    replacements: dict[nn.Module, nn.Module] = {}
    made: dict[str, CompactConvolution] = {}
    for site in _sites(network):
        if f"{site.norm_name}.replaced" in left:
            made[site.conv_name] = _compact_convolution(site, left)
            replacements |= {site.placed: made[site.conv_name], site.layer: nn.Identity()}
    replace_layers(network, replacements)
    for name, module in list(network.named_modules()):
        for child in list(module._modules):
            if f"{name}.{child}." == TRAINING_ONLY:
                setattr(module, child, None)
    own = {f"{name}.{key}": tensor for name, layer in made.items() for key, tensor in layer.state_dict().items()}
    return {**left, **own}


def _compact_convolution(site: Site, tensors: dict[str, Tensor]) -> CompactConvolution:
    """Takes the site's tensors out of `tensors`."""

    def take(owner: str, name: str) -> Tensor:
        return tensors.pop(f"{owner}.{name}")

    replaced, donor = take(site.norm_name, "replaced"), tensors.pop(f"{site.norm_name}.donor", None)
    computed = computed_channels(replaced, donor)
    counts = [count for count in computed.sum(1).tolist() if count]
    filters = take(site.conv_name, "weight")
    # What every stream's channels are made of, one stream behind the other.
    rows = torch.arange(len(filters)) if site.private else computed.nonzero()[:, 1]
    if f"{site.norm_name}.scale" in tensors:
        scale, shift = take(site.norm_name, "scale"), take(site.norm_name, "shift")
        kernels, biases = filters[rows] * scale[:, None, None, None], shift
        norms: list[nn.Module] = [nn.Identity() for _ in counts]
    else:
        kernels = filters[rows]
        bias = tensors.pop(f"{site.conv_name}.bias", None)
        biases = torch.zeros(len(rows)) if bias is None else bias[rows]
        tables = {name: take(site.norm_name, name).split(counts) for name in INSTANCE_TABLES}
        norms = [_instance_norm(site.norm, tables, stream) for stream in range(len(counts))]
    streams = zip(kernels.split(counts), biases.split(counts), strict=True)
    return CompactConvolution([_ordinary(site.conv, *stream) for stream in streams], norms, replaced, donor)


def _ordinary(conv: Convolution, kernel: Tensor, bias: Tensor) -> Convolution:
    """An ordinary convolution with these filters, [K, I, k, k], that strides, pads and dilates as `conv` does."""
    settings = {name: getattr(conv, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    with torch.device("meta"):  # no weights are drawn
        made: Convolution
        if isinstance(conv, nn.ConvTranspose2d):
            settings["output_padding"] = conv.output_padding
            made, kernel = nn.ConvTranspose2d(conv.in_channels, len(kernel), **settings), kernel.transpose(0, 1)
        else:
            made = nn.Conv2d(conv.in_channels, len(kernel), padding_mode=conv.padding_mode, **settings)
    made.weight = nn.Parameter(kernel.contiguous(), requires_grad=False)
    made.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return made


def _instance_norm(norm: ModalNorm, tables: Mapping[str, Sequence[Tensor]], stream: int) -> ModalInstanceNorm2d:
    """The norm of one stream's channels."""
    made = ModalInstanceNorm2d(len(tables["weight"][stream]), modalities=1, eps=norm.eps)
    made.load_state_dict({name: rows[stream][None] for name, rows in tables.items()})
    return made
