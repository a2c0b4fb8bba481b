"""Every kind of mistake in a recipe: what is said, and that all of them are said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cen_cli.errors import RecipeError
from cen_cli.recipe import load_recipe
from cen_cli.recipe.load import dump_toml, parse_recipe
from cen_cli.recipe.problems import keys_named
from cen_cli.recipe.wording import show_value


def problems_of(*overrides: str, recipe: str = "rooms") -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, overrides)
    return [problem.removesuffix(" [from an option]") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs=1.5", "train.epochs = 1.5: a whole number >= 1"),
        ("train.epochs=true", "train.epochs = true: a whole number >= 1"),
        ('train.epochs="3"', 'train.epochs = "3": a whole number >= 1'),
        ("train.epochs=2026-01-01", "train.epochs = 2026-01-01: a whole number >= 1"),
        ("train.compile=1", "train.compile = 1: true or false"),
        ("train.compile=True", 'train.compile = "True": true or false'),
        ("exchange.threshold=nan", "exchange.threshold = NaN: a number > 0"),
        ("exchange.threshold=inf", "exchange.threshold = Infinity: a number > 0"),
        ("exchange.threshold=true", "exchange.threshold = true: a number > 0"),
        ("exchange.sparsity=-1", "exchange.sparsity = -1: a number >= 0"),
        ("model.dropout=1", "model.dropout = 1: a number >= 0 and < 1"),
        ("train.modality_dropout=1", "train.modality_dropout = 1: a number >= 0 and < 1"),
        ("model.weights=''", 'model.weights = "": text, not empty'),
        ("data.crop=[96]", "data.crop = [96]: a list of 2, each a whole number >= 1"),
        ("data.crop=[0, 96]", "data.crop = [0, 96]: a list of 2, each a whole number >= 1"),
        ("data.crop=96", "data.crop = 96: a list of 2, each a whole number >= 1"),
        ("data.resize=[0, 8]", "data.resize = [0, 8]: a list of 2, each a whole number >= 1"),
        ("data.resize=[8, 8, 8]", "data.resize = [8, 8, 8]: a list of 2, each a whole number >= 1"),
        ("data.inputs=[]", "data.inputs = []: a list of at least one, each text"),
        ('data.inputs=["rgb", "rgb"]', 'data.inputs = ["rgb", "rgb"]: a list of names, each named once'),
        ("data.inputs=rgb,depth", 'data.inputs = "rgb,depth": a list of at least one, each text'),
        ("data.augment.scale=[2, 1]", "data.augment.scale = [2, 1]: two numbers [lowest, highest], the lowest first"),
        ("data.augment.color_jitter.contrast=-0.1", "data.augment.color_jitter.contrast = -0.1: a number >= 0"),
        ("data.augment.color_jitter.hue=0.6", "data.augment.color_jitter.hue = 0.6: a number >= 0 and <= 0.5"),
        (
            "optimizer.encoder_lr=0",
            "optimizer.encoder_lr = 0: a number > 0, or a list of at least one, each a number > 0",
        ),
        ("optimizer.betas=[0.9, 1]", "optimizer.betas = [0.9, 1]: a list of 2, each a number >= 0 and < 1"),
        ("schedule=3", "schedule = 3: a table"),
        ("data.normalize=3", "data.normalize = 3: a table"),
        ("data.normalize.rgb=3", "data.normalize.rgb = 3: a table"),
        (
            "data.normalize.rgb={mean=[0.5, 0.5], std=1}",
            "data.normalize.rgb.mean = [0.5, 0.5]: a number, or a list of 3, each a number",
        ),
        (
            "data.normalize.rgb={mean=0, std=0}",
            "data.normalize.rgb.std = 0: a number > 0, or a list of 3, each a number > 0",
        ),
        ("name=a/b", 'name = "a/b": text of letters, digits, dots, dashes and underscores'),
        ("task=detection", 'task = "detection": "segmentation" or "translation"'),
        (
            "model.fusion=exchnage",
            'model.fusion = "exchnage": "exchange", "none", "concat", "average", "align" or "self-attention" '
            "(did you mean 'exchange'?)",
        ),
        ("train.epoch=3", "train.epoch = 3: no such key (did you mean 'train.epochs'?)"),
        ("train.threshold=3", "train.threshold = 3: no such key (did you mean 'exchange.threshold'?)"),
        ("train.qqq=3", "train.qqq = 3: no such key"),
        ("trains.epochs=3", "[trains]: no such table (did you mean 'train'?)"),
        (
            "data.normalize.rgb.men=3",
            "data.normalize.rgb.men = 3: no such key (did you mean 'data.normalize.rgb.mean'?)",
        ),
    ],
)
def test_one_wrong_value_is_named_with_what_is_allowed(setting: str, message: str) -> None:
    assert message in problems_of(setting)


def test_all_problems_come_at_once() -> None:
    found = problems_of(
        "train.epochs=0",
        "model.dropout=x",
        "unknown=1",
        "optimizer.encoder_lr=[1e-3, 1e-4]",
        "train.best_by=ensemble.miou",
    )
    assert [problem.split(" ")[0] for problem in found] == [
        "model.dropout",
        "train.epochs",
        "unknown",
        "optimizer.encoder_lr",
        "train.best_by",
    ]


def test_rule_is_not_checked_against_a_value_that_is_wrong_itself() -> None:
    assert problems_of("schedule.kind=staged", "schedule.stage_epochs=[5]", "train.epochs=x") == [
        'train.epochs = "x": a whole number >= 1',
        "optimizer.encoder_lr = 0.002: a list of 1, one for each stage of schedule.stage_epochs",
        "optimizer.decoder_lr = 0.002: a list of 1, one for each stage of schedule.stage_epochs",
    ]


# ---- rules between keys ----


@pytest.mark.parametrize("norm", ["shared", "statistics-private"])
def test_one_shared_gamma_leaves_nothing_to_exchange_by(norm: str) -> None:
    (problem,) = problems_of(f"sharing.norm={norm}")
    assert problem.startswith(f'sharing.norm = "{norm}": one gamma for all modalities leaves nothing to exchange by')
    for way_out in ("sharing.norm=affine-private", "exchange.choose=none", "model.fusion=none"):
        load_recipe("rooms", [f"sharing.norm={norm}", way_out])


def test_a_compiled_network_is_not_checkpointed() -> None:
    (problem,) = problems_of("train.checkpoint_activations=true", "train.compile=true")
    assert problem.startswith("train.checkpoint_activations = true: train.compile = true plans by itself what is kept")


def test_one_modality_is_never_dropped() -> None:
    (problem,) = problems_of("train.modality_dropout=0.2", recipe="rooms-rgb")
    assert problem == ('train.modality_dropout = 0.2: one modality ("rgb") always stays; 0, or two or more data.inputs')


def test_one_modality_has_nothing_to_exchange_with() -> None:
    (problem,) = problems_of('data.inputs=["rgb"]')
    assert problem.startswith('model.fusion = "exchange": one modality ("rgb") has nothing to exchange with')
    assert load_recipe("rooms", ['data.inputs=["rgb"]', "model.fusion=none"]).data.inputs == ("rgb",)


def test_a_baseline_has_one_branch_to_be_best_by() -> None:
    (problem,) = problems_of("model.fusion=concat", "train.best_by=rgb.mean_iou")
    assert problem.startswith('train.best_by = "rgb.mean_iou": a score: ensemble or fused, a dot, then')
    assert load_recipe("rooms", ["model.fusion=concat", "train.best_by=fused.mean_iou"])
    (problem,) = problems_of("train.best_by=fused.mean_iou")
    assert "a score: ensemble or rgb or depth, a dot" in problem


@pytest.mark.parametrize("way", ["exchange.choose=all", "exchange.budget=0.3"])
def test_what_no_threshold_decides_stays_in_its_part(way: str) -> None:
    (problem,) = problems_of("exchange.replace=anywhere", way)
    assert problem.startswith(f'exchange.replace = "anywhere": "own-part" with {way.split("=")[0]} = ')
    load_recipe("rooms", ["exchange.replace=anywhere"])


def test_one_donor_is_not_divided_into_groups() -> None:
    (problem,) = problems_of("exchange.donors=groups")
    assert problem.startswith('exchange.donors = "groups": of two modalities each has one donor; "mean", or three')
    groups = load_recipe("rooms", ['data.inputs=["rgb", "depth", "normal"]', "exchange.donors=groups"])
    assert groups.exchange.donors == "groups"


def test_alignment_is_of_a_whole_batch() -> None:
    (problem,) = problems_of("train.accumulate=2", "model.fusion=align")
    assert problem.startswith("train.accumulate = 2: model.alignment = 1.0 is of a whole batch")
    load_recipe("rooms", ["train.accumulate=2", "model.fusion=align", "model.alignment=0"])


def test_stages_sum_to_the_epochs() -> None:
    (problem,) = problems_of("train.epochs=10", recipe="nyudv2")
    assert problem == (
        "schedule.stage_epochs = [100, 100, 100]: the epochs of each stage, which sum to train.epochs = 10 "
        "(they sum to 300)"
    )


def test_staged_needs_a_rate_per_stage_for_every_group_that_has_one() -> None:
    found = problems_of("optimizer.decoder_lr=[1e-3, 1e-4]", "optimizer.gamma_lr=1e-3", recipe="nyudv2")
    assert found == [
        "optimizer.decoder_lr = [0.001, 0.0001]: a list of 3, one for each stage of schedule.stage_epochs",
        "optimizer.gamma_lr = 0.001: a list of 3, one for each stage of schedule.stage_epochs",
    ]


def test_the_discriminator_s_rate_falls_as_the_others() -> None:
    stages = ["schedule.kind=staged", "schedule.stage_epochs=[4, 6]", "optimizer.encoder_lr=[2e-4, 1e-5]"]
    stages += ["optimizer.decoder_lr=[2e-4, 1e-5]", "optimizer.discriminator_lr=2e-4", "train.epochs=10"]
    found = problems_of(*stages, recipe="rooms-translate")
    assert "optimizer.discriminator_lr = 0.0002: a list of 2, one for each stage of schedule.stage_epochs" in found


def test_list_of_rates_needs_stages() -> None:
    (problem,) = problems_of("optimizer.encoder_lr=[1e-3, 1e-4]")
    assert problem.endswith('one number; a list needs schedule.kind = "staged", and it is "poly"')


def test_published_weights_have_their_own_width() -> None:
    (problem,) = problems_of("model.weights=imagenet")
    assert problem.startswith('model.encoder_width = 16: 64 with model.weights = "imagenet"')


@pytest.mark.parametrize(
    ("value", "ending"),
    [
        ("rgb.mean_iuo", "(did you mean 'rgb.mean_iou'?)"),
        ("normal.mean_iou", ""),
        ("mean_iou", ""),
        ("ensemble.mae", ""),
    ],
)
def test_best_by_names_a_score(value: str, ending: str) -> None:
    (problem,) = problems_of(f"train.best_by={value}")
    assert problem.startswith(f'train.best_by = "{value}": a score: ensemble or rgb or depth, a dot, then ')
    assert problem.endswith(ending)


def test_best_by_may_be_a_branch() -> None:
    assert load_recipe("rooms", ["train.best_by=rgb.pixel_accuracy"]).train.best_by == "rgb.pixel_accuracy"


def test_expected_scores_are_named_and_complete() -> None:
    (problem,) = problems_of('expected."ensemble.miou"={value=0.5, tolerance=0.1, source="x"}')
    assert problem.startswith('[expected."ensemble.miou"]: named after a score')
    assert problems_of('expected."rgb.mean_iou".value=51.1') == [
        'expected."rgb.mean_iou".tolerance: missing; a number >= 0',
        'expected."rgb.mean_iou".source: missing; text, not empty',
    ]
    assert problems_of('expected."rgb.mean_iou"={value=51.1, tolerance=1, source="x"}') == [
        'expected."rgb.mean_iou".value = 51.1: a share between 0 and 1'
    ]


def test_normalisation_is_of_an_input() -> None:
    (problem,) = problems_of("data.normalize.rbg={mean=0, std=1}")
    assert problem == '[data.normalize.rbg]: one of data.inputs = ["rgb", "depth"] (did you mean \'rgb\'?)'


# ---- translation ----


def translation_problems(minimal_translation: str, *settings: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(minimal_translation, settings)
    return [problem.removesuffix(" [from an option]") for problem in caught.value.problems]


@pytest.fixture
def minimal_translation(tmp_path: Path) -> str:
    path = tmp_path / "translation.toml"
    path.write_text(
        """
task = "translation"
[data]
kind = "rooms"
inputs = ["shade", "texture"]
target = "rgb"
crop = [64, 64]
[model]
arch = "unet"
[unet]
levels = 5
[optimizer]
encoder_lr = 2e-4
decoder_lr = 2e-4
[train]
epochs = 4
batch = 2
"""
    )
    return str(path)


def test_translation_recipe_reads_back_equal(minimal_translation: str) -> None:
    recipe = load_recipe(minimal_translation, ["schedule.kind=linear", "schedule.constant_epochs=2"])
    assert recipe.data.target == "rgb"
    assert parse_recipe(dump_toml(recipe), "checkpoint") == recipe
    assert "backbone" not in dump_toml(recipe)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("data.target=shade", 'data.target = "shade": it is one of data.inputs = ["shade", "texture"]'),
        ("model.arch=refinenet", 'model.arch = "refinenet": "unet" with task = "translation"'),
        (
            "data.crop=[48, 64]",
            "data.crop = [48, 64]: multiples of 32, since unet.levels = 5 halve the image 5 times",
        ),
        (
            "eval.size=[64, 70]",
            "eval.size = [64, 70]: multiples of 32, since unet.levels = 5 halve the image 5 times",
        ),
        (
            "data.rooms.size=72",
            "data.rooms.size = 72: multiples of 32, since unet.levels = 5 halve the image 5 times",
        ),
        ("train.best_by=ensemble.mean_iou", 'train.best_by = "ensemble.mean_iou": a score: '),
        ("model.backbone=resnet18", 'model.backbone = "resnet18": read only with model.arch = "refinenet" or "pspnet"'),
        ('data.inputs=["shade"]', 'model.fusion = "exchange": one modality ("shade") has nothing to exchange with'),
    ],
)
def test_translation_problem_is_named(minimal_translation: str, setting: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in translation_problems(minimal_translation, setting))


def test_crop_must_be_large_enough_for_the_discriminator(minimal_translation: str) -> None:
    assert translation_problems(minimal_translation, "gan.layers=5") == [
        "gan.layers = 5: a discriminator of so many layers needs crops of 96 pixels or more, and data.crop = [64, 64]"
    ]


def test_linear_schedule_begins_to_fall_within_the_run(minimal_translation: str) -> None:
    settings = ("schedule.kind=linear", "schedule.constant_epochs=4")
    assert translation_problems(minimal_translation, *settings) == [
        "schedule.constant_epochs = 4: fewer than train.epochs = 4"
    ]


def test_keys_of_translation_are_refused_in_segmentation() -> None:
    for setting in ("data.target=normal", "gan.pixel_weight=10", "unet.levels=5", "optimizer.discriminator_lr=1e-4"):
        (problem,) = problems_of(setting)
        assert problem.startswith(f"{setting.partition('=')[0]} = ")
        assert "read only with" in problem
    (problem,) = problems_of("eval.protocol=paper")
    assert problem == 'eval.protocol = "paper": with task = "translation"; here "strict"'


def test_a_stem_of_all_modalities_is_not_frozen() -> None:
    (problem,) = problems_of("model.fusion=concat", "model.fusion_stage=input", "model.frozen_stages=1")
    assert problem.startswith('model.frozen_stages = 1: 0 with model.fusion_stage = "input"')


def test_backbones_are_known_and_those_of_pspnet_have_bottlenecks() -> None:
    (unknown,) = problems_of("model.backbone=resnet17")
    assert unknown.startswith('model.backbone = "resnet17": "resnet18", "resnet34"')
    found = problems_of("model.backbone=resnet18", "model.arch=pspnet")
    assert any(text.startswith('model.backbone = "resnet18": "resnet50", "resnet101" or "resnet152"') for text in found)


def test_segmentation_needs_a_backbone(minimal_translation: str) -> None:
    found = translation_problems(minimal_translation, "task=segmentation", "model.arch=refinenet")
    assert any(text.startswith('model.backbone: missing; "resnet18", "resnet34"') for text in found)


# ---- helpers ----


def test_long_values_are_cut() -> None:
    assert show_value("x" * 100) == '"' + "x" * 56 + "..."


def test_keys_by_their_last_part() -> None:
    assert keys_named("epochs") == ["train.epochs"]
    assert keys_named("seeed") == ["data.rooms.seed", "train.seed"]
    assert keys_named("help") == []


def test_initial_gammas_are_not_set_beside_loaded_weights() -> None:
    (problem,) = problems_of("exchange.gamma_init=0.2", recipe="nyudv2")
    assert problem.startswith("exchange.gamma_init = 0.2")
    assert load_recipe("nyudv2", ["exchange.gamma_init=0.2", "model.weights=none"]).exchange.gamma_init == 0.2
