"""Data sets whose inputs are changed on purpose: missing and corrupted modalities, modality dropout."""
