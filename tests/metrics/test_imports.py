from __future__ import annotations

import subprocess
import sys


def test_the_public_metrics_load_neither_scikit_image_nor_torch_fidelity():
    code = "import sys, cen_cli; cen_cli.metrics.kernel_distance; print({'skimage', 'torch_fidelity'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
