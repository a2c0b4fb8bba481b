"""`cen eval --without` and `--robustness` as a user runs them, for both tasks; what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cen, Finished


@pytest.fixture
def evaluate(cen: Cen, tiny_run: Path) -> Cen:
    def run(*words: object, settings: tuple[str, ...] = (), code: int = 0) -> Finished:
        return cen("eval", tiny_run, "--device", "cpu", *words, settings=settings, code=code)

    return run


@pytest.fixture
def translated(cen: Cen, tiny_translation_run: Path) -> Cen:
    def run(*words: object) -> Finished:
        settings = ("eval.distances=false",)
        return cen("eval", tiny_translation_run, "--device", "cpu", *words, settings=settings)

    return run


def test_the_report_agrees_with_the_plain_evaluations(translated: Cen, tmp_path: Path) -> None:
    words = ("--robustness", "--fill", "noise", "--fill", "zero", "--out", tmp_path, "--json")
    document = translated(*words).document
    report = document["robustness"]
    assert report["full"] == translated("--json").document["evaluation"]
    found = {(tuple(line["missing"]), line["fill"]): line["evaluation"] for line in report["missing"]}
    assert list(found) == [((name,), fill) for name in ("shade", "texture") for fill in ("noise", "zero")]
    for (missing,), fill in (("texture",), "noise"), (("shade",), "zero"):
        plain = translated("--without", missing, "--fill", fill, "--json").document["evaluation"]
        assert found[(missing,), fill] == plain
        assert plain["scores"] != report["full"]["scores"]
    kinds = [(line["modality"], line["corruption"]) for line in report["corrupted"][::3]]
    assert kinds == [
        *(("shade", name) for name in ("noise", "blur", "darkening")),
        ("texture", "noise"),
        ("texture", "blur"),
    ]
    assert [line["branch"] for line in report["reliance"]] == ["shade", "texture", "ensemble"]
    assert (report["metric"], report["seed"]) == ("mae", 0)
    assert report["full"]["scores"]["ensemble"]["fid"] is None
    assert Path(document["plot"]) == tmp_path / "robustness.png"
    assert (tmp_path / "robustness.png").stat().st_size > 10_000


def test_the_report_has_a_table_for_each_question(evaluate: Cen, tmp_path: Path) -> None:
    shown = evaluate("--robustness", "--fill", "mean", "--out", tmp_path)
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    for heading in (
        "Modalities missing: mean IoU, percent, and its change",
        "IoU per class, percent: ensemble, in the place of what is missing mean",
        "rgb corrupted: mean IoU, percent, and its change",
        "depth corrupted: mean IoU, percent, and its change",
        "Reliance: mean IoU, percent, and its change when one input is another view's",
    ):
        assert heading in lines
    assert "note: left out: rgb: no holes (an image has no pixels without measurement)" in lines
    assert lines[-1].startswith("robustness: split=test seed=0 metric=ensemble.mean_iou all=")
    assert f"plot: {tmp_path / 'robustness.png'}" in shown.err


def test_a_missing_modality_is_named_wherever_scores_are(evaluate: Cen) -> None:
    shown = evaluate("--without", "depth").out
    assert "test split without depth (in its place: zero), 4 samples, strict protocol" in shown
    assert "metrics: split=test protocol=strict samples=4 without=depth/zero ensemble.pixel_accuracy=" in shown
    document = evaluate("--without", "depth", "--fill", "mean", "--json").document
    assert document["evaluation"]["missing"] == {"depth": "mean"}
    assert evaluate("--json").document["evaluation"]["missing"] == {}


def test_nothing_is_expected_of_a_network_without_a_modality(evaluate: Cen) -> None:
    key = 'expected."rgb.pixel_accuracy"'
    settings = (f"{key}.value=1.0", f"{key}.tolerance=0.0", f"{key}.source=a test")
    evaluate("--json", settings=settings, code=1)
    assert evaluate("--without", "rgb", "--json", settings=settings).document["expected"] == []


def test_the_seed_decides(translated: Cen) -> None:
    words = ("--without", "shade", "--fill", "noise", "--json")
    first = translated(*words).document
    assert translated(*words, "--seed", 0).document == first
    assert translated(*words, "--seed", 1).document != first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--without", "dept"), "--without dept: one of rgb, depth (did you mean 'depth'?)"),
        (("--without", "rgb", "--without", "depth"), "--without rgb --without depth: no modality would be left"),
        (("--without", "rgb", "--fill", "zero", "--fill", "mean"), "--without takes one --fill"),
        (("--without", "rgb", "--fill", "zeros"), "'zeros' is not one of 'zero', 'mean', 'noise', 'other'"),
        (("--robustness", "--without", "rgb"), "--robustness leaves out every subset of the modalities"),
        (("--robustness", "--save-images", 2), "--save-images shows whole inputs"),
        (("--without", "rgb", "--save-images", 2), "--save-images shows whole inputs"),
        (("--robustness", "--inception-weights", "x.pth"), "--robustness computes no FID and no KID"),
        (("--fill", "mean"), "--fill is read only with --without MODALITY or --robustness"),
        (("--robustness", "--confusion", "x.csv"), "--confusion is of whole inputs"),
        (("--confusion", "."), "--confusion .: is a folder"),
        (("--out", "pictures"), "--out is the folder of pictures"),
        (("--seed", 3), "--seed is read only with --without MODALITY or --robustness"),
        (("--without", "rgb", "--seed", 3), "--seed is read only with --fill noise or other, and it is zero"),
    ],
)
def test_what_cannot_be_is_refused(evaluate: Cen, words: tuple[object, ...], message: str) -> None:
    assert message in evaluate(*words, code=2).err


def test_a_networks_only_modality_cannot_be_missing(cen: Cen, train: Cen, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ('data.inputs=["depth"]', "model.fusion=none", "train.epochs=1")
    train("--out", run, "--json", settings=settings)
    text = cen("eval", run, "--device", "cpu", "--without", "depth", code=2).err
    assert "--without depth: it is the network's only modality" in text
