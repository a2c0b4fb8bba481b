"""The order in which parts of a training step are at work, and that each one's time is counted once."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from cen_cli.engine import parts
from cen_cli.engine.parts import DATA, EXCHANGE, OPTIMISER, REST, Watch, watched
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d

CPU = torch.device("cpu")


class Encoder(nn.Module):
    """Two features, of which the first leads to the second as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.exchange = ChannelExchange(ModalBatchNorm2d(4, 2))
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = ModalBatchNorm2d(4, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.exchange(self.first(x)).relu_()
        return first, self.norm(self.second(first))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 1)

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        return self.conv(features[1] + features[0])


@pytest.fixture
def network() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()})


class Recorded(Watch):
    """Remembers the order."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.order: list[str] = []

    def switch(self, part: str, within: str | None = None) -> None:
        super().switch(part, within)
        if self.order[-1:] != [part]:
            self.order.append(part)


def step(network: nn.ModuleDict, optimizer: torch.optim.Optimizer) -> None:
    loss = network["decoder"](network["encoder"](torch.ones(4, 3, 5, 5))).square().mean()
    loss.backward()
    optimizer.step()


def test_parts_follow_each_other_forward_and_backward(network: nn.ModuleDict) -> None:
    watch = Recorded()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with watched(watch, dict(network), {"model": optimizer}):
        watch.start(DATA)
        watch.switch(REST)
        step(network, optimizer)
    inner = ["encoder", EXCHANGE, "encoder", EXCHANGE, "encoder"]
    forward = [*inner, REST, "decoder", REST]
    backward = ["decoder", *inner[1:]]  # the norm is the encoder's last module
    assert watch.order == [DATA, REST, *forward, *backward, OPTIMISER, REST]


def test_times_are_counted_once(network: nn.ModuleDict, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one second each time it is read."""
    ticks = itertools.count()
    monkeypatch.setattr(parts, "_now", lambda device: float(next(ticks)))
    watch = Watch(CPU)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with watched(watch, dict(network), {"model": optimizer}):
        watch.start(REST)
        step(network, optimizer)
        times = watch.stop()
    assert sum(times.values()) == next(ticks) - 1
    assert times[OPTIMISER] == 1
    assert times[EXCHANGE] == 4  # two norms, forward and backward
    assert "" not in times


def test_nothing_is_watched_afterwards(network: nn.ModuleDict) -> None:
    watch = Recorded()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with watched(watch, dict(network), {"model": optimizer}):
        watch.start(REST)
    step(network, optimizer)
    assert watch.order == [REST]


def test_forwards_without_gradients_are_watched_too(network: nn.ModuleDict) -> None:
    watch = Recorded()
    with watched(watch, dict(network), {}), torch.no_grad():
        watch.start(REST)
        network["encoder"](torch.ones(4, 3, 5, 5))
    assert watch.order == [REST, "encoder", EXCHANGE, "encoder", EXCHANGE, "encoder", REST]
