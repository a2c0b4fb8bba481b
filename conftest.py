"""The helpers of tests and benchmarks are found here; `cen_cli` is what is installed, in child processes, too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # behind the installed packages
os.environ["PYTHONSAFEPATH"] = "1"
