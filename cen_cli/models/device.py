"""Devices and precision: names as users type them to what torch takes."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.errors import DeviceError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`: of several processes that torchrun started, its own.

    For a CPU, the process keeps the memory that tensors free, for the next ones (`keep_freed_memory`). Raises
    DeviceError for a device that is not there.
    """
    device = _found(name)
    if device.type == "cpu":
        keep_freed_memory()
    return device


def keep_freed_memory() -> None:
    """Have glibc's malloc reuse the memory of freed tensors; what the environment says of malloc stands.

    By default it gives every large block back to the system, and the next tensor's pages are faulted in one by one.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    allocator = ctypes.CDLL(None)
    if not allocator.mallopt(_M_MMAP_THRESHOLD, _LARGEST):  # older versions take no more than this:
        allocator.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    allocator.mallopt(_M_TRIM_THRESHOLD, _LARGEST)


# Of malloc.h; values are C ints.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _LARGEST = -1, -3, 2**31 - 1


def _found(name: str) -> torch.device:
    if ranks.launched():
        return _of_this_process(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"unknown device {name!r}: allowed are auto, cpu, cuda, cuda:N and mps")
    if device.type == "cuda":
        _check_cuda(name, device)
    if device.type == "mps" and not _has_mps():
        raise DeviceError("device mps was asked for, but this machine has no usable MPS device", hint=_FALLBACK)
    return device


def resolve_precision(precision: Literal["fp32", "bf16", "fp16", "auto"], device: torch.device) -> Precision:
    """`auto` becomes bf16 on CUDA devices that compute it, else fp32; a CPU has to be asked about a network."""
    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def computes_bf16(device: torch.device) -> bool:
    """Whether a device is a CPU with instructions for bf16: AVX512-BF16, AMX, or those of ARM."""
    known = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return known and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """The autocast context of `precision`. bf16 has the range of fp32; gradients of fp16 need a scaled loss."""
    half = "bf16" if precision == "fp32" else precision  # torch takes no float32 here, not even switched off
    return torch.autocast(device.type, dtype=DTYPES[half], enabled=precision != "fp32")


LARGE = 5
"""Side from which on the gradient of a depthwise convolution takes several times as long in bf16 as in fp32 on CPUs."""


def train_large_depthwise_in_fp32(network: nn.Module) -> None:
    """Take depthwise convolutions of `LARGE` x `LARGE` and more out of autocast in training, in place.

    For networks that train in bf16 on a CPU; their evaluation stays as it is.
    """
    for module in (each for each in network.modules() if isinstance(each, nn.Conv2d)):
        if 1 < module.groups == module.in_channels and min(module.kernel_size) >= LARGE:
            module.forward = partial(_in_fp32, module, module.forward)  # type: ignore[method-assign]


def _in_fp32(module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not module.training:
        return forward(x)
    with torch.autocast(x.device.type, enabled=False):
        return forward(x.float())


def _of_this_process(name: str) -> torch.device:
    """The CUDA device that is this process's by its number on its machine, or the CPU, which they share."""
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device {name!r} under torchrun, where every process has its own", hint="auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    own = f"cuda:{os.environ['LOCAL_RANK']}"
    _check_cuda(own, torch.device(own))
    return torch.device(own)


_FALLBACK = "use --device auto or --device cpu"


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _check_cuda(name: str, device: torch.device) -> None:
    if not torch.cuda.is_available():
        raise DeviceError(f"device {name} was asked for, but torch finds no CUDA device here", hint=_FALLBACK)
    if device.index is not None and device.index >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceError(f"device {name} was asked for, but this machine has {count} CUDA device(s)", hint=_FALLBACK)
