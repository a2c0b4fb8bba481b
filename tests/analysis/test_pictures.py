"""Translated pictures on the scale of the files that they stand in for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import cen_cli
from cen_cli import builders
from cen_cli.analysis.pictures import rendered, stored_image
from cen_cli.data.modality import HALF, Encoding, ModalitySpec
from cen_cli.data.normalization import normalize
from cen_cli.data.reading import read_encoded
from cen_cli.jobs.pictures import row_maker
from cen_cli.models.device import autocast
from cen_cli.reporting.translation import write_stored


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("stored", "low", "high"), [("uint8", 0, 200), ("uint8", 0, 255), ("uint16", 0, 4095), ("float32", -1, 1)]
)
def test_a_perfect_network_writes_its_target(tmp_path: Path, stored: str, low: int, high: int, channels: int) -> None:
    encoding = Encoding(stored, channels, float(low), float(high))
    values = np.random.default_rng(0).uniform(low, high, (6, 7, channels))
    values = (values if stored == "float32" else values.round()).astype(stored)
    values = values[..., 0] if channels == 1 else values
    source = write_stored(tmp_path / "target", values)
    spec = ModalitySpec("target", "image", mean=HALF, std=HALF, encoding=encoding)
    image = normalize(read_encoded(source, encoding), torch.ones(1, 6, 7, dtype=torch.bool), spec)
    made = stored_image(image, spec, (6, 7))
    assert made.dtype == values.dtype
    np.testing.assert_allclose(made, values, atol=1e-5)
    again = write_stored(tmp_path / "made", made)
    np.testing.assert_allclose(read_encoded(again, encoding), read_encoded(source, encoding), atol=1e-5)


def test_a_view_is_translated_in_the_precision_of_its_run(tiny_translation_run: Path) -> None:
    loaded = cen_cli.load(tiny_translation_run)
    recipe = builders.in_precision(loaded.recipe, "bf16")
    data = builders.dataset(recipe, "val")
    sample, protocol = data[0], recipe.eval.protocol
    with torch.inference_mode(), autocast(loaded.device, "bf16"):
        made = loaded({name: image[None] for name, image in sample.inputs.items()}).ensemble[0].float()
    expected = rendered(made, loaded.target, protocol=protocol)
    half, whole = (row_maker(loaded, each)(data.view(0)).outputs["ensemble"] for each in (recipe, loaded.recipe))
    assert np.array_equal(half, expected)
    assert not np.array_equal(half, whole)
