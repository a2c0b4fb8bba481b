"""Scoring a network on a split: segmentation, translation, test-time augmentation."""
