"""PSPNet from the command line: trained, measured, evaluated, resumed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cen_cli.cli.app import main
from cen_cli.engine.pixel_loss import PixelLoss
from cen_cli.engine.segmentation import SegmentationTask, auxiliary_loss, segmentation_losses
from cen_cli.models.streams import ModalOutput
from cen_cli.runs.checkpoint import read_tensors
from tests.cli.conftest import Cen
from tests.tiny import write_recipe

SETTINGS = ("model.arch=pspnet", "model.backbone=resnet50", "model.auxiliary_weight=0.25", "train.checkpoint_every=2")
WORDS = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """The tiny recipe, read only."""
    return write_recipe(tmp_path_factory.mktemp("pspnet") / "tiny.toml", tiny_root)


@pytest.fixture(scope="module")
def run(recipe: Path) -> Path:
    """A finished run of it as PSPNet; read only."""
    folder = recipe.parent / "run"
    assert main(["train", str(recipe), *WORDS, "--out", str(folder), "--device", "cpu", "--json"]) == 0
    return folder


def tensors(run: Path, file: str = "model") -> dict[str, torch.Tensor]:
    return read_tensors(run / "checkpoints" / "last" / f"{file}.safetensors")[0]


def test_the_auxiliary_loss_is_a_weighted_term_of_the_sum(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [line["losses"] for line in lines if line["kind"] == "step"]
    for losses in steps:
        assert list(losses) == ["rgb", "depth", "ensemble", "auxiliary", "sparsity", "total"]
        terms = [value for name, value in losses.items() if name != "total"]
        assert losses["total"] == pytest.approx(sum(terms), rel=1e-5)
    at_start = steps[0]
    assert at_start["auxiliary"] == pytest.approx(0.25 * (at_start["rgb"] + at_start["depth"]), rel=0.2)


def test_the_auxiliary_loss_is_that_of_the_branches_own_kind() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5, 4, 6)
    labels = torch.randint(0, 5, (3, 16, 24))
    labels[0, :4] = 255
    output = ModalOutput(logits, logits.mean(0), torch.tensor([0.5, 0.5]))
    loss = PixelLoss()
    counted = loss.count(labels)
    losses = segmentation_losses(output, labels, ("rgb", "depth"), loss, counted)
    torch.testing.assert_close(auxiliary_loss(logits, labels, loss, counted), losses["rgb"] + losses["depth"])


def test_a_finished_run_is_evaluated_and_counted(cen: Cen, run: Path) -> None:
    best = json.loads((run / "metrics.json").read_text())["best"]["scores"]
    evaluation = cen("eval", run, "--split", "val", "--device", "cpu", "--json").document["evaluation"]
    assert evaluation["scores"] == best
    rows = cen("exchange-stats", run, "--json").document["rows"]
    assert len({row["layer"] for row in rows if row["layer"].startswith("encoder.layer")}) == 16


def test_a_run_that_is_cut_off_resumes_bit_for_bit(
    cen: Cen, recipe: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SegmentationTask.step

    def cut_off(task: SegmentationTask, batch, step: int):
        if step == 3:
            raise KeyboardInterrupt
        return original(task, batch, step)

    cut = tmp_path / "cut"
    with monkeypatch.context() as patched:
        patched.setattr(SegmentationTask, "step", cut_off)
        cen("train", recipe, *WORDS, "--out", cut, "--device", "cpu", "--json", code=130)
    cen("train", "--resume", cut, "--device", "cpu", "--json")
    for file in ("model", "training"):
        one, other = tensors(run, file), tensors(cut, file)
        assert sorted(one) == sorted(other)
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert "decoder.auxiliary.2.weight" in tensors(run)


def test_a_dry_run_makes_a_step(train: Cen) -> None:
    dry = train("--dry-run", "--json", settings=SETTINGS).document["dry_run"]
    assert dry["macs"] > 0
    assert dry["losses"]["auxiliary"] > 0


def test_without_weight_there_is_no_auxiliary_head(train: Cen) -> None:
    settings = (*SETTINGS[:2], "model.auxiliary_weight=0")
    without = train("--dry-run", "--json", settings=settings).document["dry_run"]
    assert "auxiliary" not in without["losses"]
    with_head = train("--dry-run", "--json", settings=SETTINGS[:2]).document["dry_run"]
    more = with_head["plan"]["parameters"]["decoder"] - without["plan"]["parameters"]["decoder"]
    reduced = 128 // 4  # of stage 3's 128 channels
    assert more == 9 * 128 * reduced + 2 * 2 * reduced + reduced * 40 + 40


@pytest.mark.parametrize("stage", ["early", "late", "all"])
def test_baselines_fuse_before_it(train: Cen, stage: str) -> None:
    settings = (*SETTINGS, "model.fusion=concat", f"model.fusion_stage={stage}")
    losses = train("--dry-run", "--json", settings=settings).document["dry_run"]["losses"]
    assert list(losses) == ["fused", "auxiliary", "total"]


def test_freezing_keeps_the_encoders_statistics_and_lets_the_heads_be_measured(
    cen: Cen, recipe: Path, tmp_path: Path
) -> None:
    words = [*WORDS, "--set", "train.freeze_bn=true", "--set", "train.epochs=1"]
    cen("train", recipe, *words, "--out", tmp_path / "run", "--device", "cpu", "--json")
    means = {name: tensor for name, tensor in tensors(tmp_path / "run").items() if name.endswith("running_mean")}
    moved = {name.split(".")[0] for name, tensor in means.items() if tensor.count_nonzero()}
    assert moved == {"decoder"}


@pytest.mark.parametrize("frozen", ["true", "false"])
def test_one_view_in_a_step_is_refused_before_training(train: Cen, frozen: str) -> None:
    text = train(settings=(*SETTINGS, "train.batch=1", f"train.freeze_bn={frozen}"), code=2).err
    assert "train.batch = 1 with 8 training views: PSPNet pools every image to 1 x 1" in text
    assert "hint: a batch of 2 or more" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.backbone=resnet18",), 'model.backbone = "resnet18": "resnet50", "resnet101" or "resnet152" with'),
        (("model.light=true",), 'model.light = true: read only with model.arch = "refinenet"'),
        (("model.arch=refinenet",), 'model.auxiliary_weight = 0.25: read only with model.arch = "pspnet"'),
        (("model.auxiliary_weight=-1",), "model.auxiliary_weight = -1: a number >= 0"),
        (("model.arch=unet",), 'model.arch = "unet": "refinenet" or "pspnet" with task = "segmentation"'),
        (("model.arch=pspnte",), '"refinenet", "pspnet" or "unet" (did you mean \'pspnet\'?)'),
    ],
)
def test_keys_that_do_not_fit_are_refused(train: Cen, settings: tuple[str, ...], message: str) -> None:
    assert message in train("--dry-run", settings=(*SETTINGS, *settings), code=2).err
