"""A pretrained encoder from the command line: trained, evaluated, compacted, and trained further on another task."""

from __future__ import annotations

from pathlib import Path

import pytest

from cen_cli.cli.app import main
from cen_cli.models.compact import compact_tensors
from tests.cli.conftest import Cen
from tests.tiny import write_recipe

SETTINGS = ("model.backbone=timm/tf_efficientnet_lite0", "model.encoder_width=64", "model.light=true")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """The tiny recipe, of pretrained weights; read only."""
    path = write_recipe(tmp_path_factory.mktemp("encoders") / "tiny.toml", tiny_root)
    text = path.read_text().replace("gamma_init = 0.2\n", "").replace('"adam"', '"adamw"').replace('"poly"', '"cosine"')
    path.write_text(text.replace("crop = [32, 32]", "crop = [32, 64]"))
    return path


@pytest.fixture(scope="module")
def run(recipe: Path) -> Path:
    """A finished run of it; read only."""
    folder = recipe.parent / "run"
    words = [word for setting in (*SETTINGS, "model.weights=imagenet") for word in ("--set", setting)]
    assert main(["train", str(recipe), *words, "--out", str(folder), "--device", "cpu", "--json"]) == 0
    return folder


def test_a_run_is_evaluated_and_compacted(cen: Cen, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def look(network, like):
        seen.append(tuple(like.shape[-2:]))
        return compact_tensors(network, like)

    monkeypatch.setattr("cen_cli.jobs.export.compact_tensors", look)
    said = " ".join(cen("train", run / "recipe.toml", "--dry-run").out.split())
    assert "after 17 norms: encoder.stage1 (bn1.norm, blocks_0.0.bn1.norm, and 2 more), " in said
    assert "encoder.stage4 (blocks_5.0.bn2.norm, blocks_5.1.bn2.norm, and 3 more)" in said
    before = cen("eval", run, "--json").document["evaluation"]["scores"]
    cen("compact", run, "--out", tmp_path / "compact")
    assert seen == [(32, 40)], "it is looked at with images of a size that the network takes"
    after = cen("eval", tmp_path / "compact", "--json").document["evaluation"]["scores"]
    assert after["ensemble"]["pixel_accuracy"] == pytest.approx(before["ensemble"]["pixel_accuracy"], abs=0.01)


def test_another_run_starts_from_it_and_says_what_it_left_out(cen: Cen, recipe: Path, run: Path) -> None:
    settings = (*SETTINGS, f"model.weights={run}")
    out = " ".join(cen("train", recipe, "--dry-run", settings=settings).out.split())
    assert "model.safetensors without its classifier and ensemble" in out
    other = (*settings, "data.normalize.rgb={mean=[0.9, 0.9, 0.9], std=0.05}")
    said = " ".join(cen("train", recipe, "--dry-run", settings=other).err.split())
    assert "the weights were trained otherwise: [data.normalize.rgb] mean = [0.485" in said
    turned = cen("train", recipe, "--dry-run", settings=(*settings, 'data.inputs=["depth", "rgb"]'), code=1)
    assert "trained on rgb, depth, not depth, rgb" in turned.err


def test_frozen_stages_are_counted(cen: Cen, recipe: Path) -> None:
    found = cen("train", recipe, "--dry-run", settings=(*SETTINGS, "model.frozen_stages=9"), code=2)
    assert "model.frozen_stages = 9: the encoder has 4" in found.err
    random = cen("train", recipe, "--dry-run", settings=(*SETTINGS, "model.frozen_stages=1")).err
    assert "keeps what was drawn at random: --set model.frozen_stages=0" in " ".join(random.split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.backbone=timm/no_such_net", "model.encoder_width=64"), "has no such network"),
        (("model.backbone=timm/bat_resnext26ts", "model.encoder_width=64"), "takes no images of this size"),
        (
            ("model.backbone=timm/rexnet_100", "model.encoder_width=64", "train.batch=1"),
            "timm/rexnet_100 pools every image to 1 x 1, which leaves batch norm one value per channel",
        ),
        (
            ("model.backbone=timm/tf_efficientnet_cc_b0_4e", "model.encoder_width=64", "sharing.private_stages=4"),
            "sharing.private_stages = 4: its CondConv2d layers",
        ),
        (("model.backbone=resnet19",), "\"timm/NAME\" (did you mean 'resnet18'?)"),
        (("model.backbone=timm/test_resnet", "model.encoder_width=8"), "64, its default, with timm/ encoders"),
        (("model.fusion=average", "model.fusion_stage=input"), 'put side by side by model.fusion = "concat"'),
    ],
)
def test_what_does_not_go_together_is_named(cen: Cen, recipe: Path, settings: tuple[str, ...], message: str) -> None:
    assert message in cen("train", recipe, "--dry-run", settings=settings, code=2).err
