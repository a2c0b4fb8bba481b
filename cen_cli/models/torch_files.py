"""Torch files written by others: read as plain data, never as code.

`torch.load(weights_only=True)` builds tensors, numbers, texts and their containers and refuses everything else before
anything of it runs. Beyond torch's own list it may build what training scripts like to save beside their weights:
NumPy's numbers, as their best score, and `argparse.Namespace`, as their arguments.
"""

from __future__ import annotations

import argparse
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cen_cli.errors import CheckpointError

_NUMPY_NUMBER = np.float64(0).__reduce__()[0]
_PLAIN: list[Any] = [
    argparse.Namespace,
    (_NUMPY_NUMBER, "numpy._core.multiarray.scalar"),
    (_NUMPY_NUMBER, "numpy.core.multiarray.scalar"),  # as NumPy 1 wrote it
    np.dtype,
    *(type(np.dtype(name)) for name in ("float16", "float32", "float64", "int32", "int64")),
]
_GLOBAL = re.compile(r"GLOBAL (\S+)")


def read_torch_file(file: Path) -> object:
    """What a torch file holds, its tensors on the CPU.

    Raises CheckpointError where it is damaged, of another kind, or holds anything but plain data.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_PLAIN):
            warnings.simplefilter("ignore")  # torch's remarks on odd files, which are refused here or read well
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(file, str(error)) from error
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(
            f"{file}: cannot be read as weights: {_reason(error)}", hint="copy or download the file again"
        ) from error


def _refused(file: Path, reason: str) -> CheckpointError:
    """A pickle that is not plain data, or no pickle at all."""
    match = _GLOBAL.search(reason)
    if match is None:
        return CheckpointError(
            f"{file}: cannot be read as weights: not a torch file, or a damaged one", hint="copy the file again"
        )
    return CheckpointError(
        f"{file}: cannot be read as weights: it holds {match[1]}, and weights are tensors, numbers and texts alone",
        hint="nothing of it was executed; save the network's state_dict() alone: torch.save(net.state_dict(), FILE)",
    )


def _reason(error: Exception) -> str:
    """The first sentence of torch's explanation."""
    if isinstance(error, EOFError | zipfile.BadZipFile):
        return "it ends too early"
    if isinstance(error, KeyError):  # an unknown code of pickle's, as a number
        return "not a torch file, or a damaged one"
    text = " ".join(str(error).split())
    return text.partition(". ")[0] or type(error).__name__
