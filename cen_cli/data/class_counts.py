"""How many pixels of each class a split has, which class weights are made from."""

from __future__ import annotations

import torch
from torch import Tensor

from cen_cli.data.views import ViewDataset
from cen_cli.results import VOID


def count_classes(data: ViewDataset) -> Tensor:
    """int64 [2, K] over all views as they are stored: pixels of each class; known pixels of the views that show it."""
    counts = torch.zeros(2, len(data.class_names), dtype=torch.int64)
    for index in range(len(data)):
        target = data.view(index).target
        if target is not None:
            known = target.as_subclass(Tensor).flatten().long()
            pixels = torch.bincount(known[known != VOID], minlength=counts.shape[1])
            counts += torch.stack([pixels, (pixels > 0) * pixels.sum()])
    return counts
