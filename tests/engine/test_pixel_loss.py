"""Losses of logits, held against sums written out pixel by pixel."""

import math

import pytest
import torch
import torch.nn.functional as F

from cen_cli.engine.pixel_loss import PixelLoss, class_weights


def case(classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, 5, 6, generator=random) * 2
    target = torch.randint(0, classes - 1, (2, 5, 6), generator=random)  # the last class is not there
    target[0, :2] = 255
    return logits, target


def by_hand(loss: PixelLoss, logits: torch.Tensor, target: torch.Tensor) -> float:
    classes = logits.shape[1]
    weights = [1.0] * classes if loss.class_weights is None else loss.class_weights.tolist()
    total = norm = 0.0
    sums = [[0.0, 0.0, 0.0] for _ in range(classes)]
    pixels = zip(logits.movedim(1, -1).reshape(-1, classes).tolist(), target.flatten().tolist(), strict=True)
    for values, label in pixels:
        if label == 255:
            continue
        exponentials = [math.exp(value) for value in values]
        shares = [each / sum(exponentials) for each in exponentials]
        smooth = loss.label_smoothing / classes
        wanted = [smooth + (1 - loss.label_smoothing) * (c == label) for c in range(classes)]
        entropy = -sum(w * want * math.log(q) for w, want, q in zip(weights, wanted, shares, strict=True))
        total += (1 - shares[label]) ** loss.focal_gamma * entropy
        norm += weights[label]
        for c in range(classes):
            sums[c][0] += shares[c] * (c == label)
            sums[c][1] += shares[c]
            sums[c][2] += c == label
    dice = [2 * both / (predicted + true) for both, predicted, true in sums if true]
    return total / norm + loss.dice * (1 - sum(dice) / len(dice))


@pytest.mark.parametrize("classes", [4, 18])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"class_weights": True},
        {"label_smoothing": 0.1},
        {"class_weights": True, "label_smoothing": 0.2},
        {"focal_gamma": 2.0},
        {"focal_gamma": 1.5, "class_weights": True, "label_smoothing": 0.1},
        {"dice": 0.7},
        {"dice": 2.0, "class_weights": True, "focal_gamma": 2.0},
    ],
    ids=lambda settings: "+".join(settings) or "plain",
)
def test_losses_are_those_of_sums_written_out(settings, classes):
    logits, target = case(classes)
    weights = torch.linspace(0.5, 2.0, classes)
    loss = PixelLoss(**{**settings, "class_weights": weights} if "class_weights" in settings else settings)
    assert float(loss(logits, target, loss.count(target))) == pytest.approx(by_hand(loss, logits, target), rel=1e-5)


def test_the_plain_loss_is_cross_entropy_and_void_gets_no_gradient():
    logits, target = case(4)
    logits.requires_grad_()
    cross_entropy = PixelLoss()
    for loss in (cross_entropy, PixelLoss(dice=1.0, focal_gamma=2.0)):
        (gradient,) = torch.autograd.grad(loss(logits, target, loss.count(target)), logits)
        assert gradient[0, :, :2].abs().max() == 0
        assert gradient[1].abs().min() > 0
    plain = F.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, target, cross_entropy.count(target)), plain)


@pytest.mark.parametrize("settings", [{}, {"focal_gamma": 1.5}, {"dice": 1.0}], ids=str)
def test_a_void_batch_costs_nothing_and_has_no_gradient(settings):
    logits, target = case(18)
    logits.requires_grad_()
    target.fill_(255)
    loss = PixelLoss(**settings)
    cost = loss(logits, target, loss.count(target))
    cost.backward()
    assert cost.item() == 0
    assert not logits.grad.any()


def test_a_focal_gradient_is_finite_where_a_pixel_is_certain():
    logits = torch.tensor([60.0, 0.0, -60.0]).view(1, 3, 1, 1).requires_grad_()
    target = torch.zeros(1, 1, 1, dtype=torch.long)
    loss = PixelLoss(focal_gamma=0.5)
    (gradient,) = torch.autograd.grad(loss(logits, target, loss.count(target)), logits)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("settings", [{"label_smoothing": 0.1}, {"dice": 1.0}, {"focal_gamma": 2.0}], ids=str)
def test_a_class_of_weight_0_is_void(settings):
    logits, target = case(18)
    weights = torch.ones(18)
    weights[3] = 0
    loss = PixelLoss(class_weights=weights, **settings)
    without = target.masked_fill(target == 3, 255)
    assert loss(logits, target, loss.count(target)) == loss(logits, without, loss.count(without))


def test_weights_of_classes_by_how_rare_they_are():
    pixels = torch.tensor([60.0, 30.0, 10.0, 0.0], dtype=torch.float64)
    inverse = class_weights(pixels, torch.full((4,), 100.0, dtype=torch.float64), "inverse")
    torch.testing.assert_close(inverse / inverse[0], torch.tensor([1.0, 2.0, 6.0, 0.0]))
    assert inverse.sum() == pytest.approx(3)
    shown = torch.tensor([100.0, 100.0, 20.0, 0.0], dtype=torch.float64)  # the rare one fills half of its views
    median = class_weights(pixels, shown, "median")
    torch.testing.assert_close(median / median[0], torch.tensor([1.0, 2.0, 1.2, 0.0]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_a_class_alone_that_does_not_count_teaches_nothing(smoothing):
    logits, target = case(3)
    logits.requires_grad_()
    loss = PixelLoss(torch.tensor([0.0, 1.0, 1.0]), label_smoothing=smoothing)
    value = loss(logits, torch.zeros_like(target), loss.count(torch.zeros_like(target)))
    value.backward()
    assert value == 0
    assert not logits.grad.any()
