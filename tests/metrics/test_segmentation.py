from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

import cen_cli
from cen_cli.metrics import confusion_matrix, segmentation_scores
from cen_cli.metrics.segmentation import _count_by_scatter

NAN = float("nan")


def random_maps(classes: int, seed: int, void: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randint(classes, (3, 16, 20), generator=generator)
    target = torch.where(torch.rand(3, 16, 20, generator=generator) < 0.5, prediction, prediction.roll(1))
    return prediction, torch.where(torch.rand(3, 16, 20, generator=generator) < void, 255, target)


def test_hand_made_case():
    target = torch.tensor([[0, 0, 0, 1], [1, 2, 2, 255]])
    prediction = torch.tensor([[0, 0, 1, 1], [1, 2, 0, 2]])
    confusion = confusion_matrix(prediction, target, 3)
    assert confusion.dtype == torch.int64
    assert confusion.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 1]]  # rows are the truth
    scores = segmentation_scores(confusion)
    assert scores.pixel_accuracy == 5 / 7
    assert scores.class_accuracy == (2 / 3, 1.0, 1 / 2)
    assert scores.class_iou == (2 / 4, 2 / 3, 1 / 2)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert scores.mean_iou == pytest.approx((1 / 2 + 2 / 3 + 1 / 2) / 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 14, 40])
def test_against_torchmetrics(classes, seed):
    prediction, target = random_maps(classes, seed)
    confusion = confusion_matrix(prediction, target, classes)
    assert torch.equal(confusion, multiclass_confusion_matrix(prediction, target, classes, ignore_index=255))
    scores = segmentation_scores(confusion)
    settings = {"num_classes": classes, "ignore_index": 255}
    iou = multiclass_jaccard_index(prediction, target, average="none", **settings)
    accuracy = multiclass_accuracy(prediction, target, average="none", **settings)
    np.testing.assert_allclose(scores.class_iou, iou, rtol=1e-6)
    np.testing.assert_allclose(scores.class_accuracy, accuracy, rtol=1e-6)
    micro = multiclass_accuracy(prediction, target, average="micro", **settings)
    assert scores.pixel_accuracy == pytest.approx(float(micro))
    macro = multiclass_jaccard_index(prediction, target, average="macro", **settings)
    assert scores.mean_iou == pytest.approx(float(macro))
    assert scores.mean_accuracy == pytest.approx(float(accuracy.mean()))


def test_class_absent_from_the_truth_is_left_out_though_predicted():
    target = torch.tensor([0, 0, 0, 0, 1, 1])
    prediction = torch.tensor([0, 0, 0, 2, 1, 1])
    scores = segmentation_scores(confusion_matrix(prediction, target, 4))
    np.testing.assert_equal(scores.class_iou, (3 / 4, 1.0, NAN, NAN))
    np.testing.assert_equal(scores.class_accuracy, (3 / 4, 1.0, NAN, NAN))
    assert scores.mean_iou == scores.mean_accuracy == 7 / 8
    assert scores.pixel_accuracy == 5 / 6


def test_void_pixels_count_nowhere_whatever_is_predicted_there():
    prediction, target = random_maps(5, 0)
    void = target == 255
    assert void.any()
    elsewhere = torch.where(void, (prediction + 1) % 5, prediction)
    assert torch.equal(confusion_matrix(prediction, target, 5), confusion_matrix(elsewhere, target, 5))
    assert confusion_matrix(prediction, target, 5).sum() == (~void).sum()


def test_another_ignore_label():
    confusion = confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, -1]), 2, ignore=-1)
    assert confusion.tolist() == [[1, 0], [0, 1]]


def test_nothing_but_void_gives_nan_and_no_warning():
    confusion = confusion_matrix(torch.zeros(4, 4, dtype=torch.int64), torch.full((4, 4), 255), 3)
    assert confusion.tolist() == [[0] * 3] * 3
    scores = segmentation_scores(confusion)
    assert all(map(math.isnan, (scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iou)))
    assert all(map(math.isnan, scores.class_iou + scores.class_accuracy))


def test_matrices_of_batches_add_up_to_that_of_the_split():
    prediction, target = random_maps(7, 3)
    parts = sum(confusion_matrix(p, t, 7) for p, t in zip(prediction, target, strict=True))
    assert torch.equal(parts, confusion_matrix(prediction, target, 7))


def test_8_bit_maps_do_not_overflow():
    prediction, target = random_maps(40, 1)
    small = confusion_matrix(prediction.to(torch.uint8), target.to(torch.uint8), 40)
    assert torch.equal(small, confusion_matrix(prediction, target, 40))


def test_array_and_tensor_score_alike():
    confusion = confusion_matrix(*random_maps(6, 2), 6)
    assert segmentation_scores(confusion) == segmentation_scores(confusion.numpy())


def test_counts_beyond_32_bits():
    scores = segmentation_scores(np.array([[2**40, 0], [2**40, 2**41]], dtype=np.int64))
    assert scores.class_accuracy == (1.0, 2 / 3)
    assert scores.mean_iou == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_perfect_prediction():
    target = random_maps(9, 0, void=0)[0]
    scores = segmentation_scores(confusion_matrix(target, target, 9))
    assert (scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iou) == (1.0, 1.0, 1.0)


def test_public_name():
    assert cen_cli.metrics.segmentation_scores is segmentation_scores


def test_counting_by_scatter_is_counting():
    index = torch.randint(12, (500,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(_count_by_scatter(index, 14), torch.bincount(index, minlength=14))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_nothing_waits_for_the_device():
    prediction, target = random_maps(40, 0)
    on_device = prediction.cuda(), target.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        confusion = confusion_matrix(*on_device, 40)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(confusion.cpu(), confusion_matrix(prediction, target, 40))


class TestWhatIsRefused:
    def test_different_shapes(self):
        with pytest.raises(ValueError, match=r"prediction is of shape \(2, 2\), target of \(2, 3\)"):
            confusion_matrix(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64), 2)

    @pytest.mark.parametrize(
        ("prediction", "target", "message"), [(3, 0, "prediction holds 3"), (0, -1, "target holds -1")]
    )
    def test_values_outside_the_classes(self, prediction, target, message):
        with pytest.raises(ValueError, match=rf"{message}, which is none of the classes 0 \.\. 2"):
            confusion_matrix(torch.tensor([prediction]), torch.tensor([target]), 3)

    @pytest.mark.parametrize(
        ("confusion", "message"),
        [
            (np.zeros((2, 3), np.int64), r"square, not of shape \(2, 3\)"),
            (np.zeros(4, np.int64), r"square, not of shape \(4,\)"),
            (np.zeros((2, 2)), "integer counts, not float64"),
            (np.array([[1, -1], [0, 1]]), "no negative counts"),
        ],
    )
    def test_what_is_no_confusion_matrix(self, confusion, message):
        with pytest.raises(ValueError, match=message):
            segmentation_scores(confusion)
