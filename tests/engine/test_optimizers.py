import pytest
import torch
from torch import nn

from cen_cli.engine.optimizers import build_optimizer, optimizer_state, restore_optimizer, set_rates
from cen_cli.engine.schedules import Schedule


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)).to(memory_format=torch.channels_last)


def optimizer_for(model: nn.Sequential, kind: str) -> torch.optim.Optimizer:
    groups = {"encoder": list(model[0].parameters()), "decoder": list(model[1].parameters()), "gamma": []}
    decay = {"encoder": 1e-2, "decoder": 0.0, "gamma": 0.0}
    return build_optimizer(groups, kind=kind, momentum=0.9, betas=(0.9, 0.99), weight_decay=decay)


def make_steps(model: nn.Sequential, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        set_rates(optimizer, Schedule("constant", 10), {"encoder": 0.1, "decoder": 0.01}, step)
        generator = torch.Generator().manual_seed(step)
        loss = model(torch.randn(2, 3, 8, 8, generator=generator)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_groups_carry_names_rates_and_decay_and_empty_ones_are_left_out():
    optimizer = optimizer_for(network(), "sgd")
    set_rates(optimizer, Schedule("constant", 10), {"encoder": 0.1, "decoder": 0.01}, 0)
    assert [(g["name"], g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [
        ("encoder", 0.1, 1e-2),
        ("decoder", 0.01, 0.0),
    ]


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_a_restored_optimiser_makes_the_same_steps_bit_for_bit(kind):
    straight = network()
    make_steps(straight, optimizer_for(straight, kind), range(6))

    first = network()
    before = optimizer_for(first, kind)
    make_steps(first, before, range(3))
    tensors, document = optimizer_state(before)
    stored = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    second = network()
    second.load_state_dict(first.state_dict())
    after = optimizer_for(second, kind)
    restore_optimizer(after, stored, document)
    make_steps(second, after, range(3, 6))
    for a, b in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_state_of_other_groups_is_refused():
    model = network()
    tensors, document = optimizer_state(optimizer_for(model, "sgd"))
    with pytest.raises(ValueError, match=r"has groups \['encoder', 'decoder'\], the checkpoint \['encoder'\]"):
        restore_optimizer(optimizer_for(model, "sgd"), tensors, document | {"groups": ["encoder"]})


def test_adamw_decays_weights_apart_from_the_gradient():
    model = network()
    optimizer = optimizer_for(model, "adamw")
    set_rates(optimizer, Schedule("constant", 10), {"encoder": 0.1, "decoder": 0.1}, 0)
    before = model[0].weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model[0].weight, before * (1 - 0.1 * 1e-2))


def test_a_state_of_other_shapes_is_refused():
    model = network()
    optimizer = optimizer_for(model, "adam")
    make_steps(model, optimizer, range(1))
    tensors, document = optimizer_state(optimizer)
    stacked = {name: torch.stack([value] * 2) if value.dim() == 4 else value for name, value in tensors.items()}
    with pytest.raises(ValueError, match=r"optimizer\.0\.exp_avg has shape \[2, 8, 3, 3, 3\], its parameter \[8, 3"):
        restore_optimizer(optimizer, stacked, document)
