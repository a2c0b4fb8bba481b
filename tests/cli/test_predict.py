"""`cen predict`: one own pair, labelled as the network says; what does not fit is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cen_cli
from cen_cli import builders
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.errors import DataError
from cen_cli.jobs.own_images import find_views
from cen_cli.models.device import autocast
from cen_cli.recipe.load import dump_toml, load_recipe, override, parse_recipe
from cen_cli.reporting.panels import default_palette
from cen_cli.runs.checkpoint import read_tensors, write_tensors
from cen_cli.scoring.segmentation import predict_labels
from tests.cli.conftest import Cen

STEM = "001000"


def pair(root: Path, **changed: Path) -> list[str]:
    files = {"rgb": root / "rgb" / f"{STEM}.png", "depth": root / "depth" / f"{STEM}.png"} | changed
    return [word for name, file in files.items() for word in ("--input", f"{name}={file}")]


def test_the_label_map_is_what_the_ensemble_says(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    found = cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path / "out", "--json").document
    with Image.open(tmp_path / "out" / "labels.png") as image:
        assert image.mode == "P"
        labels = np.asarray(image)
    with Image.open(tmp_path / "out" / "overlay.png") as image:
        assert image.size == (40, 32)

    model = cen_cli.load(tiny_run)
    sample = NYUDv2(tiny_root, "val")[0]
    with torch.inference_mode():
        logits = model({name: image[None] for name, image in sample.inputs.items()}).ensemble
    expected = torch.nn.functional.interpolate(logits, size=(32, 40), mode="bicubic").argmax(1)[0]
    assert np.array_equal(labels, expected.numpy())
    shares = {entry["class_name"]: entry["share"] for entry in found["classes"]}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["wall"] == pytest.approx(float((expected == 0).float().mean()))


def test_a_view_is_seen_at_the_size_at_which_it_is_scored(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(tiny_run / "checkpoints" / "best" / "model.safetensors")
    recipe = override(parse_recipe(metadata["recipe"], "a test"), ["eval.size=[64,32]"], source="a test")
    scored = tmp_path / "model.safetensors"
    torch.manual_seed(0)
    tensors = {**tensors, **builders.network(recipe, 40, weights="none").state_dict()}  # labels other than the first
    write_tensors(scored, tensors, metadata | {"recipe": dump_toml(recipe)})
    cen("predict", scored, *pair(tiny_root), "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / "labels.png") as image:
        labels = np.asarray(image)

    sample = builders.dataset(recipe, "val")[0]
    assert sample.inputs["rgb"].shape == (3, 64, 32)
    with torch.inference_mode():
        logits = cen_cli.load(scored)({name: image[None] for name, image in sample.inputs.items()}).ensemble
    expected = torch.nn.functional.interpolate(logits, size=(32, 40), mode="bicubic").argmax(1)[0]
    assert len(np.unique(labels)) > 1
    assert np.array_equal(labels, expected.numpy())


def test_a_view_is_labelled_in_the_precision_in_which_it_is_scored(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(tiny_run / "checkpoints" / "best" / "model.safetensors")
    recipe = override(parse_recipe(metadata["recipe"], "a test"), ["train.precision=bf16"], source="a test")
    torch.manual_seed(0)
    tensors = {**tensors, **builders.network(recipe, 40, weights="none").state_dict()}
    half = tmp_path / "model.safetensors"
    write_tensors(half, tensors, metadata | {"recipe": dump_toml(recipe)})
    cen("predict", half, *pair(tiny_root), "--out", tmp_path / "out", "--device", "cpu")
    with Image.open(tmp_path / "out" / "labels.png") as image:
        labels = torch.from_numpy(np.array(image))

    network, sample = cen_cli.load(half, "cpu"), NYUDv2(tiny_root, "val")[0]
    images = {name: picture[None] for name, picture in sample.inputs.items()}
    expected = {}
    for precision in ("bf16", "fp32"):
        with torch.inference_mode(), autocast(network.device, precision):
            expected[precision] = predict_labels(network(images), (32, 40))[-1, 0].to(torch.uint8)
    assert torch.equal(labels, expected["bf16"])
    assert not torch.equal(labels, expected["fp32"])


def folders(root: Path) -> list[str]:
    return [word for name in ("rgb", "depth") for word in ("--input", f"{name}={root / name}")]


def test_all_views_of_folders_are_labelled_as_alone_and_kept(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "many"
    done = cen("predict", tiny_run, *folders(tiny_root), "--out", out)
    views = len(list((tiny_root / "rgb").iterdir()))
    assert f"{views} views labelled" in done.out
    assert "images a second" in done.out
    cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path / "one")
    for what in ("labels", "overlay"):
        assert len(list((out / what).iterdir())) == views
        assert (out / what / f"{STEM}.png").read_bytes() == (tmp_path / "one" / f"{what}.png").read_bytes()
    (out / "labels" / f"{STEM}.png").unlink()
    assert "of the views labelled now:" not in done.out
    assert "of the views labelled now:" in cen("predict", tiny_run, *folders(tiny_root), "--out", out).out
    (out / "labels" / f"{STEM}.png").unlink()
    again = cen("predict", tiny_run, *folders(tiny_root), "--out", out, "--json").document
    assert (again["labelled"], again["kept"]) == (1, views - 1)
    assert (out / "labels" / f"{STEM}.png").is_file()
    note = json.loads((out / "network.json").read_text())
    (out / "network.json").write_text(json.dumps(note | {"files": [1]}))
    assert cen("predict", tiny_run, *folders(tiny_root), "--out", out, "--json").document["kept"] == views
    elsewhere = shutil.copytree(tiny_root, tmp_path / "elsewhere")
    refused = cen("predict", tiny_run, *folders(elsewhere), "--out", out, code=2)
    assert "holds labels of other files" in refused.err
    other = tmp_path / "other.safetensors"
    tensors, metadata = read_tensors(tiny_run / "checkpoints" / "best" / "model.safetensors")
    write_tensors(other, {name: tensor + 1 for name, tensor in tensors.items()}, metadata)
    refused = cen("predict", other, *folders(tiny_root), "--out", out, code=2)
    assert "holds labels of another network" in refused.err


def test_labels_of_the_user_s_own_are_neither_taken_nor_overwritten(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(tiny_root, tmp_path / "own")
    (own / "labels").mkdir()
    shutil.copy(next((own / "rgb").iterdir()), own / "labels" / f"{STEM}.png")
    refused = cen("predict", tiny_run, *folders(own), "--out", own, code=2)
    assert f"{own / 'labels'}: exists already, and nothing is overwritten" in refused.err
    assert not (own / "network.json").exists()
    (own / "labels.png").write_bytes(b"mine")
    refused = cen("predict", tiny_run, *pair(tiny_root), "--out", own, code=2)
    assert "labels.png: exists already" in refused.err
    assert (own / "labels.png").read_bytes() == b"mine"


def test_a_list_that_names_other_files_has_labels_of_its_own(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    scenes = [shutil.copytree(tiny_root, tmp_path / name) for name in ("a", "b")]
    words = [word for name in ("rgb", "depth") for word in ("--input", f"{name}={tmp_path / name}.txt")]

    def listed(scene: Path, count: int) -> None:
        for name in ("rgb", "depth"):
            files = sorted((scene / name).iterdir())[:count]
            (tmp_path / f"{name}.txt").write_text("\n".join(str(path) for path in files))

    listed(scenes[0], 1)
    assert "1 views labelled" in cen("predict", tiny_run, *words, "--out", tmp_path / "out").out
    listed(scenes[0], 2)
    assert "1 views labelled, 1 labelled before" in cen("predict", tiny_run, *words, "--out", tmp_path / "out").out
    listed(scenes[1], 2)
    assert "holds labels of other files" in cen("predict", tiny_run, *words, "--out", tmp_path / "out", code=2).err


def test_a_call_that_labelled_nothing_claims_no_folder(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    broken = shutil.copytree(tiny_root, tmp_path / "broken")
    for path in (broken / "depth").iterdir():
        path.write_bytes(b"no image")
    cen("predict", tiny_run, *folders(broken), "--out", tmp_path / "out", code=1)
    assert "views labelled" in cen("predict", tiny_run, *folders(tiny_root), "--out", tmp_path / "out").out


def test_lists_whose_lines_have_shifted_are_refused(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    files = {name: sorted((tiny_root / name).glob("*.png")) for name in ("rgb", "depth")}
    del files["rgb"][-1], files["depth"][1]
    for name, paths in files.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{path}\n" for path in paths))
    words = [word for name in files for word in ("--input", f"{name}={tmp_path / name}.txt")]
    refused = cen("predict", tiny_run, *words, "--out", tmp_path / "out", code=1).err
    assert "stands beside" in refused
    assert not (tmp_path / "out").exists()


def test_one_folder_for_two_inputs_is_refused(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    """Each file would be every input of a view."""
    words = [word for name in ("rgb", "depth") for word in ("--input", f"{name}={tiny_root / 'rgb'}")]
    refused = cen("predict", tiny_run, *words, "--out", tmp_path / "out", code=2)
    assert "one folder for rgb and depth" in refused.err
    (tmp_path / "all.txt").write_text("\n".join(str(path) for path in (tiny_root / "rgb").iterdir()))
    words = [word for name in ("rgb", "depth") for word in ("--input", f"{name}={tmp_path / 'all.txt'}")]
    assert "one list for rgb and depth" in cen("predict", tiny_run, *words, "--out", tmp_path / "out", code=2).err
    assert not (tmp_path / "out").exists()


def test_files_are_paired_by_the_patterns_of_the_recipe(tmp_path: Path) -> None:
    """`rgb_tile_01` and `nir_tile_1` are one view to the training; so they are afterwards, in folders and lists."""
    changes = {
        f"data.folders.modalities.{name}.{key}": value
        for name in ("rgb", "nir")
        for key, value in {"pattern": f"{name.upper()}/{name}_{{stem}}.*", "kind": "image", "channels": 3}.items()
    }
    recipe = load_recipe("own-data", {**changes, "data.inputs": ["rgb", "nir"]})
    for number in range(1, 5):
        for name, tile in (("rgb", f"rgb_tile_{number:02}.png"), ("nir", f"nir_tile_{number}.jpg")):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / tile).write_bytes(b"")
    folders = [tmp_path / "rgb", tmp_path / "nir"]
    views = find_views(folders, ["rgb", "nir"], recipe=recipe)
    assert views["tile_3"] == {"rgb": folders[0] / "rgb_tile_03.png", "nir": folders[1] / "nir_tile_3.jpg"}
    assert len(views) == 4
    for folder, skipped in zip(folders, (-1, 0), strict=True):
        files = sorted(folder.iterdir())
        del files[skipped]
        folder.with_suffix(".txt").write_text("\n".join(map(str, files)))
    with pytest.raises(DataError, match=r"rgb_tile_02\.png stands beside nir_tile_3\.jpg"):
        find_views([folder.with_suffix(".txt") for folder in folders], ["rgb", "nir"], recipe=recipe)


def test_lists_of_nested_views_are_named_by_the_whole_pattern(tmp_path: Path) -> None:
    """`kitchen/rgb/1.png` and `bath/rgb/1.png` are two views."""
    changes = {
        f"data.folders.modalities.{name}.{key}": value
        for name in ("rgb", "nir")
        for key, value in {"pattern": f"{{group}}/{name}/{{stem}}.png", "kind": "image", "channels": 3}.items()
    }
    others = {
        f"data.folders.{part}.pattern": f"{{group}}/{part[:3]}/{{stem}}.*" for part in ("modalities.height", "labels")
    }
    recipe = load_recipe("own-data", {**changes, **others, "data.inputs": ["rgb", "nir"]})
    for name in ("rgb", "nir"):
        for room in ("bath", "kitchen"):
            (tmp_path / room / name).mkdir(parents=True)
            (tmp_path / room / name / "1.png").write_bytes(b"")
        (tmp_path / f"{name}.txt").write_text(f"bath/{name}/1.png\nkitchen/{name}/1.png\n")
    lists = [tmp_path / "rgb.txt", tmp_path / "nir.txt"]
    assert list(find_views(lists, ["rgb", "nir"], recipe=recipe)) == ["bath_1", "kitchen_1"]
    with pytest.raises(DataError, match="two files are called 1"):
        find_views(lists, ["rgb", "nir"])


def test_a_file_in_the_place_of_the_folder_is_left_alone(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    refused = cen("predict", tiny_run, *folders(tiny_root), "--out", tmp_path / "file", code=2)
    assert "file: exists already, and nothing is overwritten" in refused.err


def test_lists_name_views_line_by_line_and_what_cannot_be_read_is_skipped(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in (tiny_root / "rgb").iterdir())[:2]
    (tmp_path / "broken.png").write_bytes(b"no image")
    words = []
    for name in ("rgb", "depth"):
        file = tmp_path / f"{name}.txt"
        last = "broken.png" if name == "rgb" else str(tiny_root / "depth" / names[0])
        file.write_text("\n".join(["# two views", *(str(tiny_root / name / each) for each in names), last]))
        words += ["--input", f"{name}={file}"]
    done = cen("predict", tiny_run, *words, "--out", tmp_path / "out", "--json", code=1)
    assert done.document["labelled"] == 2
    assert "1 of 3 views were skipped" in done.err
    assert "broken.png: not an image file" in done.document["skipped"][0]
    assert sorted(path.name for path in (tmp_path / "out" / "labels").iterdir()) == names
    (tmp_path / "depth.txt").write_text("a.png")
    uneven = cen("predict", tiny_run, *words, "--out", tmp_path / "uneven", code=1)
    assert "rgb.txt: 3, " in uneven.err
    mixed = ("--input", f"rgb={tiny_root / 'rgb'}", *words[2:])
    assert "folders and lists are mixed" in cen("predict", tiny_run, *mixed, "--out", tmp_path / "m", code=2).err


def test_a_network_that_has_diverged_labels_nothing(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    """Of several NaN the first would be the largest, and everything class 0."""
    tensors, metadata = read_tensors(tiny_run / "checkpoints" / "best" / "model.safetensors")
    name = "encoder.layer1.0.conv1.weight"
    broken = tmp_path / "model.safetensors"
    write_tensors(broken, {**tensors, name: torch.full_like(tensors[name], 1e38)}, metadata)
    words = ["predict", broken, *pair(tiny_root), "--out", tmp_path / "out"]
    assert "the network's output is not finite" in cen(*words, code=1).err
    assert not (tmp_path / "out").exists()
    scored = cen("eval", broken, "--data-root", tiny_root, "--device", "cpu", code=1)
    assert "the network's output is not finite" in scored.err


def test_classes_and_files_are_printed(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    shown = cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path / "out").out
    assert ["class", "%"] in [line.split() for line in shown.splitlines()]
    assert f"wrote {tmp_path / 'out' / 'labels.png'}" in shown


def test_the_palette_colours_the_classes(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path)
    with Image.open(tmp_path / "labels.png") as labels:
        colours = np.asarray(labels.getpalette()).reshape(-1, 3)[:40].tolist()
    assert colours == [list(colour) for colour in default_palette(40)]


def test_the_label_map_has_the_inputs_size_where_the_recipe_resizes(
    train: Cen, cen: Cen, tiny_root: Path, tmp_path: Path
) -> None:
    train("--out", tmp_path / "run", "--json", settings=("train.epochs=1", "data.resize=[24,24]"))
    cen("predict", tmp_path / "run", *pair(tiny_root), "--out", tmp_path / "out")
    for name in ("labels.png", "overlay.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.size == (40, 32)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "rgb=a.png"], "one file for each of rgb, depth; missing: depth"),
        (["--input", "rgb=a.png", "--input", "dpeth=b.png"], "missing: depth; unknown: dpeth"),
        (["--input", "rgb=a.png", "--input", "rgb=a.png", "--input", "depth=b.png"], "--input rgb=...: given twice"),
        (["--input", "a.png"], "--input takes MODALITY=FILE"),
    ],
)
def test_inputs_that_do_not_fit_the_network(cen: Cen, tiny_run: Path, words: list[str], message: str) -> None:
    assert message in cen("predict", tiny_run, *words, code=2).err


def test_files_that_do_not_fit_together(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(np.full((16, 16), 5000, dtype=np.uint16)).save(small)
    text = cen("predict", tiny_run, *pair(tiny_root, depth=small), "--out", tmp_path / "out", code=1).err
    assert "sizes differ" in text
    assert str(small) in text
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes((tiny_root / "rgb" / f"{STEM}.png").read_bytes()[:200])
    assert str(cut) in cen("predict", tiny_run, *pair(tiny_root, rgb=cut), code=1).err
    missing = tmp_path / "missing.png"
    assert str(missing) in cen("predict", tiny_run, *pair(tiny_root, rgb=missing), code=1).err


def test_the_official_layouts_framed_depth_is_cut(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    depth = np.asarray(Image.open(tiny_root / "depth" / f"{STEM}.png"))
    framed = tmp_path / "framed.png"
    Image.fromarray(np.pad(depth, ((0, 1), (1, 1)))).save(framed)
    plain, cut = tmp_path / "plain", tmp_path / "cut"
    cen("predict", tiny_run, *pair(tiny_root), "--out", plain)
    cen("predict", tiny_run, *pair(tiny_root, depth=framed), "--out", cut)
    assert (plain / "labels.png").read_bytes() == (cut / "labels.png").read_bytes()
