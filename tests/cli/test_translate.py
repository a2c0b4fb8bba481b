"""`cen translate`: images of another modality, from a split and from one's own files; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cen_cli
from cen_cli import builders
from cen_cli.cli.options import spread_inputs
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.normalization import denormalize
from cen_cli.data.sets.rooms import modality_specs
from cen_cli.jobs import own_images
from cen_cli.recipe.load import dump_toml, parse_recipe
from cen_cli.runs.checkpoint import MODEL_FILE, read_tensors, write_checkpoint, write_tensors
from cen_cli.scoring.translation import translating
from tests.cli.conftest import Cen
from tests.tiny import TRANSLATION_RECIPE

BRANCHES = ("shade", "texture", "ensemble")


def write_run(
    root: Path,
    inputs: Sequence[str] = ("shade", "texture"),
    target: str = "rgb",
    *,
    epoch: int = 2,
    data: Path | str = "",
) -> Path:
    """A run directory whose network knows nothing yet, after so many of two epochs."""
    text = TRANSLATION_RECIPE.format(root=data).replace('["shade", "texture"]', json.dumps(list(inputs)))
    text = text.replace('arch = "unet"', f'arch = "unet"\nfusion = "{"exchange" if len(inputs) > 1 else "none"}"')
    recipe = parse_recipe(text.replace('target = "rgb"', f'target = "{target}"'), source="test")
    specs, target_spec = modality_specs(inputs, target=target)
    torch.manual_seed(0)
    metadata = {
        "recipe": dump_toml(recipe),
        "classes": "[]",
        "specs": json.dumps([dataclasses.asdict(spec) for spec in specs]),
        "target": json.dumps(dataclasses.asdict(target_spec)),
    }
    root.mkdir(parents=True)
    (root / "recipe.toml").write_text(metadata["recipe"])
    write_checkpoint(
        root / "checkpoints" / "last",
        model=builders.network(recipe, 0).state_dict(),
        metadata=metadata,
        training={},
        state={"progress": {"epoch": epoch, "step": epoch, "seconds": 1.0}},
    )
    return root


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shade, texture -> rgb; read only."""
    return write_run(tmp_path_factory.mktemp("untrained") / "untrained")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shade(path: Path, *, size: tuple[int, int] = (32, 32), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(path)
    return path


def texture(path: Path, *, size: tuple[int, int] = (32, 32), seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 11356, size, dtype=np.uint16)).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "spread"),
    [
        ("translate --inputs a b", "translate --inputs a --inputs b"),
        ("translate --inputs a b --out c d", "translate --inputs a --inputs b --out c d"),
        ("translate x y --inputs a b", "translate x y --inputs a --inputs b"),
        ("translate --inputs a --inputs b", "translate --inputs a --inputs b"),
        ("translate --inputs a,b", "translate --inputs a,b"),
        ("translate --inputs=a b", "translate --inputs=a --inputs b"),
        ("translate --inputs a b -- x y", "translate --inputs a --inputs b -- x y"),
        ("translate --inputs a --json b", "translate --inputs a --json b"),
        ("translate -- --inputs a b", "translate -- --inputs a b"),
        ("translate --inputs", "translate --inputs"),
        ("translate --inputs --json", "translate --inputs --json"),
    ],
)
def test_words_behind_inputs_are_its_values(words: str, spread: str) -> None:
    assert spread_inputs(words.split()) == spread.split()


@pytest.mark.parametrize(
    "words",
    [
        ["--inputs", "shade", "texture"],
        ["--inputs", "texture", "--inputs", "reshading"],
        ["--inputs", "edge_texture,shade", "--target", "rgb"],
    ],
)
def test_inputs_can_be_written_in_many_ways(cen: Cen, here: Path, tiny_translation_run: Path, words: list[str]) -> None:
    shutil.copytree(tiny_translation_run, here / "runs" / "mine")
    finished = cen("translate", *words, "--count", "1", "--json")
    assert finished.document["network"] == "runs/mine"
    assert finished.document["inputs"] == ["shade", "texture"]
    assert "network: runs/mine, the newest finished run that fits" in finished.err


def test_the_inputs_are_the_networks_where_only_it_is_named(cen: Cen, here: Path, untrained: Path) -> None:
    files = shade(here / "a.png"), texture(here / "b.png")
    assert len(cen("translate", *files, "--ckpt", untrained, "--json").document["files"]) == 3


# --- views of a split -----------------------------------------------------------------------------------------------


def test_views_of_a_split_become_pictures(cen: Cen, here: Path, tiny_translation_run: Path) -> None:
    shutil.copytree(tiny_translation_run, here / "runs" / "mine")
    shown = cen("translate", "--inputs", "shade", "texture")
    out = here / "translations" / "mine"
    model = cen_cli.load(tiny_translation_run)
    data = builders.dataset(model.recipe, "test")
    assert {path.name for path in out.iterdir()} == {
        "contact_sheet.png",
        *(f"{data.view(index).name}_{branch}.png" for index in range(4) for branch in BRANCHES),
    }
    sample = data[3]
    with torch.inference_mode():
        output = model({name: image[None] for name, image in sample.inputs.items()})
    for name, image in zip(BRANCHES, [*output.branches[:, 0], output.ensemble[0]], strict=True):
        expected = denormalize(image, model.target_spec).permute(1, 2, 0).numpy()
        assert np.array_equal(pixels(out / f"{sample.name}_{name}.png"), expected)
    assert pixels(out / "contact_sheet.png").shape[0] > 4 * 128
    assert "12 images of 4 views: translations/mine" in shown.out
    assert "shade, texture -> rgb" in shown.out


def test_split_and_count(cen: Cen, here: Path, tiny_translation_run: Path) -> None:
    words = ["translate", "--ckpt", tiny_translation_run, "--split", "train", "--count", "3", "--json"]
    found = cen(*words).document
    names = [Path(path).name for path in found["files"]]
    assert len(names) == 9
    assert (here / found["contact_sheet"]).is_file()
    data = builders.dataset(cen_cli.load(tiny_translation_run).recipe, "train")
    assert names[-1] == f"{data.view(2).name}_ensemble.png"


def test_paper_protocol_draws_and_stretches_and_says_so(cen: Cen, here: Path, tiny_translation_run: Path) -> None:
    ways = {"strict": [], "paper": ["--protocol", "paper"], "again": ["--protocol", "paper"]}
    for out, words in ways.items():
        shown = cen("translate", "--ckpt", tiny_translation_run, "--count", "1", "--out", out, *words).out
        assert ("dropout drew, and every image is stretched" in shown) is (out != "strict")
    name = next((here / "strict").glob("*_ensemble.png")).name
    strict, paper, again = (pixels(here / out / name) for out in ways)
    assert (paper.min(), paper.max()) == (0, 255)
    assert strict.max() - strict.min() < 250
    assert np.array_equal(paper, again)
    low, high = float(strict.min()), float(strict.max())
    assert np.abs(paper - (strict - low) / (high - low) * 255).max() > 5  # dropout drew


# --- one's own files ------------------------------------------------------------------------------------------------


def test_own_files_keep_their_size(cen: Cen, here: Path, untrained: Path) -> None:
    files = shade(here / "a.png", size=(50, 70)), texture(here / "b.png", size=(50, 70))
    cen("translate", *files, "--inputs", "shade", "texture", "--ckpt", untrained, "--out", "out")
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        *(f"a_{branch}.png" for branch in ("ensemble", "shade", "texture")),
        "contact_sheet.png",
    ]
    assert all(pixels(here / "out" / f"a_{branch}.png").shape == (50, 70, 3) for branch in BRANCHES)


def test_own_files_are_seen_at_the_size_of_scored_views(cen: Cen, here: Path) -> None:
    data, run = here / "rooms", write_run(here / "run", data=here / "rooms")
    larger = ("data.rooms.size=64",)
    cen("translate", "--ckpt", run, "--count", 1, "--out", "views", settings=larger)
    files = [next(data.glob(f"*/test/{domain}/0000_0.png")) for domain in ("reshading", "edge_texture")]
    cen("translate", *files, "--inputs", "shade", "texture", "--ckpt", run, "--out", "own", settings=larger)
    own, view = (pixels(here / folder / "0000_0_ensemble.png") for folder in ("own", "views"))
    np.testing.assert_array_equal(own, view)


def test_the_order_of_inputs_says_which_file_is_what(cen: Cen, here: Path, untrained: Path) -> None:
    one, other = shade(here / "a.png"), texture(here / "b.png")
    cen("translate", "--inputs", "shade", "texture", "--ckpt", untrained, "--out", "one", "--", one, other)
    cen("translate", "--inputs", "texture", "reshading", "--ckpt", untrained, "--out", "two", "--", other, one)
    for branch in BRANCHES:
        assert np.array_equal(pixels(here / "one" / f"a_{branch}.png"), pixels(here / "two" / f"b_{branch}.png"))


def folders(here: Path, count: int = 3) -> tuple[Path, Path]:
    for index in range(count):
        shade(here / "shades" / f"point_{index}_domain_reshading.png", seed=index)
        texture(here / "textures" / f"point_{index}_domain_edge_texture.png", seed=index)
    return here / "shades", here / "textures"


def test_files_of_folders_are_paired_by_name(cen: Cen, here: Path, untrained: Path) -> None:
    (here / "shades").mkdir()
    (here / "shades" / "notes.txt").write_text("not an image")
    found = cen("translate", *folders(here), "--ckpt", untrained, "--json").document
    assert found["skipped"] == []
    names = sorted(Path(path).name for path in found["files"])
    assert names == [f"point_{index}_{branch}.png" for index in range(3) for branch in sorted(BRANCHES)]


def test_count_limits_ones_own_views_too(cen: Cen, here: Path, untrained: Path) -> None:
    assert len(cen("translate", *folders(here), "--ckpt", untrained, "--count", "2", "--json").document["files"]) == 6


def test_a_corrupt_file_among_good_ones_is_skipped(cen: Cen, here: Path, untrained: Path) -> None:
    shades, textures = folders(here)
    bad = shades / "point_1_domain_reshading.png"
    bad.write_bytes(bad.read_bytes()[:100])
    ended = cen("translate", shades, textures, "--ckpt", untrained, "--out", "out", "--json", code=1)
    assert f"warning: skipped: {bad}: truncated or damaged" in ended.err
    assert "error: 1 of 3 views were skipped, see above; the others are written" in ended.err
    assert len(ended.document["files"]) == 6
    assert [str(bad) in reason for reason in ended.document["skipped"]] == [True]
    assert len(list((here / "out").iterdir())) == 7


def test_nothing_is_written_where_nothing_can_be_read(cen: Cen, here: Path, untrained: Path) -> None:
    shades, textures = folders(here, count=2)
    for path in shades.iterdir():
        path.write_bytes(b"")
    ended = cen("translate", shades, textures, "--ckpt", untrained, "--out", "out", code=1)
    assert "none of the 2 views could be read, see above; nothing was written" in ended.err
    assert not (here / "out").exists()


def test_a_view_of_one_input_has_no_ensemble(cen: Cen, here: Path) -> None:
    run = write_run(here / "single", ("shade",))
    found = cen("translate", shade(here / "a.png"), "--inputs", "shade", "--ckpt", run, "--json").document
    assert [Path(path).name for path in found["files"]] == ["a_shade.png"]


def test_depth_is_written_in_the_data_sets_encoding(cen: Cen, here: Path) -> None:
    run = write_run(here / "depths", target="depth")
    files = shade(here / "a.png", size=(40, 40)), texture(here / "b.png", size=(40, 40))
    cen("translate", *files, "--ckpt", run, "--out", "out")
    with Image.open(here / "out" / "a_ensemble.png") as image:
        assert (image.mode, image.size) == ("I;16", (40, 40))
        depth = np.asarray(image).astype(int)
    assert 0 < depth.min() <= depth.max() <= 512 * 10  # metres up to 10, in 1/512
    cen("translate", *files, "--ckpt", run, "--out", "paper", "--protocol", "paper")
    assert pixels(here / "paper" / "a_ensemble.png").dtype == np.uint8


# --- what is refused ------------------------------------------------------------------------------------------------

OwnFiles = Callable[[Path], list[object]]


def pair(here: Path, first: Callable[..., Path] = shade, second: Callable[..., Path] = texture) -> list[object]:
    return [first(here / "a.png"), second(here / "b.png")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (lambda here: [shade(here / "a.png"), texture(here / "b.png", size=(32, 40))], "sizes differ: "),
        (
            lambda here: pair(here, second=shade),
            "b.png: the image is 8-bit grey, expected 16-bit grey (full scale 1135",
        ),
        (lambda here: pair(here, first=texture), "a.png: the image is 16-bit grey, expected 8-bit RGB or grey"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    cen: Cen, here: Path, untrained: Path, files: OwnFiles, message: str
) -> None:
    ended = cen("translate", *files(here), "--ckpt", untrained, "--out", "out", code=1)
    assert message in ended.err
    assert not (here / "out").exists()


def test_depth_without_any_measurement(cen: Cen, here: Path) -> None:
    run = write_run(here / "deep", ("depth", "texture"))
    Image.fromarray(np.full((32, 32), 65535, dtype=np.uint16)).save(here / "depth.png")
    words = ["translate", "depth.png", texture(here / "b.png"), "--inputs", "depth", "texture", "--ckpt", run]
    assert "depth.png: nothing was measured, every pixel of this depth image is invalid" in cen(*words, code=1).err


def empty(here: Path) -> list[object]:
    (here / "none").mkdir()
    return [folders(here)[0], here / "none"]


def without_partner(here: Path) -> list[object]:
    shades, textures = folders(here)
    (textures / "point_1_domain_edge_texture.png").unlink()
    shade(shades / "extra.png")
    texture(textures / "other.png")
    return [shades, textures]


def twice(here: Path) -> list[object]:
    shades, textures = folders(here)
    shade(shades / "point_0.png")
    return [shades, textures]


@pytest.mark.parametrize(
    ("files", "message", "code"),
    [
        (empty, "none: this folder is empty", 1),
        (without_partner, "textures (texture) lacks extra, point_1", 1),
        (without_partner, "shades (shade) lacks other", 1),
        (twice, "point_0.png and point_0_domain_reshading.png are one view", 1),
        (
            lambda here: [*folders(here), here],
            "one file or one folder for each of shade, texture: 2 are needed, not 3",
            2,
        ),
        (lambda here: [shade(here / "a.png"), here], "files and folders are mixed", 2),
        (lambda here: [shade(here / "a.png"), here / "b.png"], "b.png: no such file or folder", 2),
        (lambda here: [*pair(here), "--split", "val"], "--split names views of the recipe's data set", 2),
    ],
)
def test_paths_that_do_not_fit(cen: Cen, here: Path, untrained: Path, files: OwnFiles, message: str, code: int) -> None:
    ended = cen("translate", *files(here), "--ckpt", untrained, "--out", "out", code=code)
    assert message in ended.err
    assert not (here / "out").exists()


def test_views_of_a_size_that_the_network_cannot_take(cen: Cen, here: Path) -> None:
    run = write_run(here / "run", data=here / "rooms")
    smaller = ("data.rooms.size=40", "data.rooms.train_rooms=1", "data.rooms.val_rooms=1", "data.rooms.test_rooms=1")
    text = cen("translate", "--ckpt", run, settings=smaller, code=2).err
    assert "data.rooms.size" in text, "the rooms' size is in the recipe: refused before a view is read"
    assert "[from an option]" in text
    assert not (here / "translations").exists()


def test_what_derives_from_another_input_may_share_its_folder(here: Path) -> None:
    shades, _ = folders(here, count=2)
    edge, depth = (ModalitySpec(name, "image", derived=derived) for name, derived in (("e", "edge_texture"), ("d", "")))
    found = own_images.find_views([shades, shades], ["s", "e"], [edge])
    assert all(files["s"] == files["e"] for files in found.values())
    with pytest.raises(own_images.UsageError, match="one folder for s and d"):
        own_images.find_views([shades, shades], ["s", "d"], [depth])


def test_a_loaded_network_normalises_as_it_is_scored(here: Path) -> None:
    run = write_run(here / "run")
    file = run / "checkpoints" / "last" / "model.safetensors"
    tensors, metadata = read_tensors(file)
    recipe = metadata["recipe"].replace('norm_statistics = "instance"', 'norm_statistics = "running"')
    assert recipe != metadata["recipe"]
    write_tensors(here / "running.safetensors", tensors, metadata | {"recipe": recipe})
    images = dict(zip(("shade", "texture"), torch.randn(2, 1, 3, 32, 32).unbind(0), strict=True))
    loaded, other = builders.load(here / "running.safetensors"), builders.load(file)
    with torch.no_grad(), translating(other.network, "strict", "running"):
        scored = other(images).ensemble
    with torch.no_grad():
        assert torch.equal(loaded(images).ensemble, scored)


def test_many_missing_partners_are_counted(here: Path) -> None:
    shades, textures = folders(here, count=9)
    for path in textures.iterdir():
        path.unlink()
    texture(textures / "point_0.png")
    with pytest.raises(own_images.DataError, match="lacks point_1, point_2, point_3, point_4, point_5, and 3 more"):
        own_images.find_views([shades, textures], ["shade", "texture"])


def test_nothing_is_overwritten(cen: Cen, here: Path, untrained: Path) -> None:
    files = pair(here)
    cen("translate", *files, "--ckpt", untrained)
    before = (here / "translations" / "untrained" / "a_shade.png").stat().st_mtime_ns
    ended = cen("translate", *files, "--ckpt", untrained, code=2)
    assert "translations/untrained: exists already, and nothing is overwritten" in ended.err
    assert "hint: give a new folder with --out DIR" in ended.err
    assert (here / "translations" / "untrained" / "a_shade.png").stat().st_mtime_ns == before
    assert (
        "a.png: exists already, and nothing is overwritten"
        in cen("translate", *files, "--ckpt", untrained, "--out", "a.png", code=2).err
    )


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--inputs", "shade", "textur"], "--inputs textur: no such domain", "did you mean 'texture'?"),
        (["--inputs", "xyz"], "--inputs xyz: no such domain", "known are shade, texture, edge, depth, normal, rgb, "),
        (["--inputs", "shade", "texture", "--target", "rbg"], "--target rbg: no such domain", "did you mean 'rgb'?"),
        (["--inputs", "shade", "shade"], "--inputs shade shade: reshading is named twice", ""),
        (["--inputs", "shade", "reshading"], "named twice (shade and reshading are the same)", ""),
        (["--inputs", "shade", "rgb", "--target", "rgb"], "--target rgb: is one of the inputs", "leave it out"),
        (
            ["--inputs", "shade", "a.png"],
            "--inputs a.png: a path, where names of domains are expected",
            "before --inputs",
        ),
        ([], "what is to be translated, and by which network?", "give --inputs; train one: cen train rooms-translate"),
        (
            ["--inputs", "shade"],
            "no run in runs/ translates shade",
            "train one: cen train rooms-translate; or give --ckpt",
        ),
    ],
)
def test_requests_that_make_no_sense(cen: Cen, here: Path, words: list[str], message: str, hint: str) -> None:
    text = cen("translate", *words, code=2).err
    assert message in text
    assert hint in text


def test_a_checkpoint_of_other_inputs_names_the_runs_that_fit(cen: Cen, here: Path, untrained: Path) -> None:
    write_run(here / "runs" / "fits", ("depth", "normal"))
    write_run(here / "runs" / "other", ("shade", "normal"))
    text = cen("translate", "--ckpt", untrained, "--inputs", "normal", "depth", code=2).err
    assert f"{untrained}: translates shade, texture -> rgb, not normal, depth" in text
    assert "hint: what fits: runs/fits (depth, normal -> rgb)\n" in text
    text = cen("translate", "--ckpt", untrained, "--inputs", "shade", code=2).err
    assert "not shade\nhint: no run in runs/ fits" in text
    text = cen("translate", "--ckpt", untrained, "--inputs", "shade", "texture", "--target", "normal", code=2).err
    assert "not shade, texture -> normal" in text


def test_the_newest_finished_run_of_these_inputs_and_target_is_taken(cen: Cen, here: Path) -> None:
    runs = {
        "older": {},
        "newer": {},
        "unfinished": {"epoch": 1},
        "normals": {"target": "normal"},
        "depths": {"inputs": ("depth", "texture")},
    }
    for age, (name, settings) in enumerate(runs.items()):
        run = write_run(here / "runs" / name, **settings)
        os.utime(run / "checkpoints" / "last", (age, age))
    (here / "runs" / "broken").mkdir()
    (here / "runs" / "broken" / "recipe.toml").write_text("task = ")

    def taken(*words: str) -> str:
        files = [texture(here / "b.png"), shade(here / "a.png")]
        asked = ["--inputs", "texture", "shade", *words]
        return cen("translate", *files, *asked, "--out", f"out{len(words)}", "--json").document["network"]

    assert taken("--target", "rgb") == "runs/newer"
    assert taken() == "runs/normals"
    text = cen("translate", "--inputs", "depth", "texture", "--target", "normal", code=2).err
    assert "no run in runs/ translates depth, texture -> normal" in text
    assert "there are runs/depths (depth, texture -> rgb), runs/normals (shade, texture -> normal), runs/unf" in text


def test_an_unfinished_run_must_be_named(cen: Cen, here: Path) -> None:
    write_run(here / "runs" / "begun", epoch=1)
    text = cen("translate", "--inputs", "shade", "texture", code=2).err
    assert "no finished run in runs/ translates shade, texture" in text
    assert "there are runs/begun (shade, texture -> rgb, not finished); or give --ckpt" in text
    cen("translate", *pair(here), "--ckpt", "runs/begun")


def test_a_file_alone_is_a_network(cen: Cen, here: Path, untrained: Path) -> None:
    shutil.copy(untrained / "checkpoints" / "last" / MODEL_FILE, here / "net.safetensors")
    cen("translate", *pair(here), "--ckpt", "net.safetensors")
    assert (here / "translations" / "net" / "a_ensemble.png").is_file()


def test_each_command_names_the_other_for_its_networks(cen: Cen, here: Path, untrained: Path, tiny_run: Path) -> None:
    text = cen("translate", *pair(here), "--ckpt", tiny_run, code=2).err
    assert f"{tiny_run}: this network labels images" in text
    assert f"cen predict {tiny_run} --input rgb=FILE --input depth=FILE" in text
    text = cen("predict", untrained, "--input", "shade=a.png", "--input", "texture=b.png", code=2).err
    assert f"{untrained}: this network translates images, it does not label them" in text
    assert f"cen translate --inputs shade texture --ckpt {untrained}" in text


# ---- fusion baselines ----


def test_a_fused_network_writes_one_image_for_each_view(cen: Cen, tiny_translation_recipe: Path, here: Path) -> None:
    fused = ("model.fusion=self-attention", "model.fusion_stage=middle", "train.epochs=1")
    cen("train", tiny_translation_recipe, "--device", "cpu", "--out", "run", settings=fused)
    cen(
        "translate", "--inputs", "shade", "texture", "--ckpt", "run", "--count", "2", "--device", "cpu", "--out", "made"
    )
    names = sorted(path.name for path in Path("made").iterdir())
    assert names == ["0000_0_fused.png", "0000_1_fused.png", "contact_sheet.png"]
