from __future__ import annotations

import math

from rich.console import Console

from cen_cli.reporting import exchange_tables, tables
from cen_cli.results import ExchangeRow, GammaDiagnosis, GammaRecovery, GammaRow, ReplacedAtStep, ReplacedCount


def printed(console: Console, parts: list) -> list[str]:
    tables.show(console, parts)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def gamma_row(layer: str, modality: str) -> GammaRow:
    return GammaRow(layer, modality, 512, (2e-5, 0.0123, 0.25, 0.5, 12.5), 1.0, math.nan, 0.125)


def test_gamma_rows_keep_all_numbers_within_eighty_columns(console: Console) -> None:
    layers = ["encoder.layer3.22.bn2", "encoder.layer3.23.bn2"]
    rows = [gamma_row(layer, modality) for layer in layers for modality in ("rgb", "depth_sensor")]
    lines = printed(console, exchange_tables.render_gamma(rows))
    assert lines[0] == "Layers of encoder:"
    found = [line.split() for line in lines if line.split()[1:2] == ["rgb"]]
    numbers = ["2e-05", "0.012", "0.250", "0.500", "12.5", "100.0", "-", "12.5"]
    assert found == [["layer3.22.bn2", "rgb", *numbers], ["layer3.23.bn2", "rgb", *numbers]]
    assert max(len(line) for line in lines) <= 80


def test_exchange_rows_end_in_totals(console: Console) -> None:
    rows = [
        ExchangeRow("rgb", 8, 32, 64, "encoder.layer1.0.bn2", {"depth": 0.624, "normal": 0.376}),
        ExchangeRow("rgb", 1008, 1032, 2064, "total", {"depth": 0.5, "normal": 0.5}),
    ]
    lines = printed(console, exchange_tables.render_exchange(rows))
    words = [line.split() for line in lines]
    assert ["layer1.0.bn2", "rgb", "8", "32", "64", "25.0", "12.5", "depth"] in [line[:8] for line in words]
    assert ["62,", "normal"] in words or ["62,"] in words, "what each donor gives folds below its name"
    assert ["total", "rgb", "1,008", "1,032", "2,064", "97.7", "48.8"] in [line[:7] for line in words]
    assert "donors: percent that each gives, of a mean by |gamma|, averaged over channels." in lines
    assert max(len(line) for line in lines) <= 80


def test_a_single_donor_needs_no_number(console: Console) -> None:
    rows = [ExchangeRow("rgb", 0, 32, 64, "encoder.layer1.0.bn2", {"depth": math.nan})]
    lines = printed(console, exchange_tables.render_exchange(rows))
    assert any(line.split()[-3:] == ["0.0", "0.0", "depth"] for line in lines)
    assert not any("donors: percent" in line for line in lines)


def test_records_of_a_run(console: Console) -> None:
    records = [
        ReplacedAtStep(step, (ReplacedCount("rgb", count, 10, 20), ReplacedCount("depth", 0, 10, 20)))
        for step, count in ((0, 0), (12000, 5))
    ]
    words = [line.split() for line in printed(console, exchange_tables.render_steps(records))]
    assert ["12,000", "rgb", "5", "50.0", "25.0"] in words
    dated = [ReplacedAtStep(500, records[1].replaced, epoch=1.25)]
    words = [line.split() for line in printed(console, exchange_tables.render_steps(dated))]
    assert ["500", "1.2", "depth", "0", "0.0", "0.0"] in words


def test_recoveries_of_a_modality_that_never_fell_have_no_share(console: Console) -> None:
    fates = [GammaRecovery("rgb", 40, 10, 5), GammaRecovery("depth", 0, 0, 0)]
    words = [line.split() for line in printed(console, exchange_tables.render_recovery(fates))]
    assert ["rgb", "40", "10", "5", "25.0"] in words
    assert ["depth", "0", "0", "0", "-"] in words


def test_diagnosis_gives_verdict_evidence_and_advice(console: Console) -> None:
    diagnosis = GammaDiagnosis("collapsed", ("rgb: all", "depth: all"), "lower exchange.sparsity")
    assert printed(console, exchange_tables.render_diagnosis(diagnosis)) == [
        "diagnosis  collapsed",
        "because    rgb: all",
        "           depth: all",
        "advice     lower exchange.sparsity",
    ]
