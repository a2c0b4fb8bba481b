"""What a run ran on: versions, device, command line, git commit; written beside the recipe as environment.json."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import cen_cli
from cen_cli import ranks

_PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "pillow")


def describe_environment(device: torch.device, precision: str, fingerprint: dict[str, str]) -> dict[str, Any]:
    """A JSON document; `fingerprint` (of the data, by split) is what a resumed run is held against."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "versions": {"cen": cen_cli.__version__, "python": platform.python_version()}
        | {name: version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "device": _device_name(device),
        "devices": ranks.count(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "git_commit": _git_commit(),
        "data": fingerprint,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.processor() or platform.machine()})"


def _git_commit() -> str | None:
    """The commit of the source tree that this package runs from; None where it is not one."""
    try:
        _git("ls-files", "--error-unmatch", "__init__.py")  # a package installed inside some other repository is not it
        return _git("rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(cen_cli.__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
