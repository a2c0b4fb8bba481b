"""Training and evaluation: the fit loop, one step per task, checkpoints, the run directory, exact resume."""
