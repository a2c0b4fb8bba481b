"""`torchrun -m cen_cli train`: two processes on a CPU train one run, are stopped and killed, and go on."""

from __future__ import annotations

SETTINGS = ["train.log_every=1", "train.checkpoint_every=4", "eval.batch=1"]
LAST_STEP = 32
