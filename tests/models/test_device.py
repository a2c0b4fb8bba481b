import os
import platform
import subprocess
import sys

import pytest
import torch

from cen_cli.errors import DeviceError
from cen_cli.models.device import resolve_device, resolve_precision


def test_auto_and_cpu_are_always_there():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", ""])
def test_unknown_names_are_refused(name):
    with pytest.raises(DeviceError, match=f"unknown device '{name}': allowed are auto, cpu, cuda, cuda:N and mps"):
        resolve_device(name)


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device cuda:1 was asked for, but torch finds no CUDA device") as caught:
        resolve_device("cuda:1")
    assert caught.value.exit_code == 2


def test_a_cuda_device_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"device cuda:3 was asked for, but this machine has 1 CUDA device"):
        resolve_device("cuda:3")


def test_precision_is_what_was_asked_for_unless_auto():
    cpu = torch.device("cpu")
    assert resolve_precision("bf16", cpu) == "bf16"
    assert resolve_precision("fp32", cpu) == "fp32"
    assert resolve_precision("auto", cpu) == "fp32"  # it has to be asked about a network


_FAULTS = """
import resource, sys, torch
from cen_cli.models.device import resolve_device
if sys.argv[1] == "keep": resolve_device("cpu")
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times): torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(8)
print(faults(16))
"""


def test_freed_tensors_are_reused_on_a_cpu():
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}

    def page_faults(how, **more):
        command = [sys.executable, "-c", _FAULTS, how]
        return int(subprocess.run(command, env=clean | more, capture_output=True, check=True, text=True).stdout)

    if platform.libc_ver()[0] == "glibc":
        assert page_faults("keep") < page_faults("leave") / 2
        own = {"MALLOC_MMAP_THRESHOLD_": "131072"}
        assert page_faults("keep", **own) > page_faults("leave") / 2, "what the environment says stands"
    else:
        page_faults("keep")  # nothing is set there, and nothing fails
