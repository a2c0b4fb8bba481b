"""Every kind of folder that people have: drafted, checked and trained on, or refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from cen_cli.recipe import load_recipe
from tests import kinds
from tests.cli.conftest import Cen

SIZES = ("data.resize=[32, 32]", "data.crop=[32, 32]", "train.epochs=2", "train.batch=2", "data.cache=false")
NETWORK = {
    "segmentation": ("model.encoder_width=8", "model.width=4"),
    "translation": ("unet.filters=4", "gan.filters=4", "gan.layers=1", "eval.distances=false"),
}


@pytest.mark.parametrize("name", kinds.KINDS)
def test_a_kind_of_folder_is_drafted_checked_and_trained_on(
    name: str, tmp_path: Path, cen: Cen, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = kinds.KINDS[name]
    folder = kinds.write(tmp_path / "folder", kind)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cen_cli.builders.draft.packaged_file", lambda name: None)  # its encoder is a large one
    if kind.refused:
        assert kind.refused in cen("data", "init", folder, code=1).err
        assert not Path("folder.toml").exists()
        return
    screen = " ".join(cen("data", "init", folder).out.split())
    text = " ".join(line.removeprefix("# ") for line in Path("folder.toml").read_text().splitlines())
    for words in kind.says:
        assert words in text
    recipe = load_recipe("folder.toml")
    split = any("{split}" in modality.pattern for modality in recipe.data.folders.modalities.values())
    assert ("divided by folders into train" in screen) == split
    assert recipe.data.inputs == kind.inputs
    assert recipe.task == ("segmentation" if kind.labels else "translation")
    assert recipe.data.folders.labels.pattern == kind.labels
    checked = cen("data", "check", "folder.toml", code=1 if kind.fails else 0).out
    for words in (*kind.found, kind.fails):
        assert words in checked
    if not kind.fails:
        settings = (*SIZES, *NETWORK[recipe.task])
        words = ("--out", "run", "--device", "cpu", "--json")
        assert cen("train", "folder.toml", *words, settings=settings).document["summary"]["steps"] >= 2
