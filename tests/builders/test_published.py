"""Converted checkpoints against the published networks as they are described, run on the file's own tensors."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cen_cli import builders, load
from cen_cli.builders.networks import network
from cen_cli.errors import CheckpointError, UsageError
from cen_cli.models.backbones.pretrained import read_resnet_weights
from cen_cli.models.backbones.resnet import RESNETS
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.norms import set_norm_statistics
from cen_cli.models.published import generator, segmenter
from cen_cli.models.published.tensors import ROW
from cen_cli.runs.checkpoint import write_tensors
from tests import published
from tests.reference import released

TOLERANCE = 1e-4
"""Relative, in float32."""


def images(modalities: int, height: int, width: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.rand(1, 3, height, width, generator=generator) * 2 - 1 for _ in range(modalities)]


def converted(path: Path, **names):
    """The network that `load` makes of the converted file."""
    done = builders.convert(path, **names)
    file = path.with_suffix(".safetensors")
    write_tensors(file, done.tensors, done.metadata)
    return load(file), done.report


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.std() > 0.01
    assert (ours - theirs).norm() / theirs.norm() < TOLERANCE


@torch.no_grad()
@pytest.mark.parametrize(("modalities", "names"), [(2, ()), (3, ("rgb", "depth", "normal"))])
def test_segmentation_network_labels_as_the_published_one(tmp_path, modalities, names):
    state = published.segmenter_state(modalities=modalities)
    net, _ = converted(published.save_segmenter(tmp_path / "net.pth", state), inputs=names)
    x = images(modalities, 64, 96)
    logits, ensemble = released.segmenter(state, x, published.BLOCKS["resnet50"])
    out = net(torch.cat(x))
    for m in range(modalities):
        assert_close(out.branches[m], logits[m])
    assert_close(out.ensemble, ensemble)
    without, _ = released.segmenter(state, x, published.BLOCKS["resnet50"], theta=0.0)
    assert (without[0] - logits[0]).norm() > 10 * TOLERANCE * logits[0].norm()  # exchange matters in it


@torch.no_grad()
@pytest.mark.parametrize("statistics", ["instance", "running"])
@pytest.mark.parametrize("modalities", [2, 3])
def test_generator_translates_as_the_published_one(tmp_path, statistics, modalities):
    state = published.generator_state(modalities=modalities)
    path = published.save_bare(tmp_path / "net.pth", state)
    net, _ = converted(path, inputs=("shade", "texture", "depth")[:modalities], target="rgb")
    set_norm_statistics(net, statistics)
    x = images(modalities, 64, 32)
    made, ensemble = released.generator(state, x, 5, running=statistics == "running")
    out = net(torch.cat(x))
    for m in range(modalities):
        assert_close(out.branches[m], made[m])
    assert_close(out.ensemble, ensemble)
    without, _ = released.generator(state, x, 5, theta=0.0, running=statistics == "running")
    assert (without[0] - made[0]).norm() > 10 * TOLERANCE * made[0].norm()


@torch.no_grad()
def test_discriminator_judges_as_the_published_one(tmp_path):
    state = published.discriminator_state()
    done = builders.convert(published.save_bare(tmp_path / "net.pth", state))
    net = PatchDiscriminator(4, layers=3)
    write_tensors(tmp_path / "net.safetensors", done.tensors, done.metadata)
    net.load_state_dict(load_file(tmp_path / "net.safetensors"))
    condition, image = images(2, 40, 48)
    assert_close(net(condition, image).sigmoid(), released.discriminator(state, condition, image))


def test_discriminator_with_running_statistics_is_read_too(tmp_path):
    done = builders.convert(published.save_bare(tmp_path / "net.pth", published.discriminator_state()))
    assert len(done.report.unused) == 3 * 2
    assert all(name.endswith(("running_mean", "running_var")) for name in done.report.unused)
    assert done.report.network == "PatchGAN discriminator, 4 filters, 3 normalised layers"


# ---- names and sizes of the real files ----


def on_paper(shape: tuple[int, ...], scale: float) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def published_shapes(own: dict[str, torch.Tensor], name_of, modalities: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes that a file must have for a state dict of ours."""
    shapes = {}
    for name, tensor in own.items():
        rows = range(modalities) if ROW in name_of(name) else (None,)
        for m in rows:
            shapes[name_of(name).replace(ROW, str(m))] = tuple(tensor.shape if m is None else tensor.shape[1:])
    return shapes


def without_wrapper(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name.replace(".module", ""): tuple(tensor.shape) for name, tensor in state.items()}


SEVENTEEN_BLOCKS = (60_192_808 - 44_549_160) + 2 * 4 * (128 + 128 + 512) + 2 * 13 * (256 + 256 + 1024)
"""What ResNet-152 has beyond ResNet-101: the difference of torchvision's two, and the norms of the second modality."""


@pytest.mark.parametrize(
    ("backbone", "parameters"), [("resnet101", 118_201_578), ("resnet152", 118_201_578 + SEVENTEEN_BLOCKS)]
)
def test_names_and_shapes_are_those_of_the_published_segmentation_networks(backbone, parameters):
    state = published.segmenter_state(backbone, wide=64, width=256, draw=on_paper)
    size = segmenter.SegmenterSize(2, 40, backbone, 256, 64)
    recipe = published_recipe(size)
    with torch.device("meta"):
        own = network(recipe, 40, weights="none")
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    expected = {name: shape for name, shape in without_wrapper(state).items() if name not in counters}
    assert published_shapes(own.state_dict(), segmenter.published_name, 2) == expected
    assert sum(parameter.numel() for parameter in own.parameters()) == parameters
    assert (recipe.train.epochs, recipe.model.weights) == ({"resnet101": 300, "resnet152": 450}[backbone], "imagenet")


def published_recipe(size: segmenter.SegmenterSize):
    return builders.published._segmentation_recipe(size, ("rgb", "depth"))


def test_names_and_shapes_are_those_of_the_published_generator():
    state = published.generator_state(levels=8, filters=64, draw=on_paper)
    size = generator.GeneratorSize(2, 8, 64)
    recipe = builders.published._translation_recipe(size, ("shade", "texture"), "rgb")
    with torch.device("meta"):
        own = network(recipe, 0).state_dict()
    carried = without_wrapper(state)
    used = published_shapes(own, generator.published_name, 2)
    assert used.items() <= carried.items()
    unused = {name for name in carried if name not in used}
    norms = ("conv1.insnorm_conv", "conv8.insnorm_conv", "deconv8.insnorm_deconv")
    assert unused == {name for name in carried if name.startswith(norms)}
    assert len(unused) == 3 * 2 * 4
    assert sum(tensor.numel() for name, tensor in state.items() if "running" not in name) == 54_431_633  # 54.43 M


# ---- what the converted checkpoint says of itself ----


def test_recipe_of_a_segmentation_network_is_the_releases(tmp_path):
    state = published.segmenter_state("resnet101", modalities=3)
    net, report = converted(published.save_segmenter(tmp_path / "net.pth", state), inputs=("rgb", "depth", "edge"))
    recipe = net.recipe
    assert (recipe.model.backbone, recipe.model.encoder_width, recipe.model.width) == ("resnet101", 8, 8)
    assert (recipe.exchange.threshold, recipe.exchange.replace, recipe.exchange.region) == (
        2e-2,
        "anywhere",
        "disjoint",
    )
    assert recipe.exchange.sparsity == pytest.approx(4 * 2e-4)
    assert (recipe.data.kind, recipe.data.inputs, recipe.expected) == ("nyudv2", ("rgb", "depth", "edge"), {})
    assert net.modalities == ("rgb", "depth", "edge")
    assert (net.class_names[0], len(net.class_names)) == ("wall", 40)
    assert [spec.name for spec in net.specs] == ["rgb", "depth", "edge"]
    assert net.specs[1].scale == 5000.0
    assert report.remarks == {"epoch_start": 290.0, "best_val": 51.58}
    assert set(report.unused) == {f"module.bn1.bn_{m}.num_batches_tracked" for m in range(3)}
    assert report.tensors == len(state)


def test_recipe_of_a_generator_is_the_releases(tmp_path):
    path = published.save_bare(tmp_path / "net.pth", published.generator_state())
    net, report = converted(path, inputs=("shade", "texture"), target="rgb")
    recipe = net.recipe
    assert (recipe.unet.levels, recipe.unet.filters, recipe.unet.norm_layers) == (5, 4, "inner")
    assert (recipe.exchange.threshold, recipe.exchange.replace) == (1e-2, "anywhere")
    assert (recipe.eval.norm_statistics, recipe.eval.protocol, recipe.eval.size) == ("instance", "strict", (32, 32))
    assert (net.target_spec.name, net.specs[1].scale) == ("rgb", 11355.0)
    assert len(report.unused) == 3 * 2 * 4


def test_other_classes_are_numbered_and_said_so(tmp_path):
    path = published.save_segmenter(tmp_path / "net.pth", published.segmenter_state(classes=3))
    net, report = converted(path)
    assert net.class_names == ("class 0", "class 1", "class 2")
    assert report.notes == (
        "names of 3 classes are not known, so `cen eval` has no data set for them; `cen predict` works",
    )


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_weights_of_a_resnet_become_a_file_for_the_recipe(tmp_path, backbone):
    torchvision_net = RESNETS[backbone].network()
    state = torchvision_net.state_dict()
    file = published.save_bare(tmp_path / "net.pth", {**state, "fc.weight": torch.ones(2, 2), "fc.bias": torch.ones(2)})
    done = builders.convert(file)
    write_tensors(tmp_path / "net.safetensors", done.tensors, done.metadata)
    read = read_resnet_weights(backbone, str(tmp_path / "net.safetensors"), state)
    assert all(torch.equal(read[name], state[name]) for name in state)
    assert done.report.network == f"torchvision's {backbone}, without its classifier"
    assert {"fc.weight", "fc.bias"} <= set(done.report.unused)


# ---- wrapping ----


@pytest.mark.parametrize("wrapping", ["segmenter", "bare", "prefixed", "no inner module", "numpy score", "old numpy"])
def test_every_wrapping_gives_the_same_network(tmp_path, wrapping):
    state = published.segmenter_state(classes=3)
    path = tmp_path / "net.pth"
    if wrapping == "bare":
        published.save_bare(path, state)
    elif wrapping == "prefixed":
        published.save_bare(path, {f"module.{name}": tensor for name, tensor in state.items()})
    elif wrapping == "no inner module":
        published.save_bare(path, {name.replace(".module", ""): tensor for name, tensor in state.items()})
    else:
        published.save_segmenter(path, state, 51.58 if wrapping == "segmenter" else np.float64(51.58))
    if wrapping == "old numpy":
        published.edit_pickle(path, lambda content: content.replace(b"numpy._core.", b"numpy.core."))
    done = builders.convert(path)
    assert torch.equal(done.tensors["encoder.layer4.2.bn2.norm.weight"][1], state["layer4.2.bn2.bn_1.weight"])
    assert done.report.remarks.get("best_val") == (
        51.58 if wrapping in ("segmenter", "numpy score", "old numpy") else None
    )


def test_doubles_become_single_precision(tmp_path):
    state = {name: tensor.double() for name, tensor in published.discriminator_state().items()}
    assert all(
        t.dtype == torch.float32
        for t in builders.convert(published.save_bare(tmp_path / "a.pth", state)).tensors.values()
    )


# ---- what is refused ----


def refused(path: Path, **names) -> str:
    with pytest.raises(CheckpointError) as caught:
        builders.convert(path, **names)
    return f"{caught.value.message}\n{caught.value.hint}"


class Malicious:
    """Makes a folder where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("place", ["beside", "inside", "alone"])
def test_a_malicious_file_is_refused_and_nothing_of_it_runs(tmp_path, place):
    state: dict = published.discriminator_state()
    bad, path = Malicious(tmp_path / "trace"), tmp_path / "net.pth"
    content = {"beside": {"segmenter": state, "best_val": bad}, "inside": {**state, "x": bad}, "alone": bad}[place]
    torch.save(content, path)
    message = refused(path)
    assert "it holds posix.mkdir" in message
    assert "nothing of it was executed" in message
    assert not bad.trace.exists()
    torch.load(path, weights_only=False)
    assert bad.trace.exists()  # the file would have run


def test_a_whole_network_in_a_pickle_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pth")
    assert "it holds torch.nn.modules.linear.Linear" in refused(tmp_path / "net.pth")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "zip without data", "pickle of a number"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = published.save_bare(tmp_path / "net.pth", published.discriminator_state())
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-4000])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("<html>not found</html>")
    elif damage == "zip without data":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/version", "3")
    else:
        torch.save(3, path)
    expected = (
        "not a state dict (names to tensors) but int" if damage.startswith("pickle") else "cannot be read as weights"
    )
    assert expected in refused(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [[torch.ones(3)], [torch.ones(3)]],
            "a list of 2 entries, not a checkpoint\nlists hold the norms' weights epoch",
        ),
        ({"state_dict": {}, "epoch": 3}, "not a state dict (names to tensors) but a dict with state_dict, epoch"),
        ({1: torch.ones(3)}, "not a state dict"),
        ({}, "holds no tensor"),
        ({"segmenter": [1]}, "not a state dict"),
        ({"a.b": torch.ones(1)}, "the 1 tensors (a.b) are those of no network that is known here"),
        ({"x.weight": torch.ones(1), "module.x.weight": torch.ones(1)}, "x.weight and module.x.weight are the same"),
    ],
    ids=["list", "other dict", "numbers as names", "nothing", "wrapped list", "other network", "same name twice"],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pth")
    assert message in refused(tmp_path / "net.pth")


def spoiled(**changes: object) -> dict[str, torch.Tensor]:
    """The discriminator's tensors; None takes one away, anything else puts another in its place."""
    state = {**published.discriminator_state(), **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv3__conv__module__bias": None}, "does not fit: missing conv3.conv.bias"),
        ({"conv9__extra": torch.ones(1)}, "does not fit: unknown conv9.extra"),
        ({"conv2__insnorm__module__weight": torch.ones(9)}, "conv2.insnorm.module.weight has shape [9], expected [8]"),
        ({"conv2__insnorm__module__weight": torch.ones(8, dtype=torch.int32)}, "is torch.int32 (torch.strided)"),
        ({"conv2__insnorm__module__weight": torch.ones(8).to_sparse()}, "(torch.sparse_coo), expected plain"),
        ({"conv2__insnorm__module__weight": torch.full((8,), torch.nan)}, "module.weight holds NaN or infinity"),
        ({"conv2__insnorm__module__weight": torch.ones(1).expand(8)}, "and the file holds fewer numbers"),
        ({"conv1__conv__module__weight": torch.ones(())}, "conv1.conv.weight has shape [], which is no layer's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tensors_that_do_not_fit_are_named(tmp_path, changes, message):
    assert message in refused(published.save_bare(tmp_path / "net.pth", spoiled(**changes)))


def test_all_misfits_are_counted(tmp_path):
    state = {name: value for name, value in published.discriminator_state().items() if "bias" not in name}
    assert "missing conv1.conv.bias; missing conv2.conv.bias;" in (
        text := refused(published.save_bare(tmp_path / "a.pth", state))
    )
    assert "; and 3 more" in text


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (published.generator_state(levels=3), "an encoder of 3 layers: 4 to 10 are needed"),
        (published.generator_state(modalities=1), "norms of 1 modalities: two or more are needed"),
        (published.segmenter_state(modalities=1, classes=2), "norms of 1 modalities"),
        (
            {name: t for name, t in published.segmenter_state(classes=2).items() if not name.startswith("layer3.5.")},
            "stages of [3, 4, 5, 3] bottleneck blocks are no ResNet's (resnet18 [2, 2, 2, 2]",
        ),
        (
            {name: t for name, t in published.segmenter_state(classes=2).items() if not name.startswith("clf")},
            "missing tensor clf_conv.weight, which tells the network's size",
        ),
    ],
    ids=["few levels", "one modality", "one stream", "a block missing", "no classifier"],
)
def test_sizes_that_are_no_network_s_are_named(tmp_path, state, message):
    assert message in refused(published.save_bare(tmp_path / "net.pth", state))


def test_sizes_that_no_recipe_may_have_are_the_file_s_fault(tmp_path):
    path = published.save_bare(tmp_path / "net.pth", published.segmenter_state(classes=2, wide=4, width=2))
    message = refused(path)
    assert "no recipe describes this network: model.width = 2: a whole number >= 4; model.encoder_width = 4" in message


def test_the_kind_can_be_said_and_then_the_names_must_fit(tmp_path):
    path = published.save_bare(tmp_path / "net.pth", published.discriminator_state())
    assert builders.convert(path, kind="discriminator").report.kind == "discriminator"
    assert "norms of 0 modalities" in refused(path, kind="refinenet")
    assert "stages of [0, 0, 0, 0] basic blocks are no ResNet's" in refused(path, kind="resnet")


@pytest.mark.parametrize(
    ("state", "names", "message"),
    [
        (published.generator_state(), {}, "a generator of 2 inputs, and no file says of which: --inputs is missing"),
        (published.generator_state(), {"inputs": ("rgb", "edge")}, "--target is missing"),
        (
            published.generator_state(),
            {"inputs": ("rgb",), "target": "depth"},
            "2 streams, and 1 inputs are named: rgb",
        ),
        (published.segmenter_state(modalities=3, classes=2), {}, "3 streams, and 2 inputs are named: rgb, depth"),
        (published.segmenter_state(classes=2), {"target": "rgb"}, "holds a segmentation network, which makes labels"),
        (published.segmenter_state(classes=2), {"inputs": ("rgb", "shade")}, "unknown input 'shade'"),
        (published.discriminator_state(), {"inputs": ("rgb",)}, "holds no network of several modalities"),
    ],
    ids=["no inputs", "no target", "too few", "three streams", "labels", "unknown", "discriminator"],
)
def test_names_that_do_not_fit_are_an_error_of_the_request(tmp_path, state, names, message):
    with pytest.raises(UsageError) as caught:
        builders.convert(published.save_bare(tmp_path / "net.pth", state), **names)
    assert message in caught.value.message


def test_a_missing_file_and_a_folder_are_errors_of_the_request(tmp_path):
    with pytest.raises(UsageError, match=r"net\.pth: no such file"):
        builders.convert(tmp_path / "net.pth")
    with pytest.raises(UsageError, match="a folder, not a torch file"):
        builders.convert(tmp_path)
