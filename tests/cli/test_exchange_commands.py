"""`cen analyze-gammas` and `cen exchange-stats` on a run whose exchange is known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cen_cli.cli.app import main
from cen_cli.jobs.exchanging import load_exchanging
from cen_cli.runs.checkpoint import read_tensors, write_tensors

Captured = pytest.CaptureFixture[str]

PLOTS = ["gamma-proportions.png", "gamma-proportions-all.png", "theorem-1.png"]
PLOTS_OVER_STEPS = ["gamma-trajectories.png", "replaced-over-steps.png"]


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, but rgb's first channel is dead in every exchanging layer, and was from the second record on.

    In the last record but one it was alive, in the first layer only.
    """
    folder = tmp_path_factory.mktemp("known") / "run"
    shutil.copytree(tiny_run, folder)
    history, metadata = read_tensors(folder / "gammas.safetensors")
    layers = [name for name in history if name != "steps"]
    for name in layers:
        history[name][:] = 1.0
        history[name][1:, 0, 0] = -0.001
    history["encoder.layer1.0.bn1"][-2, 0, 0] = 0.9
    write_tensors(folder / "gammas.safetensors", history, metadata)
    model_file = folder / "checkpoints" / "best" / "model.safetensors"
    weights, metadata = read_tensors(model_file)
    for name in layers:
        weights[f"{name}.norm.weight"].copy_(history[name][-1])
    write_tensors(model_file, weights, metadata)
    return folder


@pytest.fixture
def loose(run: Path, tmp_path: Path) -> Path:
    """The same checkpoint outside of any run."""
    return Path(shutil.copy(run / "checkpoints" / "best" / "model.safetensors", tmp_path / "net.safetensors"))


def output(capsys: Captured, *arguments: str) -> list[str]:
    assert main(arguments) == 0
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def document(capsys: Captured, *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys: Captured, code: int, *arguments: str) -> str:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# ---- analyze-gammas ----


def test_analyze_prints_its_findings_and_lists_the_plots_it_wrote(run: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = output(capsys, "analyze-gammas", str(run), "--out", str(tmp_path / "plots"))
    words = [line.split() for line in lines]
    assert ["layer1.0.bn1", "rgb", "0.001", "1.000", "1.000", "1.000", "1.000", "25.0", "0.0", "0.0"] in words
    assert ["rgb", "16", "1", "0", "6.2"] in words
    assert ["diagnosis", "healthy"] in words
    assert any("rgb: 6.7% of 240 gammas of its part are below the threshold" in line for line in lines)
    assert lines[-1] == f"next: cen exchange-stats {run}"
    listed = [line.removeprefix("plot: ") for line in lines if line.startswith("plot: ")]
    assert set(listed) == {str(tmp_path / "plots" / name) for name in [*PLOTS, *PLOTS_OVER_STEPS]}
    assert sorted(listed) == sorted(str(path) for path in (tmp_path / "plots").iterdir())
    for path in listed:
        with Image.open(path) as image:
            assert min(image.size) > 100


def test_analyze_draws_into_the_run_by_default(run: Path, capsys: Captured) -> None:
    output(capsys, "analyze-gammas", str(run))
    assert {path.name for path in (run / "plots").iterdir()} == {*PLOTS, *PLOTS_OVER_STEPS}


def test_analyze_without_a_run_says_what_is_missing(loose: Path, capsys: Captured) -> None:
    lines = output(capsys, "analyze-gammas", str(loose))
    assert "No recorded gammas beside this checkpoint: no recovery counts, no plots over steps." in lines
    assert sorted(path.name for path in (loose.parent / "net-plots").iterdir()) == sorted(PLOTS)


def test_a_best_checkpoint_of_long_ago_is_told_of(
    run: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parent)
    file = run / "checkpoints" / "last" / "state.json"
    state = json.loads(file.read_text())
    state["progress"] |= {"best_step": 3, "step": 30}
    file.write_text(json.dumps(state))
    for command, named in (("analyze-gammas", run.name), ("exchange-stats", str(run))):
        assert main([command, named, "--out", str(tmp_path)]) == 0
        assert "the best checkpoint, of step 3, is analysed; the run went on to step 30" in " ".join(
            capsys.readouterr().err.split()
        )
        assert main([command, str(run / "checkpoints" / "last"), "--out", str(tmp_path)]) == 0
        assert "is analysed" not in capsys.readouterr().err


def test_analyze_takes_a_checkpoint_folder(run: Path, tmp_path: Path, capsys: Captured) -> None:
    found = document(capsys, "analyze-gammas", str(run / "checkpoints" / "best"), "--out", str(tmp_path))
    assert found["checkpoint"] == str(run / "checkpoints" / "best" / "model.safetensors")
    assert found["recoveries"] is not None


def test_analyze_as_json(run: Path, tmp_path: Path, capsys: Captured) -> None:
    found = document(capsys, "analyze-gammas", str(run), "--out", str(tmp_path))
    assert found["rows"][0] == {
        "layer": "encoder.layer1.0.bn1",
        "modality": "rgb",
        "channels": 8,
        "quantiles": pytest.approx([0.001, 1, 1, 1, 1]),
        "below_inside": 0.25,
        "below_outside": 0.0,
        "overlap": 0.0,
    }
    assert len(found["rows"]) == 32
    assert found["recoveries"][0] == {"modality": "rgb", "fell": 16, "returned": 1, "ended_above": 0}
    assert found["diagnosis"]["verdict"] == "healthy"
    assert len(found["plots"]) == 5
    assert (found["attraction"], found["what_if"]) == (None, None)
    assert found["next"] == f"cen exchange-stats {run}"


def test_analyze_of_an_unknown_layer_names_near_ones(run: Path, capsys: Captured) -> None:
    text = refusal(capsys, 2, "analyze-gammas", str(run), "--layer", "encoder.layer1.0.bn3")
    assert "--layer encoder.layer1.0.bn3: the network has no such exchanging layer" in text
    assert "did you mean encoder.layer1.0.bn" in text


def test_a_history_of_another_network_is_refused(run: Path, tmp_path: Path, capsys: Captured) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    tensors, metadata = read_tensors(copy / "gammas.safetensors")
    del tensors["encoder.layer1.0.bn1"]
    write_tensors(copy / "gammas.safetensors", tensors, metadata)
    assert "do not fit the checkpoint: encoder.layer1.0.bn1 differ" in refusal(capsys, 1, "analyze-gammas", str(copy))


def test_analyze_draws_another_network_beside(run: Path, separate: Path, tmp_path: Path, capsys: Captured) -> None:
    words = ("analyze-gammas", str(run), "--against", str(separate), "--out", str(tmp_path))
    output(capsys, *words)
    with Image.open(tmp_path / "gamma-proportions.png") as both:
        assert both.height > 600
    output(capsys, *words[:2], *words[4:])
    with Image.open(tmp_path / "gamma-proportions.png") as alone:
        assert alone.height < 400


def test_networks_of_other_modalities_do_not_stand_in_one_plot(run: Path, tmp_path: Path, capsys: Captured) -> None:
    other = tmp_path / "other.safetensors"
    tensors, metadata = read_tensors(run / "checkpoints" / "best" / "model.safetensors")
    specs = json.loads(metadata["specs"])
    recipe = metadata["recipe"].replace('"rgb",\n    "depth"', '"depth",\n    "rgb"')
    assert recipe != metadata["recipe"]
    write_tensors(other, tensors, metadata | {"recipe": recipe, "specs": json.dumps(specs[::-1])})
    text = refusal(capsys, 2, "analyze-gammas", str(run), "--against", str(other))
    assert "its modalities are depth, rgb, not rgb, depth, in that order" in text


def test_networks_of_other_layers_do_not_stand_in_one_plot(
    run: Path, tiny_translation_run: Path, capsys: Captured
) -> None:
    text = refusal(capsys, 2, "analyze-gammas", str(run), "--against", str(tiny_translation_run))
    assert f"--against {tiny_translation_run}: its exchanging layers are not those of {run}" in text


def test_pictures_name_a_checkpoint_that_is_not_the_best(run: Path) -> None:
    best, last = (load_exchanging(run / "checkpoints" / name, "cpu").as_drawn().label for name in ("best", "last"))
    assert best == f"{run.parent.name}/{run.name}"
    assert last == f"{best}, last"


def test_theorem_1_is_measured_on_training_batches(run: Path, tmp_path: Path, capsys: Captured) -> None:
    words = ("analyze-gammas", str(run), "--out", str(tmp_path), "--gradients", "2", "--device", "cpu")
    found = document(capsys, *words)["attraction"]
    rgb, depth = found["rows"]
    assert (found["batches"], rgb["gammas"], rgb["replaced"], depth["replaced"]) == (1, 224, 16, 0)
    assert (rgb["fell"], rgb["stayed"], depth["fell"]) == (16, 15, 0)
    for row in found["rows"]:
        assert 0 < row["predicted"] < 1
        assert 0 <= row["brier"] <= 1
    assert sum(item["gammas"] for item in found["bins"]) == 464
    assert document(capsys, *words)["attraction"] == found
    text = output(capsys, *words)
    assert any(line.startswith("Theorem 1 with lambda = ") for line in text)


def test_theorem_1_of_a_translator_needs_its_discriminator(
    tiny_translation_run: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = ("--out", str(tmp_path), "--gradients", "2")
    found = document(capsys, "analyze-gammas", str(tiny_translation_run), *words)["attraction"]
    assert [row["modality"] for row in found["rows"]] == ["shade", "texture"]
    alone = shutil.copy(
        tiny_translation_run / "checkpoints" / "last" / "model.safetensors", tmp_path / "net.safetensors"
    )
    text = refusal(capsys, 2, "analyze-gammas", str(alone), *words)
    assert "the discriminator that it was trained against is in training.safetensors, which is not beside it" in text


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--gradients", "1"), "--gradients 1: half of the batches predict"),
        (("--gradients", "500"), "500 training batches are asked for; an epoch has"),
        (("--thresholds", "1e-3,small"), "--thresholds 1e-3,small: numbers of 0 or more"),
        (("--what-if", "--split", "vall"), "vall"),
        (("--what-if", "--set", "eval.split=vall"), "vall"),
        (("--what-if", "--set", "exchange.threshold=1"), "exchange.threshold: fixed by the trained checkpoint"),
    ],
)
def test_analyses_that_cannot_be_made_are_refused(
    run: Path, tmp_path: Path, capsys: Captured, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in refusal(capsys, 2, "analyze-gammas", str(run), "--out", str(tmp_path / "plots"), *words)
    assert not (tmp_path / "plots").exists()


def test_what_if_scores_other_thresholds(run: Path, tmp_path: Path, capsys: Captured) -> None:
    words = ("analyze-gammas", str(run), "--out", str(tmp_path), "--thresholds", "0,2")
    found = document(capsys, *words)
    own = found["what_if"][1]["threshold"]
    assert [row["threshold"] for row in found["what_if"]] == [0, own, 2]
    assert [row["replaced"][0]["replaced"] for row in found["what_if"]] == [0, 16, 240]
    assert found["diagnosis"]["evidence"][-1].startswith(f"at its threshold {own:g} ensemble.mean_iou is ")
    evaluated = document(capsys, "eval", str(run), "--split", "val", "--device", "cpu")["evaluation"]
    assert found["what_if"][1]["evaluation"]["scores"] == evaluated["scores"]
    text = output(capsys, *words)
    assert any(line.startswith("At other thresholds (* its own), val split") for line in text)


def test_what_if_of_a_network_without_exchange_is_refused(separate: Path, capsys: Captured) -> None:
    text = refusal(capsys, 2, "analyze-gammas", str(separate), "--what-if")
    assert f"--what-if: no threshold decides what {separate} replaces" in text


# ---- exchange-stats ----


def test_stats_by_layer_end_in_totals(run: Path, capsys: Captured) -> None:
    words = [line.split() for line in output(capsys, "exchange-stats", str(run))]
    assert ["layer1.0.bn1", "rgb", "1", "4", "8", "25.0", "12.5", "depth"] in words
    assert ["layer4.1.bn2", "depth", "0", "32", "64", "0.0", "0.0", "rgb"] in words
    assert ["total", "rgb", "16", "240", "480", "6.7", "3.3", "depth"] in words


def test_stats_by_stage(run: Path, capsys: Captured) -> None:
    words = [line.split() for line in output(capsys, "exchange-stats", str(run), "--by", "stage")]
    assert ["layer1", "rgb", "4", "16", "32", "25.0", "12.5", "depth"] in words
    assert ["layer4", "rgb", "4", "128", "256", "3.1", "1.6", "depth"] in words


def test_stats_over_the_recorded_steps(run: Path, loose: Path, capsys: Captured) -> None:
    found = document(capsys, "exchange-stats", str(run))
    assert [(item["step"], item["replaced"][0]["replaced"]) for item in found["steps"]] == [
        (0, 0),
        (2, 16),
        (4, 16),
        (6, 15),
        (8, 16),
    ]
    assert [item["epoch"] for item in found["steps"]] == [0, 0.5, 1, 1.5, 2]
    assert document(capsys, "exchange-stats", str(loose))["steps"] is None


def test_stats_as_json_carry_shares_and_donors(run: Path, capsys: Captured) -> None:
    total = document(capsys, "exchange-stats", str(run), "--by", "stage")["rows"][-2]
    assert total["layer"] == "total"
    assert (total["replaced"], total["pressed"], total["channels"]) == (16, 240, 480)
    assert (total["share_of_pressed"], total["share_of_all"]) == (pytest.approx(16 / 240), pytest.approx(16 / 480))
    assert total["donors"] == {"depth": 1.0}


def test_stats_draw_layers_against_epochs_and_say_where(run: Path, tmp_path: Path, capsys: Captured) -> None:
    lines = output(capsys, "exchange-stats", str(run), "--out", str(tmp_path / "plots"))
    path = tmp_path / "plots" / "replaced-over-epochs.png"
    assert lines[-2:] == [f"plot: {path}", f"next: cen analyze-gammas {run}"]
    with Image.open(path) as image:
        assert min(image.size) > 100


def test_stats_of_a_loose_checkpoint_have_nothing_over_training(loose: Path, capsys: Captured) -> None:
    lines = output(capsys, "exchange-stats", str(loose))
    assert "No recorded gammas beside this checkpoint: nothing over training." in lines
    assert [path.name for path in loose.parent.iterdir()] == [loose.name]


def test_stats_do_not_go_by_a_damaged_log(run: Path, tmp_path: Path, capsys: Captured) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    with (copy / "events.jsonl").open("a") as file:
        file.write('{"kind": "step"}\n')
    assert "not an event of a training run (epoch: Field required)" in refusal(capsys, 1, "exchange-stats", str(copy))


# ---- networks without exchange ----


@pytest.fixture
def separate(loose: Path) -> Path:
    """The same network with exchange switched off by its recipe."""
    weights, metadata = read_tensors(loose)
    recipe = metadata["recipe"].replace('choose = "gamma"', 'choose = "none"')
    assert recipe != metadata["recipe"]
    write_tensors(loose, weights, {**metadata, "recipe": recipe})
    return loose


def test_switched_off_exchange_is_said_plainly(separate: Path, capsys: Captured) -> None:
    assert "This network was built without exchange: nothing is replaced." in output(
        capsys, "exchange-stats", str(separate)
    )
    found = document(capsys, "analyze-gammas", str(separate))
    assert (found["exchanges"], found["next"]) == (False, f"cen eval {separate}")
    words = [line.split() for line in output(capsys, "analyze-gammas", str(separate))]
    assert ["diagnosis", "no", "exchange"] in words


def test_a_path_that_is_not_there_is_refused(tmp_path: Path, capsys: Captured) -> None:
    for command in ("analyze-gammas", "exchange-stats"):
        assert "no such file or directory" in refusal(capsys, 2, command, str(tmp_path / "run"))


# ---- a run that cannot be written to ----


@pytest.mark.parametrize("command", ["analyze-gammas", "exchange-stats"])
def test_numbers_are_printed_where_no_plot_can_be_written(
    run: Path, tmp_path: Path, capsys: Captured, command: str
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "plots", ignore_errors=True)
    (copy / "plots").write_text("in the place of the folder")
    assert main([command, str(copy)]) == 0
    captured = capsys.readouterr()
    assert "layer1.0.bn1" in captured.out
    assert "No recorded gammas" not in captured.out
    assert "not written: could not write" in captured.err
    assert main([command, str(copy), "--out", str(copy / "plots")]) == 1


def test_theorem_1_is_drawn_without_a_network(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert document(capsys, "analyze-gammas", "--out", str(tmp_path)) == {"plot": str(tmp_path / "theorem-1.png")}
    assert (tmp_path / "theorem-1.png").stat().st_size > 1000
    for words in (("--what-if",), ("--split", "test")):
        assert "no network is named" in refusal(capsys, 2, "analyze-gammas", *words)
