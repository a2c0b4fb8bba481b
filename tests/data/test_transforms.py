from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data import tensors
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import RawView
from cen_cli.data.sets.nyudv2 import SPECS
from cen_cli.data.sets.rooms import SPECS as ROOM_SPECS
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import ColorJitter, EvalTransform, TrainTransform, resize, resize_view

BOTH = (SPECS["rgb"], SPECS["depth"])


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def aligned_view(height: int = 24, width: int = 32) -> RawView:
    """Every map tells the same story: the pixel number (below 250), so that misalignment shows."""
    number = (torch.arange(height * width, dtype=torch.float32) % 250).view(1, height, width)
    inputs = {"rgb": tensors.Image(number.repeat(3, 1, 1).to(torch.uint8)), "depth": DepthMap(number)}
    return RawView("view", inputs, tensors.Mask(number.to(torch.uint8)), {"labels": "labels.png"})


PLAIN = (ModalitySpec("rgb", "image"), ModalitySpec("depth", "depth"))


def normalized(transform, *arguments):
    """The transform's sample as the network takes it."""
    return transform(*arguments).normalized()


def rgb_numbers(sample):
    return (sample.inputs["rgb"][0] * 255).round().long()


class TestResize:
    def test_image_is_antialiased_bilinear(self):
        values = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        ours = resize(tensors.Image(torch.from_numpy(values).permute(2, 0, 1)), (13, 21))
        pillow = np.asarray(Image.fromarray(values).resize((21, 13), Image.Resampling.BILINEAR))
        assert isinstance(ours, tensors.Image)
        assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - pillow).max() <= 1

    def test_depth_and_labels_take_existing_values_only(self):
        depth = DepthMap(torch.tensor([0.0, 1.0, 4.0, 9.0])[torch.randint(4, (1, 30, 30), generator=seeded())])
        assert set(resize(depth, (17, 11)).unique().tolist()) <= {0.0, 1.0, 4.0, 9.0}
        assert isinstance(resize(depth, (17, 11)), DepthMap)

    def test_depth_and_labels_take_the_pixel_at_the_centre(self):
        labels = tensors.Mask(torch.arange(9, dtype=torch.uint8).view(1, 1, 9).expand(1, 3, 9).contiguous())
        assert resize(labels, (1, 3)).tolist() == [[[1, 4, 7]]]

    def test_view_keeps_its_parts_aligned(self):
        ramp = torch.arange(200, dtype=torch.float32).expand(1, 8, 200).contiguous()
        inputs = {"rgb": tensors.Image(ramp.to(torch.uint8)), "depth": DepthMap(ramp)}
        view = resize_view(RawView("v", inputs, tensors.Mask(ramp.to(torch.uint8)), {}), (4, 50))
        rgb, depth, labels = (part[0, 0].float() for part in (*view.inputs.values(), view.target))
        assert (rgb - depth).abs().max() <= 1
        assert torch.equal(depth, labels)


class TestEval:
    def test_full_size_and_types(self):
        sample = normalized(EvalTransform(), aligned_view(), BOTH)
        assert {name: image.shape for name, image in sample.inputs.items()} == {
            "rgb": (3, 24, 32),
            "depth": (3, 24, 32),
        }
        assert sample.target.dtype == torch.int64
        assert torch.equal(sample.target, aligned_view().target[0].long())

    def test_photographs_and_labels_stay_8_bit_until_they_are_normalised(self):
        for transform in (EvalTransform(), TrainTransform((30, 40))):
            sample = transform(aligned_view(), BOTH, seeded())
            assert (sample.inputs["rgb"].dtype, sample.target.dtype) == (torch.uint8, torch.uint8)
            assert set(sample.pending) == {"rgb", "depth"}
            assert not sample.normalized().pending

    def test_without_labels_the_target_is_void(self):
        view = RawView("v", aligned_view().inputs, None, {})
        assert (EvalTransform()(view, BOTH).target == 255).all()
        assert (TrainTransform((30, 40))(view, BOTH, seeded()).target == 255).all()


class TestTrain:
    @pytest.mark.parametrize("seed", range(8))
    def test_one_geometry_for_all(self, seed):
        sample = normalized(TrainTransform((12, 20), scale=(1.0, 1.0)), aligned_view(), PLAIN, seeded(seed))
        assert torch.equal(rgb_numbers(sample), sample.target)
        assert torch.equal(sample.inputs["depth"][1].long(), sample.target)

    @pytest.mark.parametrize("seed", range(8))
    def test_one_geometry_for_all_when_scaled(self, seed):
        ramp = torch.linspace(20, 220, 64).expand(1, 48, 64).contiguous()
        inputs = {"rgb": tensors.Image(ramp.to(torch.uint8)), "depth": DepthMap(ramp)}
        view = RawView("v", inputs, tensors.Mask(ramp.to(torch.uint8)), {})
        sample = normalized(TrainTransform((40, 40), scale=(0.5, 2.0)), view, PLAIN, seeded(seed))
        inside = sample.target != 255
        assert inside.any()
        assert torch.equal(inside, sample.valid["rgb"][0])
        assert torch.equal(inside, sample.valid["depth"][0])
        assert (rgb_numbers(sample) - sample.target)[inside].abs().max() <= 4
        assert (sample.inputs["depth"][0] - sample.target)[inside].abs().max() <= 1

    @pytest.mark.parametrize("seed", range(8))
    def test_crop_beyond_the_view_is_filled(self, seed):
        sample = normalized(TrainTransform((30, 40), scale=(1.0, 1.0)), aligned_view(24, 32), BOTH, seeded(seed))
        inside = sample.valid["rgb"][0]
        assert inside.sum() == 24 * 32
        assert torch.equal(inside, sample.target != 255)
        for image in sample.inputs.values():
            assert image.shape == (3, 30, 40)
            assert (image[:, ~inside] == 0).all()
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (24, 32)

    def test_view_lies_anywhere_in_a_larger_crop(self):
        transform = TrainTransform((26, 32), mirror=False)
        firsts = {
            int(transform(aligned_view(), PLAIN, seeded(seed)).valid["rgb"][0, :, 0].nonzero()[0]) for seed in range(40)
        }
        assert firsts == {0, 1, 2}

    def test_every_offset_is_drawn(self):
        transform = TrainTransform((22, 31), mirror=False)
        corners = {int(transform(aligned_view(), PLAIN, seeded(seed)).target[0, 0]) for seed in range(100)}
        assert corners == {row * 32 + column for row in range(3) for column in range(2)}

    def test_mirror_is_left_right_for_half_of_the_views(self):
        transform, view = TrainTransform((24, 32)), aligned_view()
        mirrored = 0
        for seed in range(60):
            target = transform(view, PLAIN, seeded(seed)).target
            is_mirrored = torch.equal(target, view.target[0].flip(-1).long())
            assert is_mirrored or torch.equal(target, view.target[0].long())
            mirrored += is_mirrored
        assert 18 <= mirrored <= 42

    def test_mirror_can_be_switched_off(self):
        transform, view = TrainTransform((24, 32), mirror=False), aligned_view()
        assert all(torch.equal(transform(view, PLAIN, seeded(s)).target, view.target[0].long()) for s in range(20))

    def test_mirrored_normals_point_the_other_way(self):
        normals = torch.randint(1, 255, (3, 6, 8), dtype=torch.uint8, generator=seeded())
        normals[:, 2, 3] = 0  # black is no normal
        view = RawView("v", {"normal": tensors.Image(normals)}, None, {})
        spec = ModalitySpec("normal", "image", mirror_sum=ROOM_SPECS["normal"].mirror_sum)
        flipped = normals.flip(-1).int()
        flipped[0] = 254 - flipped[0]
        flipped[:, 2, 4] = 0
        seen = set()
        for seed in range(20):
            sample = normalized(TrainTransform((6, 8)), view, [spec], seeded(seed))
            out = (sample.inputs["normal"] * 255).round().int()
            seen.add("mirrored" if torch.equal(out, flipped) else "as stored")
            assert torch.equal(out, flipped) or torch.equal(out, normals.int())
        assert seen == {"mirrored", "as stored"}
        assert torch.equal(view.inputs["normal"], normals)

    def test_scale_stays_in_its_range_and_above_the_shortest_side(self):
        transform = TrainTransform((4, 4), scale=(0.5, 2.0), min_short_side=18)
        sizes = {transform._draw((24, 32), seeded(seed)).size for seed in range(200)}
        shortest, longest = min(size[0] for size in sizes), max(size[0] for size in sizes)
        assert (shortest, longest) == (18, 48)
        assert all(abs(width - height * 4 / 3) <= 1 for height, width in sizes)

    def test_draws_come_from_the_generator_alone(self):
        transform = TrainTransform((12, 12), scale=(0.5, 2.0), jitter=ColorJitter(0.3, 0.3, 0.3, 0.1))
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = transform(aligned_view(), BOTH, seeded(4))
        assert torch.equal(before, torch.random.get_rng_state())
        torch.manual_seed(2)
        second = transform(aligned_view(), BOTH, seeded(4))
        assert all(torch.equal(first.inputs[name], second.inputs[name]) for name in first.inputs)

    def test_view_is_left_as_it_was(self):
        view, fresh = aligned_view(), aligned_view()
        for seed in range(6):
            transform = TrainTransform((24, 32), jitter=ColorJitter(0.5, 0.5, 0.5, 0.2))
            transform(view, BOTH, seeded(seed))
        assert torch.equal(view.inputs["rgb"], fresh.inputs["rgb"])
        assert torch.equal(view.inputs["depth"], fresh.inputs["depth"])


class TestImageTarget:
    """A target that is an image is cut, scaled and mirrored as the inputs are."""

    target = ModalitySpec("depth_zbuffer", "depth")
    picture = ModalitySpec("picture", "image")

    def numbered(self, height=24, width=32, first=1):
        number = (torch.arange(height * width, dtype=torch.float32) % 250 + first).view(1, height, width)
        image = tensors.Image(number.repeat(3, 1, 1).to(torch.uint8))
        return image, DepthMap(number)

    @pytest.mark.parametrize("seed", range(8))
    def test_one_geometry_for_inputs_and_target(self, seed):
        image, depth = self.numbered()
        transform = TrainTransform((12, 20))
        view = RawView("v", {"picture": image}, depth, {})
        to_depth = normalized(transform, view, [self.picture], seeded(seed), self.target)
        assert torch.equal((to_depth.inputs["picture"] * 255).round(), to_depth.target)
        twin = RawView("v", {"depth_zbuffer": depth}, image, {})
        to_image = normalized(transform, twin, [self.target], seeded(seed), self.picture)
        assert torch.equal(to_image.inputs["depth_zbuffer"], to_depth.target)
        torch.testing.assert_close(to_image.target, to_depth.inputs["picture"])

    @pytest.mark.parametrize("seed", range(4))
    def test_beyond_the_view_nothing_is_valid(self, seed):
        image, depth = self.numbered(24, 32)
        view = RawView("v", {"picture": image}, depth, {})
        sample = normalized(TrainTransform((30, 40)), view, [self.picture], seeded(seed), self.target)
        assert sample.target_valid.sum() == 24 * 32
        assert torch.equal(sample.target_valid, sample.valid["picture"])
        assert (sample.target[:, ~sample.target_valid[0]] == 0).all()

    def test_scaled_depth_takes_existing_values_only(self):
        image, depth = self.numbered()
        view = RawView("v", {"picture": image}, DepthMap((depth > 100) * 4.0), {})
        sample = normalized(TrainTransform((20, 20), scale=(0.6, 0.6)), view, [self.picture], seeded(), self.target)
        assert set(sample.target.unique().tolist()) == {0.0, 4.0}

    def test_at_full_size(self):
        image, depth = self.numbered(first=0)
        view = RawView("v", {"picture": image}, depth, {})
        sample = normalized(EvalTransform(), view, [self.picture], None, self.target)
        assert torch.equal(sample.target, depth.expand(3, -1, -1))
        assert torch.equal(sample.target_valid, depth > 0)

    @pytest.mark.parametrize("transform", [EvalTransform(), TrainTransform((24, 32))])
    def test_a_view_without_target_has_nothing_valid(self, transform):
        view = RawView("v", {"picture": self.numbered()[0]}, None, {})
        sample = normalized(transform, view, [self.picture], seeded(), self.target)
        assert sample.target.shape == (3, 24, 32)
        assert sample.target.dtype == torch.float32
        assert not sample.target_valid.any()

    def test_valid_labels_are_those_that_are_not_void(self):
        view = aligned_view()
        view.target[:, :3] = 255
        sample = EvalTransform()(view, BOTH)
        assert torch.equal(sample.target_valid, (view.target != 255).as_subclass(torch.Tensor))
        padded = TrainTransform((30, 40))(view, BOTH, seeded())
        assert torch.equal(padded.target_valid[0], padded.target != 255)


class TestColorJitter:
    view = RawView(
        "v",
        {
            "rgb": tensors.Image(torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)),
            "depth": DepthMap(torch.ones(1, 8, 8)),
        },
        None,
        {},
    )

    @pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
    def test_each_changes_rgb_and_leaves_depth(self, name):
        plain = TrainTransform((8, 8), mirror=False)(self.view, BOTH, seeded())
        changed = TrainTransform((8, 8), mirror=False, jitter=ColorJitter(**{name: 0.4}))(self.view, BOTH, seeded())
        assert not torch.allclose(plain.inputs["rgb"], changed.inputs["rgb"], atol=0.05)
        assert torch.equal(plain.inputs["depth"], changed.inputs["depth"])

    def test_brightness_is_a_factor_in_its_range(self):
        grey = torch.full((3, 4, 4), 100, dtype=torch.uint8)
        values = [int(ColorJitter(brightness=0.2)(grey, seeded(seed))[0, 0, 0]) for seed in range(200)]
        assert min(values) in range(80, 84)
        assert max(values) in range(117, 121)

    def test_zero_jitter_draws_nothing(self):
        generator = seeded()
        state = generator.get_state()
        image = torch.zeros(3, 4, 4, dtype=torch.uint8)
        assert ColorJitter()(image, generator) is image
        assert torch.equal(state, generator.get_state())
