"""`cen bench`: every number is there and positive, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cen


def test_a_translation(
    cen: Cen, tiny_translation_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--batch", "4", "--rounds", "2", "--steps", "1", "--device", "cpu", "--json")
    found = cen("bench", tiny_translation_recipe, *words).document
    assert (found["batch"], found["size"], found["rounds"], found["steps"]) == (4, [32, 32], 2, 1)
    assert found["modalities"] == ["shade", "texture"]
    for name in ("macs", "parameters", "parameter_bytes", "activation_bytes", "optimizer_bytes", "peak_bytes"):
        assert found[name] > 0
    for name in ("step", "inference"):
        assert 0 < found[name]["lowest"] <= found[name]["median"] <= found[name]["highest"]
    parts = {item["part"] for item in found["parts"]}
    assert parts == {
        *("data", "encoder", "decoder", "discriminator"),
        *("exchange and norms", "optimiser", "loss and the rest"),
    }
    assert all(0 < item["share"]["lowest"] <= item["share"]["highest"] < 1 for item in found["parts"])
    assert found["flops_per_second"] == pytest.approx(found["step_flops"] / found["step"]["median"])
    assert {peak["work"] for peak in found["peaks"]} == {"matrix product", "3x3 convolution"}
    for peak in found["peaks"]:
        share = found["flops_per_second"] / peak["flops_per_second"]
        assert 0 < found["shares_of_peak"][peak["work"]] == pytest.approx(share)
    # A step is a forward and about two more in the backward, of both networks, and the discriminator's own.
    assert found["step_flops"] > 2 * 3 * 4 * found["macs"]
    assert list(tmp_path.iterdir()) == [], "a benchmark leaves nothing behind"


def test_a_compiled_step_is_not_taken_apart(cen: Cen, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.compile", lambda model: model)
    once = ("--rounds", "1", "--steps", "1", "--device", "cpu")
    done = cen("bench", tiny_recipe, *once, settings=("train.compile=true",))
    assert "recipe    tiny (segmentation) of rgb, depth" in done.out
    assert "note: train.compile = true: the parts of a compiled step cannot be told apart" in done.out
    assert "loss and the rest" not in done.out


def test_mistakes_are_refused(cen: Cen, tiny_recipe: Path) -> None:
    assert "did you mean 'rooms'" in cen("bench", "romos", code=2).err
    assert "--rounds" in cen("bench", tiny_recipe, "--rounds", "0", code=2).err
    assert "train.batsh" in cen("bench", tiny_recipe, settings=("train.batsh=2",), code=2).err
