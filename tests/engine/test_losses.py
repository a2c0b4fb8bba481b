import pytest
import torch

from cen_cli.engine.losses import LossWindow
from cen_cli.errors import DivergedError


def terms(rgb: float, depth: float) -> dict[str, torch.Tensor]:
    return {"rgb": torch.tensor(rgb), "depth": torch.tensor(depth), "total": torch.tensor(rgb + depth)}


FILES = [{"rgb": "a/rgb.png", "labels": "a/mask.png"}]


def test_averages_over_the_interval_and_starts_again():
    window = LossWindow()
    window.add(terms(1.0, 2.0), epoch=1, step=1, files=FILES)
    window.add(terms(3.0, 2.0), epoch=1, step=2, files=FILES)
    assert window.close() == {"rgb": 2.0, "depth": 2.0, "total": 4.0}
    assert window.close() == {}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named_with_its_step_term_and_files(bad):
    window = LossWindow()
    window.add(terms(1.0, 2.0), epoch=3, step=7, files=FILES)
    with pytest.raises(DivergedError, match=rf"epoch 3, step 8: depth = {bad}") as caught:
        window.add(terms(1.0, bad), epoch=3, step=8, files=FILES)
    assert "a/rgb.png" in caught.value.message
    assert "a/mask.png" in caught.value.message
    assert caught.value.exit_code == 1


def test_an_unfinished_interval_survives_saving():
    window = LossWindow()
    window.add(terms(1.0, 2.0), epoch=1, step=1, files=FILES)
    other = LossWindow(window.sums, window.steps)
    for each in (window, other):
        each.add(terms(0.1, 0.2), epoch=1, step=2, files=FILES)
    assert window.close() == other.close()
