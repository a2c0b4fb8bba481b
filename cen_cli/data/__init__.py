"""Data sets of aligned image modalities: reading, one geometry for all of them, exact shuffling and loading.

    from cen_cli.data import NYUDv2, TrainTransform, training_loader

Every data set is a `ViewDataset`; what a view, a sample and a batch hold is written in `sample`.
"""

from __future__ import annotations

from cen_cli.data.loading import evaluation_loader, training_loader
from cen_cli.data.nyudv2 import NYUDv2
from cen_cli.data.roomset import Rooms
from cen_cli.data.sample import VOID, Batch, DepthMap, ModalitySpec, RawView, Sample, collate
from cen_cli.data.sampler import EpochBatches
from cen_cli.data.transforms import EvalTransform, TrainTransform
from cen_cli.data.views import ViewDataset, read_view

__all__ = [
    "VOID",
    "Batch",
    "DepthMap",
    "EpochBatches",
    "EvalTransform",
    "ModalitySpec",
    "NYUDv2",
    "RawView",
    "Rooms",
    "Sample",
    "TrainTransform",
    "ViewDataset",
    "collate",
    "evaluation_loader",
    "read_view",
    "training_loader",
]
