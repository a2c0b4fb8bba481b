"""A run on disk: its directory, checkpoints, log, recorded gammas and environment; writer beside reader."""
