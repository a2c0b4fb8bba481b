"""What a tensor says that it holds survives what must not change it, and nothing else."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from cen_cli.data.tensors import DepthMap, Image, Mask, wrap
from cen_cli.data.transforms import resize

VALUES = torch.arange(12, dtype=torch.float32).view(1, 3, 4)


@pytest.mark.parametrize("kind", [Image, Mask, DepthMap])
def test_it_is_said_of_the_tensor_and_of_nothing_computed_from_it(kind: type[Tensor]) -> None:
    made = kind(VALUES)
    assert type(made) is kind
    assert made.data_ptr() == VALUES.data_ptr()
    assert type(made + 1) is type(made[:, :2]) is type(torch.stack([made, made])) is Tensor
    assert type(wrap(made + 1, like=made)) is kind
    assert type(pickle.loads(pickle.dumps(made))) is kind
    assert type(copy.deepcopy(made)) is kind


def test_a_depth_map_is_a_mask_and_no_image() -> None:
    assert isinstance(DepthMap(VALUES), Mask)
    assert not isinstance(DepthMap(VALUES), Image)


@pytest.mark.parametrize("other", [VALUES, tv_tensors.Mask(VALUES)])
def test_what_says_nothing_is_not_resized_as_an_image(other: Tensor) -> None:
    with pytest.raises(TypeError, match="an Image, a Mask or a DepthMap"):
        resize(other, (6, 8))
