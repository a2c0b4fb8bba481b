"""`to_cen`: converted networks do what the originals did, and exchange where they should."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

import cen_cli
from cen_cli.models.conversion import convert_layers, to_cen
from cen_cli.models.exchange import ChannelExchange, exchange_layers
from cen_cli.models.norms import SHARING, ModalBatchNorm2d, ModalInstanceNorm2d, ModalSyncBatchNorm2d
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import PrivateCopies


class SmallNet(nn.Module):
    """A user's network: a stem, a pointwise convolution, an instance norm, a skip, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 9, 5, padding=2), nn.BatchNorm2d(9), nn.ReLU(inplace=True))
        self.point = nn.Sequential(nn.Conv2d(9, 9, 1), nn.BatchNorm2d(9), nn.ReLU(inplace=True))
        self.wide = nn.Sequential(nn.Conv2d(9, 9, (1, 3), padding=(0, 1)), nn.InstanceNorm2d(9, affine=True))
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.wide(self.point(x))
        return self.head(x.mean((2, 3)))


def fcn() -> nn.Module:
    return torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=5)


NETWORKS = {
    "resnet18": lambda: torchvision.models.resnet18(weights=None, num_classes=7),
    "resnet50": lambda: torchvision.models.resnet50(weights=None, num_classes=7),
    "fcn_resnet50": fcn,
    "small": SmallNet,
}


def lively(net: nn.Module) -> nn.Module:
    """Random running statistics, and gammas of both signs well above any threshold used here."""
    generator = torch.Generator().manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator) * 0.1)
            layer.running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)
            layer.weight.data.copy_(torch.rand(layer.num_features, generator=generator) * 0.5 + 0.5)
            layer.weight.data[::3] *= -1
    return net


def test_a_network_stays_on_its_device():
    net = to_cen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)).to("meta"), ("rgb", "depth"))
    assert {tensor.device.type for tensor in (*net.parameters(), *net.buffers())} == {"meta"}


@pytest.mark.parametrize("assign", [False, True])
def test_one_that_was_made_without_memory_is_the_same_once_loaded(assign):
    source = to_cen(SmallNet(), ("a", "b"), threshold=0.3).eval()
    with torch.device("meta"):
        net = to_cen(SmallNet(), ("a", "b"), threshold=0.3).eval()
    if not assign:
        net.to_empty(device="cpu")
        for layer in exchange_layers(net).values():  # as what was there before may have left them
            layer.pressed.fill_(True)
            layer.replaceable.fill_(False)
    net.load_state_dict(source.state_dict(), assign=assign)
    for layer, original in zip(exchange_layers(net).values(), exchange_layers(source).values(), strict=True):
        assert torch.equal(layer.pressed, original.pressed)
        assert torch.equal(layer.replaceable, original.replaceable)
    x = torch.randn(2, 3, 3, 8, 8)
    assert torch.equal(net(x).ensemble, source(x).ensemble)


def test_layers_in_evaluation_stay_there():
    plain = SmallNet().train()
    plain.stem[1].eval()
    net = to_cen(plain, ("rgb", "depth"))
    assert net.training
    assert not net.body.stem[1].training
    assert net.body.point[1].training
    assert not to_cen(plain.eval(), ("rgb", "depth")).training


def test_norms_that_a_network_s_own_train_keeps_in_evaluation_keep_their_statistics():
    class Kept(SmallNet):
        def train(self, mode: bool = True) -> Kept:
            super().train(mode)
            self.stem[1].eval()
            return self

    net = to_cen(Kept().train(), ("rgb", "depth")).train()
    before = {name: value.clone() for name, value in net.named_buffers() if name.endswith("running_mean")}
    net({name: torch.randn(2, 3, 16, 16) for name in net.modalities})
    moved = {name for name, value in net.named_buffers() if name in before and not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("body.stem")}


def test_a_norm_that_follows_its_statistics_in_its_own_way_is_refused():
    class Turned(nn.BatchNorm2d):
        """With the momentum of TensorFlow."""

        def forward(self, x: Tensor) -> Tensor:
            momentum, self.momentum = self.momentum, 1 - self.momentum
            y = super().forward(x)
            self.momentum = momentum
            return y

    with pytest.raises(ValueError, match="Turned"):
        to_cen(nn.Sequential(nn.Conv2d(3, 4, 3), Turned(4)), ("rgb", "depth"))


def test_a_norm_that_still_runs_as_it_was_is_found():
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.layers = [self.conv, self.norm]

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    with pytest.raises(ValueError, match="a BatchNorm2d that was converted still runs"):
        to_cen(Listed(), ("rgb", "depth"), check=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_norms_without_gamma_take_the_network_s_type(dtype):
    net = to_cen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)).to(dtype), ("rgb", "depth"))
    made = net({name: torch.randn(2, 3, 8, 8, dtype=dtype) for name in net.modalities})
    assert made.branches.dtype == dtype


def test_a_network_in_which_nothing_would_exchange_is_refused():
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match="no layer would exchange"):
        to_cen(plain, ("rgb", "depth"))
    assert not exchange_layers(to_cen(plain, ("rgb", "depth"), exchange=False))


def test_no_generator_is_moved(monkeypatch):
    class Subclass(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    seeded = []
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeded.append(seed))  # which seeds GPUs, too
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), Subclass(4))
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="Subclass"):
        to_cen(plain, ("rgb", "depth"))
    assert seeded == []
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "depth"), ("rgb", "depth", "edge")])
@pytest.mark.parametrize("conv", ["shared", "private"])
@pytest.mark.parametrize("name", NETWORKS)
def test_with_equal_inputs_every_branch_and_the_ensemble_equal_the_original(name, conv, modalities):
    original = lively(NETWORKS[name]()).eval()
    net = to_cen(original, modalities, conv=conv)
    assert not net.training
    x = torch.randn(1, 3, 40, 33, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, found = original(x), net(dict.fromkeys(modalities, x))
    pairs = [(expected[key], found[key]) for key in expected] if name == "fcn_resnet50" else [(expected, found)]
    for reference, out in pairs:
        assert out.branches.shape == (len(modalities), *reference.shape)
        for branch in [*out.branches, out.ensemble]:
            torch.testing.assert_close(branch, reference, rtol=1e-4, atol=1e-4)
        assert out.weights.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["resnet18", "small"])
def test_in_training_every_stream_equals_the_original_and_so_do_its_statistics(name):
    original = lively(NETWORKS[name]()).double().train()
    net = to_cen(original, ("a", "b"))
    assert net.training
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected, out = original(x), net({"a": x, "b": x})
    for branch in out.branches:
        torch.testing.assert_close(branch, expected, rtol=1e-9, atol=1e-9)
    first = next(layer for layer in original.modules() if isinstance(layer, nn.BatchNorm2d))
    modal = next(layer for layer in net.modules() if isinstance(layer, ModalBatchNorm2d))
    torch.testing.assert_close(modal.running_var, first.running_var.expand(2, -1))


def test_different_inputs_meet_where_gammas_are_small():
    net = to_cen(SmallNet().eval(), ("a", "b"), threshold=0.5)
    x = {"a": torch.randn(1, 3, 8, 8), "b": torch.randn(1, 3, 8, 8)}
    apart = net(x).branches
    other = net({"a": x["a"], "b": torch.randn(1, 3, 8, 8)}).branches
    torch.testing.assert_close(apart[0], other[0])
    net.body.stem[1].norm.weight.data[0, :5] = 0.1
    together = net(x).branches
    assert not torch.allclose(together[0], apart[0])
    torch.testing.assert_close(together[1], apart[1])


def test_the_original_is_left_as_it_was():
    original = lively(NETWORKS["resnet18"]())
    before = copy.deepcopy(original.state_dict())
    net = to_cen(original, ("a", "b"), gamma_init=0.3)
    net.body.conv1.weight.data.zero_()
    net(torch.randn(4, 3, 32, 32))
    assert type(original.bn1) is nn.BatchNorm2d
    assert all(torch.equal(value, original.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "count"), [("resnet18", 1 + 16), ("resnet50", 1 + 16), ("fcn_resnet50", 1 + 16 + 1), ("small", 2)]
)
def test_exchange_follows_the_norms_of_larger_kernels(name, count):
    net = to_cen(NETWORKS[name](), ("a", "b"))
    found = exchange_layers(net)
    assert len(found) == count
    if name == "small":
        assert list(found) == ["body.stem.1", "body.wide.1"]
        assert isinstance(net.body.point[1], ModalBatchNorm2d)
        assert isinstance(net.body.wide[1].norm, ModalInstanceNorm2d)
    assert not any(isinstance(layer, nn.BatchNorm2d | nn.InstanceNorm2d) for layer in net.modules())


def test_the_places_can_be_chosen():
    def late(name: str, conv: nn.Conv2d) -> bool:
        return name.startswith("layer4") and conv.stride == (1, 1)

    net = to_cen(NETWORKS["resnet18"](), ("a", "b"), after=late)
    assert list(exchange_layers(net)) == ["body.layer4.0.bn2", "body.layer4.1.bn1", "body.layer4.1.bn2"]


def test_a_norm_is_paired_by_order_and_channels():
    apart = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3))
    apart.append(nn.BatchNorm2d(5))
    net = to_cen(apart, ("a", "b"))
    assert list(exchange_layers(net)) == ["body.1"]
    upward = nn.Sequential(nn.ConvTranspose2d(3, 4, 2, stride=2), nn.BatchNorm2d(4))
    assert list(exchange_layers(to_cen(upward, ("a", "b")))) == ["body.1"]


def test_by_default_a_random_share_of_each_part_is_exchanged_the_same_in_every_call():
    net, again, less = (to_cen(SmallNet(), ("rgb", "depth"), share=share) for share in (0.5, 0.5, 0.3))
    for one, other, few in zip(*(exchange_layers(each).values() for each in (net, again, less)), strict=True):
        replaced = one.replaced()
        assert replaced.sum(dim=1).tolist() == [2, 2]  # of 5 and of 4 channels
        assert not (replaced & ~one.replaceable).any()
        assert torch.equal(replaced, other.replaced())
        assert few.replaced().sum(dim=1).tolist() == [2, 1]
    assert {name for name in net.state_dict() if name.endswith("fixed")}
    by_gamma = to_cen(SmallNet(), ("rgb", "depth"), threshold=0.5)
    assert all(layer.fixed is None and not layer.replaced().any() for layer in exchange_layers(by_gamma).values())
    assert less.state_dict().keys() == to_cen(SmallNet(), ("rgb", "depth")).state_dict().keys(), "30% by itself"


def test_a_state_is_that_of_its_modalities_in_their_order(tmp_path):
    net = to_cen(SmallNet(), ("rgb", "depth"))
    state = net.state_dict()
    save_file(state, tmp_path / "net.safetensors")
    same, other = to_cen(SmallNet(), ("rgb", "depth")), to_cen(SmallNet(), ("depth", "rgb"))
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ValueError, match=r"of the modalities rgb, depth, in this order, not depth, rgb"):
        other.load_state_dict(state)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    same.load_state_dict(load_file(tmp_path / "net.safetensors"))
    unnamed = {name: value for name, value in state.items() if name != "_extra_state"}  # of version 0.1
    other.load_state_dict(unnamed)
    images = torch.randn(2, 1, 3, 16, 16)
    assert torch.equal(same.eval()(images).ensemble, net.eval()(images).ensemble)
    assert torch.equal(other.eval()(images).ensemble, net(images).ensemble)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"share": 0}, "share = 0: above 0, at most 1"),
        ({"share": 0.05}, "a share of 0.05 is no channel: no layer may replace more than 5"),
        ({"share": 0.5, "threshold": 0.1}, "share = 0.5 and threshold = 0.1: one of them"),
        ({"threshold": -1.0}, "threshold = -1.0: at least 0"),
        ({"threshold": float("nan")}, "threshold = nan: at least 0"),
    ],
)
def test_a_choice_that_would_replace_nothing_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        to_cen(SmallNet(), ("rgb", "depth"), **settings)


@pytest.mark.parametrize(("layer", "conv"), [("1", "shared"), ("0", "private")])
def test_layers_that_have_a_parameter_in_common_are_refused(layer, conv):
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    other = str(int(layer) + 2)
    net.get_submodule(other).weight = net.get_submodule(layer).weight
    with pytest.raises(ValueError, match=f"^{layer}: {layer} and {other} have one parameter in common"):
        to_cen(net, ("a", "b"), conv=conv)


def test_optimisers_are_told_what_not_to_decay():
    class Own(SmallNet):
        def no_weight_decay(self) -> set[str]:
            return {"head.weight"}

    net = to_cen(Own(), ("a", "b"))
    tables = {
        f"body.{name}.{part}" for name in ("stem.1.norm", "point.1", "wide.1.norm") for part in ("weight", "bias")
    }
    assert net.no_weight_decay() == {*tables, "ensemble.alpha", "body.head.weight"}
    undecayed, decayed = create_optimizer_v2(net, weight_decay=0.1).param_groups
    assert (undecayed["weight_decay"], decayed["weight_decay"]) == (0.0, 0.1)
    assert len(decayed["params"]) == 3, "the kernels"


def test_settings_reach_the_layers():
    net = to_cen(
        SmallNet(), ("a", "b"), threshold=0.3, region="all", replace="anywhere", gamma_init=0.7, exchange=False
    )
    for layer in exchange_layers(net).values():
        assert (layer.threshold, layer.region, layer.replace, layer.active) == (0.3, "all", "anywhere", False)
        assert (layer.norm.weight == 0.7).all()
    assert (net.body.point[1].weight == 1).all()


@pytest.mark.parametrize("norm", SHARING)
def test_sharing_modes_shape_the_norms(norm):
    affine, statistics = SHARING[norm]
    net = to_cen(SmallNet(), ("a", "b", "c"), norm=norm, exchange=affine == "private")
    layer = net.body.stem[1].norm
    assert layer.weight.shape[0] == (3 if affine == "private" else 1)
    assert layer.running_var.shape[0] == (3 if statistics == "private" else 1)
    assert net(torch.randn(3, 3, 8, 8)).branches.shape == (3, 1, 4)


def test_a_layer_used_twice_stays_one_layer():
    block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
    net = to_cen(nn.Sequential(block, block, nn.ModuleDict({"again": block[1]})["again"]), ("a", "b"), conv="private")
    assert net.body[0] is net.body[1]
    assert net.body[2] is net.body[0][1]
    assert isinstance(net.body[0][0], PrivateCopies)


def test_private_convolutions_leave_other_layers_shared():
    net = to_cen(SmallNet(), ("a", "b"), conv="private")
    assert [copied.weight.shape for copied in net.body.stem[0].copies] == [(9, 3, 5, 5)] * 2
    net.to(memory_format=torch.channels_last)
    assert isinstance(net.body.head, nn.Linear)


def test_transposed_convolutions_become_private_too():
    upward = nn.Sequential(nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), nn.BatchNorm2d(4)).eval()
    net = to_cen(upward, ("a", "b"), conv="private")
    assert isinstance(net.body[0], PrivateCopies)
    assert list(exchange_layers(net)) == ["body.1"]
    x = torch.randn(2, 3, 5, 6)
    for branch in net({"a": x, "b": x}).branches:
        torch.testing.assert_close(branch, upward(x))


def test_group_norms_beside_batch_norms_stay_shared():
    net = to_cen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(6)), ("a", "b"))
    assert isinstance(net.body[2], nn.GroupNorm)
    assert type(net.body[3]) is nn.LayerNorm


def test_frozen_and_synchronised_norms_become_modal():
    frozen = torchvision.ops.FrozenBatchNorm2d(4)
    frozen.running_mean += 0.3
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), frozen, nn.Conv2d(4, 4, 3), nn.SyncBatchNorm(4))
    net = to_cen(plain, ("a", "b"), check=True)
    assert list(exchange_layers(net)) == ["body.1", "body.3"]
    assert isinstance(net.body[3].norm, ModalSyncBatchNorm2d)
    before = net.body[1].norm.running_mean.clone()
    loss = net(torch.randn(4, 3, 8, 8)).branches.square().mean()
    loss.backward()
    assert torch.equal(net.body[1].norm.running_mean, before)
    assert net.body[1].norm.weight.grad.abs().sum() > 0


class KeptInEvaluation(nn.Sequential):
    """A network whose own `train` keeps its norms in evaluation, and returns nothing."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self[1].eval()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True, track_running_stats=True)])
def test_norms_that_a_network_keeps_in_evaluation_are_kept_there(norm):
    norm.running_mean += 0.3
    plain = KeptInEvaluation(nn.Conv2d(3, 4, 3), norm)
    net = to_cen(plain, ("a", "b"), exchange=False, check=True)
    x = torch.randn(2, 3, 8, 8)
    plain.train()
    net.train()
    for branch in net({"a": x, "b": x}).branches:
        torch.testing.assert_close(branch, plain(x))
    torch.testing.assert_close(net.body[1].norm.running_mean, norm.running_mean.expand(2, -1))
    assert cen_cli.health(plain, x).parts


class PositiveNorm(nn.BatchNorm2d):
    """A norm that scales by |gamma|: it is its parent's as long as all gammas are positive."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight.abs(), self.bias, self.training, self.momentum, self.eps
        )


@pytest.mark.parametrize("channels", [1, 4])
def test_a_norm_that_differs_where_gammas_are_negative_is_refused(channels):
    with pytest.raises(ValueError, match="PositiveNorm"):
        to_cen(nn.Sequential(nn.Conv2d(3, channels, 3), PositiveNorm(channels)), ("a", "b"))


@pytest.mark.parametrize(
    ("modalities", "settings", "message"),
    [
        (2, {}, "modalities = 2: a list or tuple"),
        (("a", "b"), {"threshold": "0.02"}, "threshold = '0.02'"),
        (("a", "b"), {"share": 7.0, "exchange": False}, "share = 7.0"),
        (("a", "b"), {"gamma_init": "1"}, "gamma_init = '1'"),
        (("a", "b"), {"share": 0.5, "replace": "anywhere"}, "a threshold finds channels there"),
        (("a", "b"), {"replace": "anywhere"}, "a threshold finds channels there"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(modalities, settings, message):
    with pytest.raises(ValueError, match=message):
        to_cen(SmallNet(), modalities, **settings)


def test_numbers_of_any_kind_are_numbers():
    net = to_cen(SmallNet(), ("a", "b"), threshold=torch.tensor(0.5))
    assert {layer.threshold for layer in exchange_layers(net).values()} == {0.5}
    to_cen(SmallNet(), ("a",), replace="anywhere")


def test_gammas_of_any_shape_are_probed():
    class Wide(nn.BatchNorm2d):
        def __init__(self, channels: int) -> None:
            super().__init__(channels)
            self.weight = nn.Parameter(self.weight.detach().view(1, -1, 1, 1))

    with pytest.raises(ValueError, match="Wide"):
        to_cen(nn.Sequential(nn.Conv2d(3, 4, 3), Wide(4)), ("a", "b"))


class ActivatedNorm(nn.BatchNorm2d):
    """A norm that also activates, as many encoders have them."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class DoubledNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class PaddedConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1), value=1.0))


@pytest.mark.parametrize("conv", ["shared", "private"])
def test_what_a_subclass_does_besides_is_kept(conv):
    plain = nn.Sequential(PaddedConv(3, 8, 3, bias=False), ActivatedNorm(8), nn.Conv2d(8, 4, 1)).eval()
    net = to_cen(plain, ("a", "b"), conv=conv, check=True)
    assert list(exchange_layers(net)) == ["body.1.norm"]
    x = torch.randn(2, 3, 6, 6)
    for branch in net({"a": x, "b": x}).branches:
        torch.testing.assert_close(branch, plain(x))


def test_maps_in_lists_and_tuples_are_combined_one_by_one():
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
            self.second = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))

        def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
            x = self.first(x)
            return [x, self.second(x)], x

    (fine, coarse), again = to_cen(Pyramid(), ("a", "b"), check=True)(torch.randn(4, 3, 8, 8))
    assert fine.branches.shape == again.branches.shape == (2, 2, 4, 6, 6)
    assert coarse.ensemble.shape == (2, 6, 4, 4)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
def test_a_network_is_traced_with_inputs_by_name():
    net = to_cen(SmallNet().eval(), ("a", "b"), threshold=2.0)
    inputs = {name: torch.randn(1, 3, 8, 8) for name in net.modalities}
    branches, ensemble, weights = torch.jit.trace(net, (inputs,))(inputs)
    for found, wanted in zip((branches, ensemble, weights), net(inputs), strict=False):
        torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
def test_lists_are_traced_as_tuples():
    class Maps(SmallNet):
        def forward(self, x: Tensor) -> list[Tensor]:
            return [super().forward(x), x]

    net = to_cen(Maps().eval(), ("a", "b"), threshold=2.0)
    inputs = {name: torch.randn(1, 3, 8, 8) for name in net.modalities}
    made, wanted = torch.jit.trace(net, (inputs,))(inputs), net(inputs)
    assert isinstance(wanted, list)
    torch.testing.assert_close(made[0][0], wanted[0].branches)


def test_a_network_that_mixes_a_batch_is_found_out():
    class Mixing(SmallNet):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x - x.mean(0, keepdim=True))

    with pytest.raises(ValueError, match=r"stream 'a' differs by .* mixes the images of a batch"):
        to_cen(Mixing(), ("a", "b"), check=True)


class MovingNorm(nn.Module):
    """A batch norm by hand, whose statistics have names of their own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("moving_mean", torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.moving_mean.lerp_(x.detach().mean((0, 2, 3)), 0.1)
        return x - self.moving_mean[:, None, None]


def test_statistics_of_images_that_modalities_would_share_are_found_out():
    net = nn.Sequential(*SmallNet().stem, MovingNorm(SmallNet().stem[0].out_channels))
    with pytest.raises(ValueError, match=r"3: MovingNorm is no known norm and keeps, as moving_mean"):
        to_cen(net, ("a", "b"), check=True)
    to_cen(net, ("a", "b"), norm="shared", exchange=False, check=True)


def test_power_iterations_are_no_statistics_of_images():
    net = SmallNet()
    nn.utils.parametrizations.spectral_norm(net.stem[0])
    to_cen(net, ("a", "b"), check=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_conversion_is_checked_whatever_the_type(dtype):
    to_cen(SmallNet().to(dtype), ("a", "b"), check=True)


def test_images_that_a_network_does_not_take_are_named():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))
    with pytest.raises(ValueError, match=r"cannot be checked on images \[2, 3, 64, 64\].*check=a tensor"):
        to_cen(net, ("a", "b"), check=True)
    to_cen(net, ("a", "b"), check=torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("check", [True, False])
def test_a_number_for_the_whole_batch_has_no_branches(check):
    class WithLoss(SmallNet):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = super().forward(x)
            return y, y.mean()

    with pytest.raises(ValueError, match="a single number for all images"):
        to_cen(WithLoss(), ("a", "b"), check=check)(torch.zeros(2, 3, 8, 8))


def test_hooks_would_be_lost():
    net = SmallNet()
    net.stem[1].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"stem\.1: BatchNorm2d has hooks"):
        to_cen(net, ("a", "b"))


def conv_norm(norm: nn.Module, conv: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(conv or nn.Conv2d(3, 4, 3), norm)


@pytest.mark.parametrize(
    ("net", "settings", "message"),
    [
        (nn.Conv2d(3, 4, 3), {}, "no batch or instance norm"),
        (conv_norm(nn.GroupNorm(2, 4)), {}, "no batch or instance norm"),
        (
            conv_norm(nn.BatchNorm3d(4)),
            {},
            "1: BatchNorm3d is no known norm, and would normalise all",
        ),
        (conv_norm(DoubledNorm(4)), {}, "1: DoubledNorm is no known norm"),
        (nn.Sequential(nn.Conv2d(3, 4, 4), nn.Linear(4, 4), nn.LayerNorm(5)), {}, "2: a LayerNorm.*Transformers"),
        (conv_norm(nn.BatchNorm2d(4, momentum=None)), {}, "1: momentum=None"),
        (conv_norm(nn.BatchNorm2d(4)), {"norm": "own"}, "norm = 'own': one of private, shared"),
        (conv_norm(nn.BatchNorm2d(4)), {"norm": "shared"}, "norm = 'shared' leaves one gamma"),
        (conv_norm(nn.BatchNorm2d(4)), {"norm": "statistics-private"}, "leaves one gamma for all modalities"),
        (conv_norm(nn.BatchNorm2d(4)), {"conv": "own"}, "conv = 'own'"),
        (conv_norm(nn.BatchNorm2d(4)), {"modalities": ()}, r"modalities = \(\)"),
        (conv_norm(nn.BatchNorm2d(4)), {"modalities": ("a", "a")}, r"modalities = \('a', 'a'\)"),
        (conv_norm(nn.BatchNorm2d(4)), {"modalities": "rgb"}, "modalities = 'rgb'"),
    ],
)
def test_what_cannot_be_converted_is_refused(net, settings, message):
    with pytest.raises(ValueError, match=message):
        to_cen(net, **{"modalities": ("a", "b"), **settings})


def test_other_batch_norms_may_be_shared_on_purpose():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(16))
    assert isinstance(to_cen(net, ("a", "b"), norm="shared", exchange=False).body[3], nn.BatchNorm1d)


def test_a_name_in_place_of_a_network_is_refused():
    with pytest.raises(TypeError, match=r"a network .torch.nn.Module. such as .*, not 'resnet18'"):
        to_cen("resnet18", modalities=("rgb", "depth"))


def test_an_output_that_holds_no_tensors_is_refused():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> set[Tensor]:
            return {self.norm(x)}

    with pytest.raises(TypeError, match="returned set: expected tensors"):
        to_cen(Odd(), ("a",), exchange=False)(torch.zeros(2, 3, 4, 4))


def test_layers_are_converted_in_place():
    net = SmallNet()
    convert_layers(net, 4, StreamSettings(threshold=0.1))
    assert isinstance(net.stem[1], ChannelExchange)
    assert net.stem[1].gamma.shape == (4, 9)


def test_a_converted_network_is_traced_as_one_graph():
    net = to_cen(SmallNet(), ("a", "b"), threshold=2.0).eval()
    x = {"a": torch.randn(1, 3, 8, 8), "b": torch.randn(1, 3, 8, 8)}
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x).ensemble, net(x).ensemble)


def test_a_network_is_exported_for_batches_of_any_size():
    net = to_cen(SmallNet(), ("a", "b")).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    three, five = ({name: torch.randn(size, 3, 8, 8) for name in ("a", "b")} for size in (3, 5))
    exported = torch.export.export(net, (three,), dynamic_shapes=({"a": {0: batch}, "b": {0: batch}},)).module()
    torch.testing.assert_close(exported(five).branches, net(five).branches)


@pytest.mark.parametrize("gamma_init", [float("nan"), 0.0, float("inf")])
def test_a_gamma_to_start_from_is_a_number_above_0(gamma_init):
    with pytest.raises(ValueError, match="above 0, and finite"):
        to_cen(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), ("a", "b"), gamma_init=gamma_init)


def test_a_choice_is_not_loaded_where_nothing_is_exchanged():
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    state = to_cen(plain, ("a", "b")).state_dict()
    with pytest.raises(RuntimeError, match="a choice of channels, and this network is made to exchange nothing"):
        to_cen(plain, ("a", "b"), exchange=False).load_state_dict(state)


# --- what a check and a call see of networks that cannot be shared ----------------------------------------------------


class ViewsSideBySide(SmallNet):
    """Each image and its mirror image, on the batch axis: samples are alone, and streams are not."""

    def forward(self, x: Tensor) -> Tensor:
        seen, mirrored = super().forward(torch.cat([x, x.flip(-1)])).chunk(2)
        return seen + mirrored.flip(-1)


class ReadsItsNorm(SmallNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.stem[1].num_features


class Prototypes(SmallNet):
    def __init__(self) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(6, 5))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": super().forward(x), "prototypes": self.prototypes}


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (ViewsSideBySide(), r"stream 'a' differs by .*It mixes the images of a batch"),
        (ReadsItsNorm(), r"fails on images .*num_features.*reads a layer without calling it"),
        (Prototypes(), "stream 'a' differs by nan"),
    ],
)
def test_a_check_sees_streams_that_are_mixed_up(net, message):
    with pytest.raises(ValueError, match=message):
        to_cen(net, ("a", "b"), check=True)


def test_what_is_not_of_the_images_has_no_modalities():
    with pytest.raises(ValueError, match=r"returned \[6, 5\] for 4 images"):
        to_cen(Prototypes(), ("a", "b"))(torch.zeros(4, 3, 8, 8))


class EarlyAsBatchNorm(nn.BatchNorm2d):
    """A batch norm until many steps have been made, as batch renormalisation is."""

    def forward(self, x: Tensor) -> Tensor:
        late = self.num_batches_tracked is not None and self.num_batches_tracked > 5000
        return super().forward(x) * (2 if late else 1)


class Clamped(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(-50, 50)


@pytest.mark.parametrize("norm", [EarlyAsBatchNorm, Clamped])
def test_a_norm_that_differs_late_or_on_large_values_is_no_plain_one(norm):
    with pytest.raises(ValueError, match=f"1: {norm.__name__} is no known norm"):
        to_cen(conv_norm(norm(4)), ("a", "b"))


def hooked() -> nn.Module:
    net = SmallNet()
    nn.utils.weight_norm(net.stem[0])
    return net


def patched() -> nn.Module:
    net = SmallNet()
    net.stem[1].forward = lambda x: 2 * x
    return net


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (lambda: nn.BatchNorm2d(3), {"exchange": False}, "a BatchNorm2d is one layer"),
        (hooked, {}, r"cannot be copied .*weight_norm"),
        (patched, {}, r"stem\.1: a forward was put on this BatchNorm2d"),
        (lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.BatchNorm2d(8)), {}, r"0\.weight: has no size yet"),
        (SmallNet, {"modalities": {"a", "b"}}, "modalities = .*: a list or tuple"),
        (SmallNet, {"modalities": ("a", "ensemble")}, "'ensemble' is what the branches' sum is called"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_would_be_lost_or_swapped_is_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        to_cen(make(), **{"modalities": ("a", "b"), **settings})


def test_a_check_is_a_word_or_images():
    with pytest.raises(TypeError, match="check: True, False or images"):
        to_cen(SmallNet(), ("a", "b"), check=(2, 3, 64, 64))
