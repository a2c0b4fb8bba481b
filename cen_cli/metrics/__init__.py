"""Scores of predictions; one file a metric, each stating its convention."""

from __future__ import annotations

from cen_cli.metrics.segmentation import confusion_matrix, segmentation_scores

__all__ = ["confusion_matrix", "segmentation_scores"]
