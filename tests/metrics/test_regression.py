from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import structural_similarity_index_measure

from cen_cli.metrics.regression import RegressionSums
from cen_cli.results import TranslationScores

SIDE = 24


def random_images(count: int, seed: int = 0, *, valid_share: float = 1.0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(count, 3, SIDE, SIDE, generator=generator) * 2 - 1
    prediction = (target + 0.3 * torch.randn(target.shape, generator=generator)).clamp(-1, 1)
    valid = torch.rand(count, 1, SIDE, SIDE, generator=generator) < valid_share
    return prediction, torch.where(valid, target, 0.0), valid


def scores_of(*images: torch.Tensor, batch: int = 100) -> TranslationScores:
    sums = RegressionSums()
    for part in zip(*(tensor.split(batch) for tensor in images), strict=True):
        sums.update(*part)
    return sums.scores()


def constant(value: float, count: int = 1) -> torch.Tensor:
    return torch.full((count, 3, SIDE, SIDE), value)


EVERYWHERE = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)


def test_hand_made_case():
    scores = scores_of(constant(0.5), constant(0.25), EVERYWHERE)
    similarity = (2 * 0.5 * 0.25 + 0.02**2) / (0.5**2 + 0.25**2 + 0.02**2)  # of constants a, b: C1 = (0.01 * 2)^2
    assert scores.mae == 0.25
    assert scores.mse == 0.0625
    assert scores.psnr == pytest.approx(10 * math.log10(2**2 / 0.0625))
    assert scores.ssim == pytest.approx(similarity, rel=1e-5)


def test_black_against_white_is_the_worst():
    scores = scores_of(constant(-1), constant(1), EVERYWHERE)
    assert (scores.mae, scores.mse) == (2, 4)
    assert scores.psnr == 0
    assert scores.ssim == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("valid_share", [1.0, 0.6])
def test_against_numpy_and_scikit_image(valid_share):
    prediction, target, valid = random_images(4, valid_share=valid_share)
    scores = scores_of(prediction, target, valid)
    masks = [np.broadcast_to(mask, (3, SIDE, SIDE)) for mask in valid.numpy()]
    errors = [(p - t)[m] for p, t, m in zip(prediction.double().numpy(), target.double().numpy(), masks, strict=True)]
    assert scores.mae == pytest.approx(np.abs(np.concatenate(errors)).mean(), rel=1e-12)
    assert scores.mse == pytest.approx(np.square(np.concatenate(errors)).mean(), rel=1e-12)
    ratios = [
        peak_signal_noise_ratio(t.numpy()[m], p.numpy()[m], data_range=2)
        for p, t, m in zip(prediction, target, masks, strict=True)
    ]
    assert scores.psnr == pytest.approx(np.mean(ratios), rel=1e-6)


def test_structural_similarity_against_torchmetrics():
    """Inside the border: there both mirror, but not alike."""
    prediction, target, _ = random_images(3)
    valid = torch.zeros(3, 1, SIDE, SIDE, dtype=torch.bool)
    valid[..., 5:-5, 5:-5] = True
    ours = [image_similarity(p, t, v) for p, t, v in zip(prediction, target, valid, strict=True)]
    settings = {"data_range": 2.0, "sigma": 1.5, "return_full_image": True}
    _, full = structural_similarity_index_measure(prediction * valid, target * valid, **settings)
    expected = [float(image[:, 5:-5, 5:-5].mean()) for image in full]
    assert ours == pytest.approx(expected, rel=1e-4)


def image_similarity(prediction: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> float:
    return scores_of(prediction[None], target[None], valid[None]).ssim


@pytest.mark.parametrize("valid_share", [1.0, 0.5])
def test_batch_size_and_order_change_no_bit(valid_share):
    images = random_images(7, valid_share=valid_share)
    whole = scores_of(*images)
    assert whole == scores_of(*images, batch=1) == scores_of(*images, batch=3)
    assert whole == scores_of(*(tensor.flip(0) for tensor in images), batch=2)


def test_pixels_weigh_in_the_errors_and_images_in_the_similarities():
    prediction = torch.cat([constant(0.5), constant(0.0)])
    target = torch.cat([constant(0.25), constant(1.0)])
    valid = torch.cat([EVERYWHERE, EVERYWHERE])
    valid[1, :, 6:] = False
    scores = scores_of(prediction, target * valid, valid)
    assert scores.mae == pytest.approx((0.25 * 24 + 1.0 * 6) / 30)
    assert scores.mse == pytest.approx((0.0625 * 24 + 1.0 * 6) / 30)
    assert scores.psnr == pytest.approx((10 * math.log10(4 / 0.0625) + 10 * math.log10(4 / 1)) / 2)


def test_what_is_predicted_at_invalid_pixels_changes_nothing():
    prediction, target, valid = random_images(3, valid_share=0.7)
    elsewhere = torch.where(valid, prediction, -prediction.flip(1))
    assert not torch.equal(elsewhere, prediction)
    assert scores_of(elsewhere, target, valid) == scores_of(prediction, target, valid)


def test_images_without_a_valid_pixel_are_left_out():
    prediction, target, valid = random_images(3)
    valid[1] = False
    kept = [tensor[[0, 2]] for tensor in (prediction, target, valid)]
    assert scores_of(prediction, target, valid) == scores_of(*kept)


def test_nothing_valid_gives_nan():
    prediction, target, valid = random_images(2)
    scores = scores_of(prediction, target, torch.zeros_like(valid))
    assert all(map(math.isnan, (scores.mae, scores.mse, scores.psnr, scores.ssim)))
    assert math.isnan(RegressionSums().scores().mae)


def test_exact_images_are_left_out_of_psnr_alone():
    prediction, target, valid = random_images(3)
    inexact = scores_of(prediction[:2], target[:2], valid[:2])
    prediction[2] = target[2]
    scores = scores_of(prediction, target, valid)
    assert scores.psnr == inexact.psnr
    assert scores.mae == pytest.approx(inexact.mae * 2 / 3)
    assert scores.ssim == pytest.approx((inexact.ssim * 2 + 1) / 3)


def test_nothing_but_exact_images():
    _, target, valid = random_images(2)
    scores = scores_of(target, target, valid)
    assert (scores.mae, scores.mse, scores.psnr) == (0, 0, math.inf)
    assert scores.ssim == pytest.approx(1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_predictions_that_are_no_numbers_show(value):
    prediction, target, valid = random_images(2)
    prediction[1, 0, 3, 3] = value
    scores = scores_of(prediction, target, valid)
    assert not math.isfinite(scores.mae)
    assert math.isnan(scores.psnr)
    assert math.isnan(scores.ssim)


def test_bfloat16_predictions():
    prediction, target, valid = random_images(2)
    halved = prediction.bfloat16()
    assert scores_of(halved, target, valid) == scores_of(halved.float(), target, valid)


@pytest.mark.parametrize(
    ("prediction", "target", "valid", "message"),
    [
        ((2, 3, 16, 16), (2, 3, 16, 17), (2, 1, 16, 16), r"alike, not \(2, 3, 16, 16\) and \(2, 3, 16, 17\)"),
        ((3, 16, 16), (3, 16, 16), (1, 16, 16), r"\[B, C, H, W\] alike, not \(3, 16, 16\)"),
        ((2, 3, 16, 16), (2, 3, 16, 16), (2, 3, 16, 16), r"valid is bool \(2, 1, 16, 16\), not torch.bool \(2, 3,"),
        ((2, 3, 10, 16), (2, 3, 10, 16), (2, 1, 10, 16), "10 x 16 px are smaller than SSIM's window of 11 px"),
    ],
)
def test_what_is_refused(prediction, target, valid, message):
    with pytest.raises(ValueError, match=message):
        RegressionSums().update(torch.zeros(prediction), torch.zeros(target), torch.ones(valid, dtype=torch.bool))


def test_a_mask_of_floats_is_refused():
    images = random_images(1)
    with pytest.raises(ValueError, match=r"valid is bool .* not torch.float32"):
        RegressionSums().update(images[0], images[1], images[2].float())
