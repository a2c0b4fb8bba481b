import math

import pytest
import torch
import torch.nn.functional as F

from cen_cli.engine.pixel_loss import PixelLoss
from cen_cli.engine.segmentation import segmentation_losses
from cen_cli.models.streams import ModalOutput
from cen_cli.results import Evaluation, SegmentationScores, as_json
from cen_cli.scoring.segmentation import evaluating, predict_labels

CROSS_ENTROPY = PixelLoss()


def output(modalities: int, classes: int = 5) -> ModalOutput:
    torch.manual_seed(0)
    branches = torch.randn(modalities, 2, classes, 4, 6, requires_grad=True)
    weights = torch.linspace(1, 2, modalities).softmax(0).requires_grad_()
    ensemble = (weights.view(-1, 1, 1, 1, 1) * branches.detach()).sum(0)
    return ModalOutput(branches, ensemble, weights)


def target(classes: int = 5) -> torch.Tensor:
    labels = torch.randint(0, classes, (2, 16, 24))
    labels[0, :4] = 255
    return labels


@pytest.mark.parametrize("classes", [5, 15, 16, 40])
def test_losses_equal_their_definition(classes):
    out, labels = output(3, classes), target(classes)
    losses = segmentation_losses(out, labels, ("a", "b", "c"), CROSS_ENTROPY, CROSS_ENTROPY.count(labels))
    resize = lambda logits: F.interpolate(logits, size=(16, 24), mode="bilinear", align_corners=False)  # noqa: E731
    for name, branch in zip("abc", out.branches, strict=True):
        torch.testing.assert_close(losses[name], F.cross_entropy(resize(branch), labels, ignore_index=255))
    torch.testing.assert_close(losses["ensemble"], F.cross_entropy(resize(out.ensemble), labels, ignore_index=255))


def test_the_ensembles_loss_trains_its_weights_and_no_branch():
    out, labels = output(2), target()
    losses = segmentation_losses(out, labels, ("a", "b"), CROSS_ENTROPY, CROSS_ENTROPY.count(labels))
    gradients = torch.autograd.grad(losses["ensemble"], [out.branches, out.weights], allow_unused=True)
    assert gradients[0] is None
    assert gradients[1].abs().min() > 0


def test_one_modality_has_no_ensemble_loss():
    labels = target()
    losses = segmentation_losses(output(1), labels, ("a",), CROSS_ENTROPY, CROSS_ENTROPY.count(labels))
    assert list(losses) == ["a"]


def test_label_maps_of_branches_and_ensemble():
    out = output(2)
    maps = predict_labels(out, (4, 6))
    assert maps.shape == (3, 2, 4, 6)
    assert torch.equal(maps[0], out.branches[0].argmax(1))
    assert torch.equal(maps[2], out.ensemble.argmax(1))
    assert predict_labels(output(1), (4, 6)).shape == (1, 2, 4, 6)
    assert predict_labels(out, (8, 12)).shape == (3, 2, 8, 12)


def test_evaluating_puts_the_mode_back_also_after_an_error():
    model = torch.nn.Linear(1, 1)

    def fail():
        with evaluating(model):
            assert not model.training
            assert torch.is_inference_mode_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert model.training


def test_an_evaluation_survives_json():
    scores = SegmentationScores(0.5, 0.25, math.nan, (0.5, math.nan), (0.25, math.nan))
    before = Evaluation("segmentation", "val", "strict", 3, {"rgb": scores}, {"rgb": 1.0}, ("wall", "floor"))
    after = Evaluation.from_json(as_json(before))
    assert as_json(after) == as_json(before)
    assert math.isnan(after.scores["rgb"].class_iou[1])
    assert after.metric("ensemble.pixel_accuracy") == after.metric("rgb.pixel_accuracy") == 0.5
