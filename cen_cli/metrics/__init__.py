"""Scores of predictions; one file a metric, each stating its convention.

Here are those that need nothing but torch. `cen_cli.metrics.regression` and `cen_cli.metrics.inception` load
scikit-image and torch-fidelity and are imported where they are used.
"""

from __future__ import annotations

from cen_cli.metrics.fid import frechet_distance, frechet_interval
from cen_cli.metrics.kid import kernel_distance
from cen_cli.metrics.segmentation import confusion_matrix, segmentation_scores

__all__ = ["confusion_matrix", "frechet_distance", "frechet_interval", "kernel_distance", "segmentation_scores"]
