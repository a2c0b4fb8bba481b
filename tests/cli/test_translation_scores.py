"""`cen train` and `cen eval` of translations: scores, what FID and KID need, protocols, pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Cen
from tests.metrics.test_inception import weights as _weights

inception = pytest.fixture(scope="module", name="inception")(_weights.__wrapped__)


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Inception weights on this machine, and a cache of its own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def evaluate(cen: Cen, run: Path, *words: object, settings: tuple[str, ...] = (), code: int = 0):
    return cen("eval", run, "--device", "cpu", *words, settings=settings, code=code)


def test_scores_are_those_of_the_validation(cen: Cen, tiny_translation_run: Path) -> None:
    expected = json.loads((tiny_translation_run / "metrics.json").read_text())["best"]
    words = ("--split", "val", "--json")
    obtained = evaluate(cen, tiny_translation_run, *words, settings=("eval.distances=false",)).document["evaluation"]
    for branch, scores in expected["scores"].items():
        for name, value in scores.items():  # the network is laid out otherwise once it is loaded: other roundings
            assert obtained["scores"][branch][name] == (None if value is None else pytest.approx(value, rel=1e-5))
    assert list(obtained["scores"]) == ["shade", "texture", "ensemble"]
    assert obtained["scores"]["ensemble"]["fid"] is None
    assert obtained["samples"] == 4


def test_best_is_the_lowest_mae(tiny_translation_run: Path) -> None:
    events = [json.loads(line) for line in (tiny_translation_run / "events.jsonl").read_text().splitlines()]
    values = [event["evaluation"]["scores"]["ensemble"]["mae"] for event in events if event["kind"] == "validation"]
    metrics = json.loads((tiny_translation_run / "metrics.json").read_text())
    assert metrics["best_by"] == "ensemble.mae"
    assert metrics["best"]["scores"]["ensemble"]["mae"] == min(values)


def test_without_weights_the_other_scores_go_on(cen: Cen, tiny_translation_run: Path) -> None:
    shown = evaluate(cen, tiny_translation_run)
    text = " ".join((shown.out + shown.err).split())
    assert "FID and KID are unavailable" in text
    assert "weights-inception-2015-12-05-6726825d.pth" in text
    assert "--inception-weights PATH" in text
    assert "MAE" in shown.out


def test_training_is_refused_where_the_best_checkpoint_needs_weights(
    cen: Cen, tiny_translation_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ("train", tiny_translation_recipe, "--out", out, "--device", "cpu")
    ended = cen(*words, settings=("train.best_by=ensemble.fid",), code=1)
    assert "FID and KID need weights-inception-2015-12-05-6726825d.pth" in ended.err
    assert not out.exists()
    timed = ("bench", tiny_translation_recipe, "--rounds", "1", "--steps", "1", "--device", "cpu")
    cen(*timed, settings=("train.best_by=ensemble.fid",))  # which chooses nothing


def test_distances_come_to_the_members_of_a_sweep_once_there_are_weights(
    cen: Cen, tiny_translation_run: Path, tiny_translation_recipe: Path, inception: Path, tmp_path: Path
) -> None:
    grid = tmp_path / "grid.toml"
    rows = f'base = "{tiny_translation_recipe}"\nseeds = [0]\nsplit = "val"\nreference = "one"\n[variants.one]'
    grid.write_text(f'title = "t"\nmetrics = ["ensemble.mae", "ensemble.fid"]\n{rows}\n')
    shutil.copytree(tiny_translation_run, tmp_path / "out" / "one" / "seed-0")
    words = ("sweep", grid, "--out", tmp_path / "out", "--device", "cpu", "--json")
    assert cen(*words).document["rows"][0]["cells"][1]["values"] == {}
    scored = cen(*words, "--inception-weights", inception).document["rows"][0]["cells"]
    assert scored[1]["values"]["0"] > 0
    shown = cen(*words, "--show").document["rows"][0]["cells"]
    assert shown == scored


def test_distances_with_weights_of_the_users_own(cen: Cen, tiny_translation_run: Path, inception: Path) -> None:
    words = ("--inception-weights", inception, "--json")
    first = evaluate(cen, tiny_translation_run, *words).document["evaluation"]
    for scores in first["scores"].values():
        assert scores["fid"] > 0
        assert scores["fid_low"] <= scores["fid"] <= scores["fid_high"]
        assert scores["kid"] is not None
    notes = " ".join(first["notes"])
    assert "which are not the published weights" in notes
    assert "2048" in notes
    assert evaluate(cen, tiny_translation_run, *words).document["evaluation"] == first  # real features from the cache


def test_missing_weights_file_is_named(cen: Cen, tiny_translation_run: Path, tmp_path: Path) -> None:
    ended = evaluate(cen, tiny_translation_run, "--inception-weights", tmp_path / "nowhere.pth", code=2)
    assert "nowhere.pth: no such file" in ended.err


def test_protocol_paper_is_named_and_draws_dropout(cen: Cen, tiny_translation_run: Path) -> None:
    strict = evaluate(cen, tiny_translation_run, "--json").document["evaluation"]
    paper = evaluate(cen, tiny_translation_run, "--protocol", "paper", "--json").document["evaluation"]
    assert (strict["protocol"], paper["protocol"]) == ("strict", "paper")
    assert strict["scores"]["shade"]["mae"] != paper["scores"]["shade"]["mae"]
    assert "paper protocol" in evaluate(cen, tiny_translation_run, "--protocol", "paper").out


def test_running_statistics_give_other_scores(cen: Cen, tiny_translation_run: Path) -> None:
    own = evaluate(cen, tiny_translation_run, "--json").document["evaluation"]["scores"]["shade"]["mae"]
    running = evaluate(cen, tiny_translation_run, "--json", settings=("eval.norm_statistics=running",))
    assert running.document["evaluation"]["scores"]["shade"]["mae"] != own


def test_pictures_of_the_split(cen: Cen, tiny_translation_run: Path, tmp_path: Path) -> None:
    evaluate(cen, tiny_translation_run, "--save-images", 2, "--out", tmp_path)
    with Image.open(tmp_path / "test.png") as sheet:
        assert sheet.width > 6 * 32  # two inputs, two branches, ensemble, truth


def test_analyses_take_translation_networks(cen: Cen, tiny_translation_run: Path, tmp_path: Path) -> None:
    rows = cen("exchange-stats", tiny_translation_run, "--json").document["rows"]
    assert {row["layer"] for row in rows} >= {"total"}
    cen("analyze-gammas", tiny_translation_run, "--out", tmp_path / "gammas")
    assert list((tmp_path / "gammas").glob("*.png"))


def test_dry_run_counts_both_networks_and_writes_nothing(cen: Cen, tiny_translation_recipe: Path) -> None:
    dry = cen("train", tiny_translation_recipe, "--dry-run", "--device", "cpu", "--json").document["dry_run"]
    assert dry["plan"]["parameters"]["discriminator"] > 0
    assert {"discriminator", "adversarial", "total"} <= set(dry["losses"])
    assert dry["macs"] > 0
    assert dry["activation_bytes"] > 0
