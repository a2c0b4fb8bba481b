"""What two ranks do together and one process alone, to be compared: python -m tests.ranked FOLDER, under torchrun.

Every work takes this rank's part of the same global batches, and returns tensors; rank r writes all of them, by the
work's name, to FOLDER/<r>.pt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import Batch, Sample
from cen_cli.data.sampler import share
from cen_cli.engine.optimizers import build_optimizer
from cen_cli.engine.pixel_loss import PixelLoss
from cen_cli.engine.schedules import Schedule
from cen_cli.engine.segmentation import MODEL, SegmentationTask
from cen_cli.engine.translation import DISCRIMINATOR, GENERATOR, TranslationTask
from cen_cli.errors import IncompleteError
from cen_cli.models.activations import checkpoint_activations
from cen_cli.models.choices import Choice, LargestGains, choose_channels
from cen_cli.models.device import Precision
from cen_cli.models.fusion.align import AlignFusion, alignment_penalty
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.health import watching
from cen_cli.models.norms import set_frozen_statistics, set_synchronised
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.translator import unet_translator
from cen_cli.results import VOID
from cen_cli.scoring.segmentation import SegmentationScorer
from cen_cli.scoring.translation import Distances, TranslationScorer
from tests.streams import built

INPUTS = ("rgb", "depth")
VIEWS, SIZE, CLASSES, STEPS = 4, 64, 3, 3
CPU = torch.device("cpu")

Tensors = dict[str, Tensor]


def batch_of(samples: list[Sample]) -> Batch:
    """Samples of float64, stacked."""
    return Batch(
        names=[sample.name for sample in samples],
        inputs={name: torch.stack([sample.inputs[name] for sample in samples]) for name in INPUTS},
        valid={name: torch.stack([sample.valid[name] for sample in samples]) for name in INPUTS},
        target=torch.stack([sample.target for sample in samples]),
        target_valid=torch.stack([sample.target_valid for sample in samples]),
        files=[{} for _ in samples],
    )


def sample_of(number: int, *, labels: bool, size: int = SIZE) -> Sample:
    """A view of noise, of which the first ones have many void pixels and the others few; the first has nothing else."""
    generator = torch.Generator().manual_seed(number)
    images = torch.rand(3, 3, size, size, generator=generator, dtype=torch.float64) * 2 - 1
    valid = torch.ones(1, size, size, dtype=torch.bool)
    valid[:, : size // (1 + number)] = False
    target = torch.randint(CLASSES, (size, size), generator=generator).where(valid[0], torch.tensor(VOID))
    every = dict.fromkeys(INPUTS, torch.ones_like(valid))
    return Sample(
        str(number),
        dict(zip(INPUTS, images, strict=False)),
        every,
        target if labels else images[2] * valid,
        valid,
        {},
    )


class Views:
    """A data set of such views, in float32."""

    specs = tuple(ModalitySpec(name, "image") for name in INPUTS)
    class_names = tuple("abc"[:CLASSES])

    def __init__(self, count: int, *, labels: bool) -> None:
        self.count, self.labels = count, labels

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int) -> Sample:
        made = sample_of(index, labels=self.labels, size=32)
        inputs = {name: image.float() for name, image in made.inputs.items()}
        return replace(made, inputs=inputs, target=made.target if self.labels else made.target.float())

    def fingerprint(self) -> str:
        return "noise"


def trained(make: Callable[[], Any], *, labels: bool, first: int) -> Tensors:
    """Weights, statistics, loss terms and health after some steps on batches from view number `first` on."""
    torch.manual_seed(0)
    task, found = make(), {}
    for step in range(STEPS):
        numbers = list(range(first + step, first + step + VIEWS))
        batch = batch_of([sample_of(number, labels=labels) for number in share(numbers, ranks.part())])
        with watching(task.model) as watch:
            terms = ranks.averaged(task.step(batch, step))
        found |= {f"step {step} {name}": value for name, value in terms.items()}
    health = watch.health()
    found["health"] = torch.tensor([(part.dead, part.positive, part.gradient) for part in health.parts])
    networks = {"model": task.model, **task.auxiliaries}
    return found | {f"{name}.{key}": each for name, net in networks.items() for key, each in net.state_dict().items()}


COMMON = {
    "schedule": Schedule("constant", total_steps=STEPS),
    "rates": dict.fromkeys(("encoder", "decoder", "gamma", "ensemble", DISCRIMINATOR), 1e-2),
    "device": CPU,
    "precision": "fp32",
    "compiled": False,
    "validation": None,
    "scorer": None,
}


def _optimizer(groups: Mapping[str, list[nn.Parameter]]) -> torch.optim.Optimizer:
    decay = dict.fromkeys(groups, 1e-4)
    return build_optimizer(groups, kind="sgd", momentum=0.9, betas=(0.9, 0.999), weight_decay=decay)


def segmentation(
    *,
    frozen: bool = False,
    synchronised: bool = True,
    fusion: Fusion | None = None,
    choice: Choice = Choice(),  # noqa: B008 (has no state)
    precision: Precision = "fp32",
    checkpointed: bool = False,
) -> SegmentationTask:
    """A step of a small RefineNet, in float64 but for its losses."""
    streams = StreamSettings(threshold=0.5, gamma_init=None if fusion else 0.5)
    settings = {"backbone": "resnet18", "encoder_width": 8, "width": 8, "dropout": 0.0}
    model = refinenet_segmenter(INPUTS, CLASSES, norm=True, streams=streams, fusion=fusion, **settings).double()
    choose_channels(model, choice, seed=0)
    set_frozen_statistics(model, frozen)
    set_synchronised(model, synchronised)
    if checkpointed:
        checkpoint_activations(model.encoder)
    penalty = alignment_penalty if fusion else sparsity_penalty
    return SegmentationTask(
        model=model,
        optimizers={MODEL: _optimizer(model.parameter_groups())},
        penalties={"penalty": lambda network: 1e-2 * penalty(network)},
        clip_norm=1.0,
        auxiliary_weight=0.0,
        loss=PixelLoss(),
        **{**COMMON, "precision": precision},
    )


def translation(*, reuse_forward: bool = False) -> TranslationTask:
    """A step of a small U-Net, whose last map is a single value, and of its discriminator."""
    model = built(unet_translator, INPUTS, levels=6, filters=4, dropout=0.0, threshold=0.5, gamma_init=0.5).double()
    critic = PatchDiscriminator(4, layers=1).double()
    groups = {name: group for name, group in model.parameter_groups().items() if group}
    return TranslationTask(
        model=model,
        discriminator=critic,
        optimizers={
            GENERATOR: _optimizer(groups),
            DISCRIMINATOR: _optimizer({DISCRIMINATOR: list(critic.parameters())}),
        },
        penalties={"sparsity": lambda network: 1e-2 * sparsity_penalty(network)},
        clip_norm=None,
        pixel_weight=10.0,
        adversarial_weight=1.0,
        reuse_forward=reuse_forward,
        **COMMON,
    )


def overflowing() -> Tensors:
    """Three steps in fp16, in the second of which the last rank alone has a gradient that is not finite."""
    torch.manual_seed(0)
    task, step = segmentation(precision="fp16"), 0
    task.model.float()
    task.scalers[MODEL].load_state_dict(task.scalers[MODEL].state_dict() | {"scale": 256.0})
    if ranks.number() == ranks.count() - 1:
        next(task.model.parameters()).register_hook(lambda gradient: gradient * (torch.inf if step == 1 else 1))
    found = {}
    for step in range(STEPS):
        samples = [sample_of(number, labels=True, size=32) for number in share(list(range(VIEWS)), ranks.part())]
        batch = batch_of(samples)
        task.step(replace(batch, inputs={name: image.float() for name, image in batch.inputs.items()}), step)
        found[f"scale {step}"] = torch.tensor(task.scaler_states()[MODEL]["scale"])
        found |= {f"{step} {name}": each.detach().clone() for name, each in task.model.named_parameters()}
    return found


def segmentation_scores() -> Tensors:
    """The confusion matrix over five views, of which each of two ranks sees some."""
    torch.manual_seed(0)
    model = built(refinenet_segmenter, INPUTS, CLASSES, backbone="resnet18", encoder_width=8, width=8)
    evaluation = SegmentationScorer(CPU, "fp32", batch=2, workers=0)(model, Views(5, labels=True), split="val")
    return {"confusion": torch.tensor(evaluation.confusion), "samples": torch.tensor(evaluation.samples)}


class _Pixels:
    """Features of images that tell their order; in the place of Inception's."""

    sha256, note = "none", None

    def __call__(self, images: Tensor) -> Tensor:
        return images.double().flatten(1)[:, :4] / 255


class _Distances(Distances):
    """With features of real images that are at hand."""

    def of_real(self, *_: Any, **__: Any) -> Tensor:
        return torch.linspace(0, 1, 20, dtype=torch.float64).view(5, 4).square()


def translation_scores() -> Tensors:
    """All scores over five views, FID and KID of a few pixels among them."""
    torch.manual_seed(0)
    model = built(unet_translator, INPUTS, levels=4, filters=4)
    views = Views(5, labels=False)

    features: Any = _Pixels()
    scorer = TranslationScorer(CPU, "fp32", 2, 0, "strict", "instance", _Distances(features, Path()))
    evaluation = scorer(model, views, split="val")
    scores = {f"{name}.{key}": each for name, branch in evaluation.scores.items() for key, each in vars(branch).items()}
    return {name: torch.tensor(value) for name, value in scores.items() if value is not None} | {
        "samples": torch.tensor(evaluation.samples)
    }


def agreements() -> Tensors:
    """Who hears what of errors, of leaving and of numbers."""
    found = [float(number) for number in ranks.largest(ranks.number(), 7 - ranks.number())]
    found += [float(number) for number in ranks.gather(ranks.number())]
    for work in (lambda: ranks.leave() if ranks.number() else ranks.gather(0), ranks.leave):
        try:
            work()
        except ranks.Left:
            found.append(-1.0)

    def fails_on_the_last() -> None:
        if ranks.number() == ranks.count() - 1:
            raise IncompleteError("here", {"depth": ["a"]}, views=2, hint="look")

    try:
        ranks.in_turn(fails_on_the_last)
    except IncompleteError as error:
        whole = (str(error), error.message, error.hint, error.lacking) == ("here", "here", "look", {"depth": ("a",)})
        found.append(-2.0 if whole and not error.said_elsewhere else -4.0 if whole else -5.0)
    return {"found": torch.tensor(found)}


ALIGN = Fusion(lambda channels, modalities, _: AlignFusion(channels, modalities), "middle")
WORK: dict[str, Callable[[], Tensors]] = {
    "synchronised": lambda: trained(segmentation, labels=True, first=0),
    "frozen": lambda: trained(lambda: segmentation(frozen=True), labels=True, first=1),
    "chosen": lambda: trained(lambda: segmentation(choice=LargestGains(0.5, 1)), labels=True, first=0),
    "checkpointed": lambda: trained(lambda: segmentation(checkpointed=True), labels=True, first=0),
    "apart": lambda: trained(lambda: segmentation(synchronised=False), labels=True, first=1),
    "aligned": lambda: trained(lambda: segmentation(fusion=ALIGN), labels=True, first=1),
    "translated": lambda: trained(translation, labels=False, first=0),
    "translated, one forward": lambda: trained(lambda: translation(reuse_forward=True), labels=False, first=1),
    "overflowing": overflowing,
    "confusion": segmentation_scores,
    "errors": translation_scores,
    "agreements": agreements,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.joined(CPU):
        torch.save({name: work() for name, work in WORK.items()}, Path(sys.argv[1]) / f"{ranks.number()}.pt")
