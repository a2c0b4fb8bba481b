"""The learned ensemble."""

from __future__ import annotations

import math

import pytest
import torch

from cen_cli.models.ensemble import LearnedEnsemble


def test_it_starts_as_the_mean():
    branches = torch.randn(3, 2, 4, 5, 5)
    ensemble = LearnedEnsemble(3)
    torch.testing.assert_close(ensemble(branches), branches.mean(0))
    assert ensemble.weights().tolist() == pytest.approx([1 / 3] * 3)


def test_weights_are_the_softmax_of_alpha():
    ensemble = LearnedEnsemble(2)
    ensemble.alpha.data = torch.tensor([math.log(3.0), 0.0])
    assert ensemble.weights().tolist() == pytest.approx([0.75, 0.25])
    branches = torch.tensor([[[4.0]], [[8.0]]])
    assert ensemble(branches).item() == pytest.approx(5.0)


def test_its_loss_trains_alpha_and_never_the_branches():
    branches = torch.randn(2, 1, 3, 2, 2, requires_grad=True)
    ensemble = LearnedEnsemble(2)
    ensemble(branches).square().sum().backward()
    assert branches.grad is None
    assert (ensemble.alpha.grad != 0).all()


def test_one_modality_has_weight_one_and_nothing_to_learn():
    branches = torch.randn(1, 2, 3, 4, 4)
    ensemble = LearnedEnsemble(1)
    assert torch.equal(ensemble(branches), branches[0])
    ensemble(branches).sum().backward()
    assert ensemble.alpha.grad.item() == 0.0


def test_a_count_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="expected 2 branches, got 3"):
        LearnedEnsemble(2)(torch.zeros(3, 1, 1))
