from __future__ import annotations

from rich.console import Console

from cen_cli.reporting import tables
from cen_cli.reporting.networks import render_bench
from cen_cli.results import Bench, PartTime, Peak, Spread

BENCH = Bench(
    recipe="nyudv2-resnet152",
    task="segmentation",
    device="cpu",
    precision="fp32",
    threads=2,
    modalities=("rgb", "depth"),
    batch=6,
    size=(500, 500),
    rounds=3,
    steps=2,
    parameters=118_000_000,
    macs=61_300_000_000,
    step=Spread.over([2.0, 1.5, 4.0]),
    inference=Spread.over([0.25]),
    parts=(
        PartTime("exchange and norms", Spread(1.5, 1.4, 1.6), Spread(0.75, 0.7, 0.8)),
        PartTime("data", Spread(0.5, 0.4, 0.6), Spread(0.25, 0.2, 0.3)),
    ),
    parameter_bytes=4 * 2**20,
    gradient_bytes=3 * 2**20,
    activation_bytes=2**30,
    optimizer_bytes=8 * 2**20,
    peak_bytes=2**31,
    step_flops=40 * 10**9,
    peaks=(Peak("matrix product", 80e9), Peak("3x3 convolution", 50e9)),
    notes=("read this",),
)


def test_times_stand_with_their_range(console: Console) -> None:
    tables.show(console, render_bench(BENCH))
    lines = console.file.getvalue().splitlines()
    words = [line.split() for line in lines]
    assert ["training", "step", "2000", "1500", "..", "4000", "3"] in words
    assert ["inference,", "one", "batch", "250", "250", "..", "250", "24"] in words
    assert ["exchange", "and", "norms", "1500", "75.0", "70", "..", "80"] in words
    assert ["peak", "of", "the", "process", "2.0", "GiB"] in words
    assert ["training", "step", "20", "-"] in words
    assert ["matrix", "product", "alone", "80", "25.0"] in words
    assert ["3x3", "convolution", "alone", "50", "40.0"] in words
    assert "note: read this" in lines
    assert max(map(len, lines)) <= 80
