from __future__ import annotations

import math

import pytest

from cen_cli.reporting import formats


def test_percent() -> None:
    assert formats.percent(0.51149) == "51.15"
    assert formats.percent(0.51149, 1) == "51.1"
    assert formats.percent(math.nan) == formats.percent(None) == "-"


def test_number() -> None:
    assert [formats.number(value) for value in (0.012345678, 5e-4, 12345.6, math.nan)] == [
        "0.01235",
        "0.0005",
        "1.235e+04",
        "-",
    ]


def test_duration() -> None:
    assert formats.duration(3725.4) == "1:02:05"
    assert formats.duration(59.6) == "0:01:00"
    assert formats.duration(None) == "-:--:--"


@pytest.mark.parametrize(
    ("value", "text"), [(1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**50, "1024.0 TiB")]
)
def test_size(value: int, text: str) -> None:
    assert formats.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999"), (1500, "1.5 k"), (61_300_000_000, "61.3 G"), (2 * 10**12, "2.0 T")]
)
def test_operations(value: int, text: str) -> None:
    assert formats.operations(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.000"), (0.0123, "0.012"), (9.9994, "9.999"), (12.34, "12.3"), (2.4e-5, "2e-05"), (math.nan, "-")],
)
def test_short(value: float, text: str) -> None:
    assert formats.short(value) == text


def test_short_names_leave_out_what_all_share() -> None:
    assert formats.short_names(["encoder.a.bn", "encoder.b.bn"]) == ["a.bn", "b.bn"]
    assert formats.short_names(["encoder.a", "body.a"]) == ["encoder.a", "body.a"]
    assert formats.short_names(["norm", "norm.a"]) == ["norm", "norm.a"]
    assert formats.short_names([]) == []


@pytest.mark.parametrize(("value", "text"), [(0.0312, "0.031"), (0.0005, "0.001"), (1e-5, "< 0.001"), (math.nan, "-")])
def test_probability(value: float, text: str) -> None:
    assert formats.probability(value) == text
