"""Errors of translated images: MAE and MSE (S-Table 6), PSNR and SSIM by scikit-image.

Images hold values in [-1, 1], so the data range of PSNR and SSIM is 2. Only valid pixels count; an image without any is
left out. MAE and MSE are means over all valid pixels and channels of a split, PSNR and SSIM means over its images.
S-Table 6 prints MAE and MSE times 10.

- PSNR of an exact image is infinite: such images are left out of the mean and counted; where all are exact, it is
  infinite.
- SSIM is that of Wang et al. (2004): Gaussian window, sigma 1.5 (11 px), population covariance, K1 = 0.01, K2 = 0.03;
  each channel alone. The map of the whole image, borders mirrored, is averaged over the valid pixels. Both images are 0
  at invalid pixels, so what is predicted there changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from cen_cli.results import TranslationScores

DATA_RANGE = 2.0
SMALLEST_SIDE = 11
"""Side in pixels of SSIM's window."""


@dataclass(frozen=True)
class _ImageErrors:
    """What one image adds to the scores."""

    absolute: float
    squared: float
    values: int
    psnr: float
    ssim: float


class RegressionSums:
    """Accumulates one branch's errors image by image, in float64: batch size and order change no bit of the scores."""

    def __init__(self) -> None:
        self._images: list[_ImageErrors] = []

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add a batch: prediction and target float [B, C, H, W] in [-1, 1], valid bool [B, 1, H, W]; on any device.

        Raises ValueError for shapes that do not fit and for images smaller than SSIM's window.
        """
        _check_shapes(prediction, target, valid)
        batch = zip(_as_array(prediction), _as_array(target), valid.cpu().numpy(), strict=True)
        self._images += [_errors_of(*image) for image in batch if image[2].any()]

    @classmethod
    def of_all(cls, parts: Iterable[RegressionSums]) -> RegressionSums:
        """What the parts of a split add up to."""
        whole = cls()
        whole._images = [image for part in parts for image in part._images]
        return whole

    @property
    def finite(self) -> bool:
        """Whether no error of any image is NaN or infinite."""
        return all(math.isfinite(image.squared) for image in self._images)

    def scores(self) -> TranslationScores:
        """Scores of all images so far: PSNR over those that are not exact, unless all are; NaN where none is valid."""
        images = self._images
        values = sum(image.values for image in images)
        known = [image.psnr for image in images if image.psnr != math.inf]
        return TranslationScores(
            mae=_ratio(math.fsum(image.absolute for image in images), values),
            mse=_ratio(math.fsum(image.squared for image in images), values),
            psnr=_ratio(math.fsum(known), len(known)) if known or not images else math.inf,
            ssim=_ratio(math.fsum(image.ssim for image in images), len(images)),
        )


def _check_shapes(prediction: Tensor, target: Tensor, valid: Tensor) -> None:
    if prediction.dim() != 4 or prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target are [B, C, H, W] alike, not {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    batch, _, height, width = prediction.shape
    if valid.shape != (batch, 1, height, width) or valid.dtype.is_floating_point:
        raise ValueError(f"valid is bool {(batch, 1, height, width)}, not {valid.dtype} {tuple(valid.shape)}")
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"images of {height} x {width} px are smaller than SSIM's window of {SMALLEST_SIDE} px")


def _as_array(images: Tensor) -> np.ndarray:
    return images.detach().float().cpu().numpy()


def _errors_of(prediction: np.ndarray, target: np.ndarray, valid: np.ndarray) -> _ImageErrors:
    """Errors of one image: prediction and target float32 [C, H, W], valid bool [1, H, W] with at least one pixel."""
    mask = np.broadcast_to(valid.astype(bool), target.shape)
    guessed, truth = prediction[mask].astype(np.float64), target[mask].astype(np.float64)
    error = guessed - truth
    squared = float(np.square(error).sum())
    finite = math.isfinite(squared)
    return _ImageErrors(
        absolute=float(np.abs(error).sum()),
        squared=squared,
        values=error.size,
        psnr=_psnr(truth, guessed, squared) if finite else math.nan,
        ssim=_ssim(prediction, target, mask) if finite else math.nan,
    )


def _psnr(truth: np.ndarray, guessed: np.ndarray, squared: float) -> float:
    return float(peak_signal_noise_ratio(truth, guessed, data_range=DATA_RANGE)) if squared else math.inf


def _ssim(prediction: np.ndarray, target: np.ndarray, mask: np.ndarray) -> float:
    """SSIM averaged over the mask."""
    _, similarity = structural_similarity(
        np.where(mask, target, np.float32(0)),
        np.where(mask, prediction, np.float32(0)),
        data_range=DATA_RANGE,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(similarity[mask].mean(dtype=np.float64))


def _ratio(total: float, count: int) -> float:
    return total / count if count else math.nan
