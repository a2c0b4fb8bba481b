"""The translation task: its losses, the plain loop's gradients, what each update touches, and exact resume."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from cen_cli.data.sample import Batch
from cen_cli.engine.optimizers import build_optimizer
from cen_cli.engine.schedules import Schedule
from cen_cli.engine.translation import DISCRIMINATOR, GENERATOR, TranslationTask, pixel_loss
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.fusion.align import AlignFusion, alignment_penalty
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.translator import unet_translator
from cen_cli.scoring.translation import translating
from tests.streams import built
from tests.tiny import write_translation_recipe

MODALITIES = ("shade", "texture")
RATES = dict.fromkeys(("encoder", "decoder", "gamma", "ensemble", DISCRIMINATOR), 1e-2)


def batch(size: int = 32) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, 3, size, size, generator=generator) * 2 - 1
    valid = torch.ones(2, 1, size, size, dtype=torch.bool)
    valid[0, :, :5] = False
    target = images[2] * valid
    inputs = {"shade": images[0], "texture": images[1]}
    return Batch(["a", "b"], inputs, dict.fromkeys(inputs, valid), target, valid, [{}, {}])


def task(
    *, dropout: float = 0.0, reuse_forward: bool = False, adversarial: bool = True, threshold: float = 0.5
) -> TranslationTask:
    torch.manual_seed(0)
    model = built(
        unet_translator, MODALITIES, levels=5, filters=4, dropout=dropout, threshold=threshold, gamma_init=0.3
    )
    critic = PatchDiscriminator(4, layers=1) if adversarial else None
    penalty = {"sparsity": lambda network: 1e-3 * sparsity_penalty(network)}
    return task_of(model, critic, penalty, reuse_forward=reuse_forward)


def task_of(model, critic, penalties, *, reuse_forward: bool = False) -> TranslationTask:
    optimizers = {GENERATOR: adam({name: group for name, group in model.parameter_groups().items() if group})}
    if critic is not None:
        optimizers[DISCRIMINATOR] = adam({DISCRIMINATOR: list(critic.parameters())})
    return TranslationTask(
        model=model,
        discriminator=critic,
        optimizers=optimizers,
        schedule=Schedule("constant", total_steps=10),
        rates=RATES,
        pixel_weight=100.0,
        adversarial_weight=1.0,
        reuse_forward=reuse_forward,
        penalties=penalties,
        clip_norm=None,
        device=torch.device("cpu"),
        precision="fp32",
        compiled=False,
        validation=None,
        scorer=None,
    )


def adam(groups):
    decay = dict.fromkeys(groups, 0.0)
    return build_optimizer(groups, kind="adam", momentum=0.9, betas=(0.5, 0.999), weight_decay=decay)


def weights_of(network) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def plain_discriminator_loss(critic, views: Batch, branches) -> torch.Tensor:
    """The sum over branches of half of real and fake, one stream at a time; gradients reach the generator too."""
    total = 0.0
    for name, image in zip(MODALITIES, branches, strict=True):
        fake = torch.where(views.target_valid, image, views.target)
        on_real, on_fake = critic(views.inputs[name], views.target), critic(views.inputs[name], fake)
        real = F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
        total = total + (real + F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))) / 2
    return total


def plain_generator_loss(model, critic, views: Batch) -> torch.Tensor:
    """P Eq. 4 with the GAN's loss, one stream at a time."""
    output = model(views.inputs)
    total = 1e-3 * sparsity_penalty(model)
    for name, image in zip(MODALITIES, output.branches, strict=True):
        fake = torch.where(views.target_valid, image, views.target)
        logits = critic(views.inputs[name], fake)
        total = total + F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        total = total + 100 * (image - views.target).abs()[views.target_valid.expand_as(image)].mean()
    detached = torch.einsum("m,mbchw->bchw", output.weights, output.branches.detach())
    return total + 100 * (detached - views.target).abs()[views.target_valid.expand_as(detached)].mean()


def test_pixel_loss_counts_valid_pixels_only():
    target, valid = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    valid[..., 0, :2] = True
    image = torch.full_like(target, 5.0)
    image[..., 0, :2] = torch.tensor([1.0, -3.0])
    assert pixel_loss(image, target, valid) == 2
    assert pixel_loss(image, target, torch.zeros_like(valid)) == 0


def test_step_equals_the_plain_loop():
    toolkit, views = task(), batch()
    model, critic = copy.deepcopy(toolkit.model).double(), copy.deepcopy(toolkit.discriminator).double()
    toolkit.model.double(), toolkit.discriminator.double()
    views = Batch(
        views.names,
        {name: image.double() for name, image in views.inputs.items()},
        views.valid,
        views.target.double(),
        views.target_valid,
        views.files,
    )
    first = adam({DISCRIMINATOR: list(critic.parameters())})
    second = adam(model.parameter_groups())
    for optimizer in (first, second):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2
    model.train(), critic.train()
    plain_discriminator_loss(critic, views, model(views.inputs).branches).backward()
    first.step()
    model.zero_grad(), critic.zero_grad()
    total = plain_generator_loss(model, critic, views)
    total.backward()
    second.step()

    terms = toolkit.step(views, 0)
    assert list(terms) == [DISCRIMINATOR, *MODALITIES, "ensemble", "adversarial", "sparsity", "total"]
    # the loss is computed in float32, so that bf16 is safe: agreement is that of float32
    torch.testing.assert_close(terms["total"].double(), total.detach(), rtol=1e-6, atol=0)
    for name, gradient in ((n, p.grad) for n, p in model.named_parameters()):
        own = toolkit.model.get_parameter(name).grad
        torch.testing.assert_close(own, gradient, rtol=1e-4, atol=1e-6)


def test_gradients_are_bitwise_those_without_detaching_and_freezing():
    toolkit, views = task(), batch()
    model, critic = toolkit.model.train(), toolkit.discriminator.train()
    output = toolkit.output(views)
    toolkit.discriminator_loss(critic, views, output).backward()
    cut = [parameter.grad.clone() for parameter in critic.parameters()]
    assert all(parameter.grad is None for parameter in model.parameters())
    critic.zero_grad()
    through = output.branches.float()
    fake = torch.where(views.target_valid, through, views.target.expand_as(through)).flatten(0, 1)
    condition, real, _ = toolkit._shown(views, output.branches)
    on_real, on_fake = critic(condition, real), critic(condition, fake)
    bce = F.binary_cross_entropy_with_logits
    (2 * (bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))) / 2).backward()
    assert any(parameter.grad is not None for parameter in model.parameters())
    for own, parameter in zip(cut, critic.parameters(), strict=True):
        assert torch.equal(own, parameter.grad)

    model.zero_grad(), critic.zero_grad()
    before = copy.deepcopy(model.state_dict())  # running statistics, by which the 1x1 maps are normalised
    toolkit.losses(views)["total"].backward()
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert all(parameter.requires_grad for parameter in critic.parameters())
    frozen = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model.load_state_dict(before)
    output = toolkit.output(views)
    terms = toolkit.losses(views, output)
    logits = critic(condition, toolkit._shown(views, output.branches)[2])
    unfrozen = 2 * bce(logits, torch.ones_like(logits))
    (torch.stack([*(terms[name] for name in (*MODALITIES, "ensemble")), unfrozen, terms["sparsity"]]).sum()).backward()
    for own, parameter in zip(frozen, model.parameters(), strict=True):
        assert torch.equal(own, parameter.grad)


def test_each_update_moves_its_own_network():
    toolkit = task(threshold=0.1)  # with every channel exchanged both branches were the same, and alpha indifferent
    before = weights_of(toolkit.model), weights_of(toolkit.discriminator)
    toolkit.step(batch(), 0)
    for old, network in zip(before, (toolkit.model, toolkit.discriminator), strict=True):
        still = [name for name, new in weights_of(network).items() if torch.equal(old[name], new)]
        assert still == []


def test_replaced_channels_get_their_gamma_moved_by_the_penalty_alone():
    toolkit, views = task(), batch()
    toolkit.penalties = {}
    toolkit.model.train()
    toolkit.losses(views)["total"].backward()
    for layer in exchange_layers(toolkit.model).values():
        replaced = layer.replaced()
        assert replaced.any()
        assert (layer.norm.weight.grad[replaced] == 0).all()
        assert (layer.norm.weight.grad[~replaced] != 0).any()


def test_one_forward_serves_both_updates_where_asked(monkeypatch):
    for reuse, forwards in ((False, 2), (True, 1)):
        toolkit = task(reuse_forward=reuse)
        calls = []
        generate = toolkit.output
        monkeypatch.setattr(toolkit, "output", lambda views, g=generate, c=calls: (c.append(1), g(views))[1])
        toolkit.step(batch(), 0)
        assert len(calls) == forwards


def test_without_discriminator_only_pixels_count():
    toolkit = task(adversarial=False)
    assert list(toolkit.step(batch(), 0)) == [*MODALITIES, "ensemble", "sparsity", "total"]
    assert toolkit.auxiliaries == {}


@pytest.mark.parametrize("stage", ["early", "all"])
def test_a_fused_network_has_one_image_judged_beside_all_inputs(stage):
    torch.manual_seed(0)
    align = Fusion(lambda channels, modalities, _: AlignFusion(channels, modalities), stage)
    model = unet_translator(MODALITIES, levels=5, filters=4, dropout=0.0, fusion=align)
    critic = PatchDiscriminator(4, layers=1, condition_channels=6)
    toolkit = task_of(copy.deepcopy(model), copy.deepcopy(critic), {"alignment": alignment_penalty})
    views = batch()
    terms = toolkit.step(views, 0)
    assert list(terms) == [DISCRIMINATOR, "fused", "adversarial", "alignment", "total"]

    (image,) = model(views.inputs).branches
    seen = torch.cat([views.inputs["shade"], views.inputs["texture"]], dim=1)
    fake = torch.where(views.target_valid, image, views.target)
    on_real, on_fake = critic(seen, views.target), critic(seen, fake)
    judged = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
    torch.testing.assert_close(terms[DISCRIMINATOR], judged / 2, rtol=1e-4, atol=1e-6)
    model(views.inputs)  # the generator's own forward, after that which the discriminator's update needed
    torch.testing.assert_close(terms["alignment"], alignment_penalty(model), rtol=1e-4, atol=1e-6)


def test_pixel_loss_falls():
    toolkit, views = task(), batch()
    losses = [float(toolkit.step(views, step)["shade"]) for step in range(10)]
    assert losses[-1] < 0.95 * losses[0]


# ---- a run of it ----


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("translate")
    return write_translation_recipe(folder / "tiny-translate.toml", folder / "rooms")


def test_a_killed_run_resumes_bit_for_bit_with_both_networks_and_optimisers(recipe):
    import signal

    from cen_cli.runs.checkpoint import read_tensors
    from tests.engine.test_resume import COMMAND, ENVIRONMENT, SETTINGS, resume, stop_after

    straight, killed = recipe.parent / "straight", recipe.parent / "killed"
    subprocess.run([*COMMAND, str(recipe), "--out", str(straight), *SETTINGS], env=ENVIRONMENT, check=True, timeout=120)
    assert stop_after(recipe, killed, 6, signal.SIGKILL, workers=0) == -signal.SIGKILL
    resume(killed)
    for name in ("model", "training"):
        one, other = (
            read_tensors(run / "checkpoints" / "last" / f"{name}.safetensors")[0] for run in (straight, killed)
        )
        assert sorted(one) == sorted(other)
        different = [key for key in one if not torch.equal(one[key], other[key])]
        assert different == []
    assert any(key.startswith("auxiliary.discriminator/") for key in one)
    assert any(key.startswith("discriminator/optimizer.") for key in one)
    assert any(key.startswith("generator/optimizer.") for key in one)
    assert (straight / "metrics.json").read_text() == (killed / "metrics.json").read_text()


def test_the_paper_s_dropout_in_evaluation_leaves_the_generator_as_it_was() -> None:
    """So a validation that is stopped, and done again on resuming, changes nothing of the training."""
    net = built(unet_translator, MODALITIES, levels=4, filters=6, dropout=0.5)
    x = torch.randn(4, 3, 32, 32)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    made = []
    for _ in range(2):
        with translating(net, "paper", "instance"):
            made.append(net(x).branches)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(made[0], made[1])
    with translating(net, "strict", "instance"):
        assert not torch.equal(net(x).branches, made[0])
