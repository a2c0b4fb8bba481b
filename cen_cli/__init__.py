"""cen: channel exchanging networks (Wang et al., NeurIPS 2020) for fusing aligned image modalities.

The names below are the public API. They are imported on first use (PEP 562), so that `import cen_cli` and
`cen --help` load no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "exchange_channels": "cen_cli.models.exchange",
    "ChannelExchange": "cen_cli.models.exchange",
    "ModalBatchNorm2d": "cen_cli.models.norms",
    "ModalInstanceNorm2d": "cen_cli.models.norms",
    "PrivateCopies": "cen_cli.models.streams",
    "active_dropout": "cen_cli.models.dropout",
    "exchange_layers": "cen_cli.models.exchange",
    "set_frozen_statistics": "cen_cli.models.norms",
    "set_norm_statistics": "cen_cli.models.norms",
    "sparsity_penalty": "cen_cli.models.sparsity",
    "ModalOutput": "cen_cli.models.streams",
    "to_cen": "cen_cli.models.conversion",
    "load": "cen_cli.builders",
}

__all__ = [
    "ChannelExchange",
    "ModalBatchNorm2d",
    "ModalInstanceNorm2d",
    "ModalOutput",
    "PrivateCopies",
    "__version__",
    "active_dropout",
    "exchange_channels",
    "exchange_layers",
    "load",
    "metrics",
    "set_frozen_statistics",
    "set_norm_statistics",
    "sparsity_penalty",
    "to_cen",
]

if TYPE_CHECKING:
    from cen_cli import metrics
    from cen_cli.builders import load
    from cen_cli.models.conversion import to_cen
    from cen_cli.models.dropout import active_dropout
    from cen_cli.models.exchange import ChannelExchange, exchange_channels, exchange_layers
    from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d, set_frozen_statistics, set_norm_statistics
    from cen_cli.models.sparsity import sparsity_penalty
    from cen_cli.models.streams import ModalOutput, PrivateCopies


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name == "metrics":
        return importlib.import_module("cen_cli.metrics")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'cen_cli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
