"""cen: channel exchanging networks (Wang et al., NeurIPS 2020) for fusing aligned image modalities.

The names below are the public API. They are imported on first use (PEP 562), so that `import cen_cli` and
`cen --help` load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_NAMES = {
    "analysis.health": "health",
    "builders": "load LoadedNetwork",
    "jobs.analyze": "analyze",
    "jobs.compare": "compare",
    "jobs.evaluate": "evaluate",
    "jobs.predict": "predict",
    "jobs.report": "report",
    "jobs.sweep": "sweep",
    "jobs.train": "train resume",
    "jobs.translate": "translate",
    "models.conversion": "to_cen",
    "models.dropout": "active_dropout",
    "models.exchange": "exchange_channels ChannelExchange exchange_layers",
    "models.norms": "ModalBatchNorm2d ModalInstanceNorm2d set_frozen_statistics set_norm_statistics",
    "models.sparsity": "sparsity_penalty",
    "models.streams": "ModalOutput PrivateCopies PrivateConv2d PrivateConvTranspose2d",
}
_HOME = {name: f"cen_cli.{module}" for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "ChannelExchange",
    "LoadedNetwork",
    "ModalBatchNorm2d",
    "ModalInstanceNorm2d",
    "ModalOutput",
    "PrivateConv2d",
    "PrivateConvTranspose2d",
    "PrivateCopies",
    "__version__",
    "active_dropout",
    "analyze",
    "compare",
    "evaluate",
    "exchange_channels",
    "exchange_layers",
    "health",
    "load",
    "metrics",
    "predict",
    "report",
    "resume",
    "set_frozen_statistics",
    "set_norm_statistics",
    "sparsity_penalty",
    "sweep",
    "to_cen",
    "train",
    "translate",
]

if TYPE_CHECKING:
    from cen_cli import metrics
    from cen_cli.analysis.health import health
    from cen_cli.builders import LoadedNetwork, load
    from cen_cli.jobs.analyze import analyze
    from cen_cli.jobs.compare import compare
    from cen_cli.jobs.evaluate import evaluate
    from cen_cli.jobs.predict import predict
    from cen_cli.jobs.report import report
    from cen_cli.jobs.sweep import sweep
    from cen_cli.jobs.train import resume, train
    from cen_cli.jobs.translate import translate
    from cen_cli.models.conversion import to_cen
    from cen_cli.models.dropout import active_dropout
    from cen_cli.models.exchange import ChannelExchange, exchange_channels, exchange_layers
    from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d, set_frozen_statistics, set_norm_statistics
    from cen_cli.models.sparsity import sparsity_penalty
    from cen_cli.models.streams import ModalOutput, PrivateConv2d, PrivateConvTranspose2d, PrivateCopies


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name == "metrics":
        return importlib.import_module("cen_cli.metrics")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cen_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
