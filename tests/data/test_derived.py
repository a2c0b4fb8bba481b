from __future__ import annotations

import numpy as np
import pytest
import torch

from cen_cli.data import tensors
from cen_cli.data.derived import CORNER, FOCAL_LENGTHS, PRINCIPAL_POINT, surface_normals, texture_edges
from cen_cli.data.edges import edge_texture
from cen_cli.data.tensors import DepthMap


def plane_depth(normal, distance, size=(480, 640), corner=(0, 0), step=0.0):
    """Z-buffer metres [1, H, W] of a plane seen by NYUDv2's camera; `normal` is (right, up, towards the viewer).

    With `step` it is terraced as the 8-bit copies of the data set are: rounded down to a multiple.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
    x = (columns + corner[1] - PRINCIPAL_POINT[0]) / FOCAL_LENGTHS[0]
    y = (rows + corner[0] - PRINCIPAL_POINT[1]) / FOCAL_LENGTHS[1]
    right, up, back = np.asarray(normal) / np.linalg.norm(normal)
    metres = -distance / (right * x - up * y - back)
    metres = np.floor(metres / step) * step if step else metres
    return DepthMap(torch.from_numpy(metres.astype(np.float32))[None])


def degrees(normals, expected):
    """Angles [H, W] between decoded normals and a direction."""
    vectors = (normals.permute(1, 2, 0).numpy().astype(np.float64) - 127) / 127
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.degrees(np.arccos(np.clip(vectors @ (np.asarray(expected) / np.linalg.norm(expected)), -1, 1)))


DIRECTIONS = [(0, 0, 1), (0.6, 0.1, 0.8), (-0.5, 0.2, 0.9), (0, 0.9, 0.45), (0.1, -0.6, 0.8)]


class TestNormals:
    @pytest.mark.parametrize("normal", DIRECTIONS)
    @pytest.mark.parametrize(("size", "corner"), [((480, 640), (0, 0)), ((468, 625), CORNER)])
    def test_of_an_exact_plane(self, normal, size, corner):
        depth = plane_depth(normal, 2.0, size, corner)
        assert degrees(surface_normals(depth), normal).max() < 0.7  # the encoding's own rounding

    @pytest.mark.parametrize("normal", DIRECTIONS[1:])
    def test_of_a_terraced_plane(self, normal):
        depth = plane_depth(normal, 1.5, step=1 / 25.5)
        errors = degrees(surface_normals(depth), normal)
        assert np.percentile(errors, 95) < 8
        assert np.median(errors) < 3

    def test_resized_frames_keep_their_camera(self):
        whole = plane_depth((0.5, 0.3, 0.8), 2.0)
        small = DepthMap(whole.as_subclass(torch.Tensor)[:, 2::4, 2::4])
        assert degrees(surface_normals(small), (0.5, 0.3, 0.8)).max() < 1

    def test_an_edge_between_two_planes_is_not_smeared(self):
        near, far = plane_depth((0, 0, 1), 1.0), plane_depth((0.7, 0, 0.7), 2.5)
        depth = DepthMap(torch.cat([near[..., :320], far[..., 320:]], -1))
        normals = surface_normals(depth)
        assert degrees(normals[..., :316], (0, 0, 1)).max() < 1
        assert degrees(normals[..., 324:], (0.7, 0, 0.7)).max() < 1

    def test_where_depth_is_missing_there_is_no_normal(self):
        depth = plane_depth((0.3, 0.4, 0.8), 2.0, (60, 80))
        depth[:, 20:24, 30:40] = 0
        depth[:, :, :5] = 0
        normals = surface_normals(depth)
        missing = depth[0] == 0
        assert (normals[:, missing] == 127).all()
        length = ((normals.float() - 127) / 127).square().sum(0).sqrt()
        assert (length[~missing] - 1).abs().max() < 0.01

    def test_without_any_depth(self):
        assert (surface_normals(DepthMap(torch.zeros(1, 20, 30))) == 127).all()

    def test_result_is_an_8_bit_image(self):
        normals = surface_normals(plane_depth((0, 0, 1), 2.0, (18, 26)))
        assert isinstance(normals, tensors.Image)
        assert (normals.dtype, normals.shape) == (torch.uint8, (3, 18, 26))


class TestEdges:
    def test_are_those_of_the_rooms(self):
        rgb = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        ours = texture_edges(tensors.Image(torch.from_numpy(rgb).permute(2, 0, 1)))
        np.testing.assert_array_equal(ours[0].numpy(), np.round(edge_texture(rgb) * 255))
        assert isinstance(ours, tensors.Image)

    def test_of_a_grey_picture_are_those_of_its_colours(self):
        grey = torch.randint(0, 256, (1, 9, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        assert torch.equal(texture_edges(grey), texture_edges(grey.expand(3, -1, -1)))
