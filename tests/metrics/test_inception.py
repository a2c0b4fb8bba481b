from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.plain_evaluation import PlainInception, write_random_weights
from cen_cli.errors import CheckpointError, DataError, UnavailableError, UsageError
from cen_cli.metrics import frechet_distance, inception, kernel_distance
from cen_cli.metrics.feature_cache import cached_features, feature_key
from cen_cli.metrics.inception import InceptionFeatures, default_location, inception_weights
from cen_cli.metrics.pictures import as_pictures


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("inception") / "random.pth")


@pytest.fixture(scope="module")
def features(weights) -> InceptionFeatures:
    return InceptionFeatures(weights, batch=1)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """A noisy image and a dark one."""
    noise = torch.randint(256, (2, 3, 40, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return torch.stack([noise[0], noise[1] // 4])


@pytest.fixture(scope="module")
def expected(weights, images) -> dict[str, torch.Tensor]:
    """torch-fidelity's features, by the type that it computes in."""
    net = PlainInception(weights)
    with torch.inference_mode():
        single = net(images)[0]
        net.double().feature_extractor_internal_dtype = torch.float64
        return {"float32": single.double(), "float64": net(images)[0].double()}


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_against_torch_fidelity(features, images, expected):
    found = features(images)
    assert found.dtype == torch.float64
    assert found.shape == (2, 2048)
    assert expected["float64"].std(dim=0).norm() > 1e-2 * expected["float64"].norm()  # images differ to these weights
    assert relative(found, expected["float32"]) < 1e-6
    theirs = relative(expected["float32"], expected["float64"])
    assert relative(found, expected["float64"]) < 2 * theirs < 2e-6


def test_autocast_outside_does_not_reach_the_features(features, images, expected):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert relative(features(images[:1]), expected["float32"][:1]) < 1e-6


def test_from_weights_to_distances(weights, tmp_path):
    """The whole path: a file named by the user, features kept on disk, both distances; the random state stays."""
    random_state = torch.get_rng_state()
    features = InceptionFeatures(inception_weights(weights))
    generator = torch.Generator().manual_seed(0)
    pictures = as_pictures(torch.rand(4, 3, 32, 32, generator=generator) * 2 - 1)
    key = feature_key(files="a few", preprocessing="none", weights=features.sha256)
    real = cached_features(tmp_path, key, lambda: features(pictures[:2]))
    again = cached_features(tmp_path, key, lambda: pytest.fail("computed twice"))
    assert torch.equal(real, again)
    fake = features(pictures[2:])
    assert frechet_distance(real, real) < 1e-6 < frechet_distance(real, fake)
    assert kernel_distance(real, fake)[0] == kernel_distance(again, fake)[0]
    assert torch.equal(random_state, torch.get_rng_state())


def test_pictures_of_another_type_or_shape_are_refused(features):
    for images in (torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"Inception takes uint8 \[N, 3, H, W\], not torch"):
            features(images)


class TestWhichWeights:
    @pytest.fixture(autouse=True)
    def hub(self, tmp_path, monkeypatch) -> Iterator[Path]:
        """An empty torch hub; its folder of checkpoints."""
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        folder = tmp_path / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        return folder

    def test_missing_says_how_to_get_them(self, hub):
        with pytest.raises(UnavailableError) as caught:
            inception_weights()
        said = f"{caught.value} {caught.value.hint}"
        assert "weights-inception-2015-12-05-6726825d.pth" in said
        assert str(hub) in said
        assert "https://github.com/toshas/torch-fidelity/releases/download/" in said
        assert "--inception-weights PATH" in said

    def test_nothing_is_downloaded(self, monkeypatch):
        monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("a connection was made"))
        with pytest.raises(UnavailableError):
            inception_weights()

    def test_the_published_file(self, hub, monkeypatch):
        path = hub / "weights-inception-2015-12-05-6726825d.pth"
        path.write_bytes(b"published")
        monkeypatch.setattr(inception, "PUBLISHED_SHA256", hashlib.sha256(b"published").hexdigest())
        assert inception_weights() == path == default_location()

    def test_the_published_hash_is_that_of_the_file_name(self):
        assert len(inception.PUBLISHED_SHA256) == 64
        assert f"weights-inception-2015-12-05-{inception.PUBLISHED_SHA256[:8]}.pth" == inception.FILE_NAME

    def test_damaged_in_its_place(self, hub):
        (hub / "weights-inception-2015-12-05-6726825d.pth").write_bytes(b"half of it")
        found = hashlib.sha256(b"half of it").hexdigest()[:8]
        with pytest.raises(UnavailableError, match=rf"damaged or another file \(sha256 {found}, expected 6726825d\)"):
            inception_weights()

    def test_named_and_missing(self, tmp_path):
        with pytest.raises(UsageError, match=r"--inception-weights .*nothing\.pth: no such file"):
            inception_weights(tmp_path / "nothing.pth")

    def test_named_and_of_another_hash(self, weights, features):
        assert inception_weights(weights) == weights
        assert features.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
        assert features.note is not None
        assert features.sha256[:16] in features.note
        assert "not the published weights of 2015-12-05 (sha256 6726825d" in features.note

    def test_named_and_published(self, weights, features, monkeypatch):
        monkeypatch.setattr(inception, "PUBLISHED_SHA256", features.sha256)
        assert features.note is None


class Malicious:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


class TestFilesThatAreNoWeights:
    def refused(self, path: Path, message: str) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            InceptionFeatures(path)
        assert path.name in str(caught.value)
        assert "download https://" in (caught.value.hint or "")

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
    def test_truncated(self, tmp_path, share):
        path = tmp_path / "cut.pth"
        torch.save({"fc.weight": torch.rand(100, 100)}, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        self.refused(path, r"cut\.pth: not a readable file of weights")

    def test_text(self, tmp_path):
        path = tmp_path / "page.pth"
        path.write_text("<html>404</html>")
        self.refused(path, "not a readable file of weights")

    @pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
    def test_malicious(self, tmp_path, save):
        path = tmp_path / "evil.pth"
        save({"fc.weight": Malicious()}, path)
        self.refused(path, "not a readable file of weights")

    @pytest.mark.parametrize("content", [[1, 2], {"fc.weight": 3}, {}])
    def test_no_tensors(self, tmp_path, content):
        path = tmp_path / "list.pth"
        torch.save(content, path)
        self.refused(path, "something else than a dictionary of tensors")

    def test_another_layout(self, tmp_path):
        path = tmp_path / "other.pth"
        torch.save({"conv1.weight": torch.zeros(3)}, path)
        self.refused(path, "not the layout of torch-fidelity's Inception .*Missing key")

    def test_torch_script(self, tmp_path):
        """Another project's file of the same weights; torch warns before it refuses it, the user need not see that."""
        path = tmp_path / "inception-2015-12-05.pt"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("data.pkl", "constants.pkl", "version"):
                archive.writestr(f"archive/{name}", "3")
        self.refused(path, "not a readable file of weights")

    def test_weights_that_are_no_numbers(self, features, images, monkeypatch):
        monkeypatch.setattr(features, "_net", lambda part: (torch.full((len(part), 2048), torch.nan),))
        with pytest.raises(CheckpointError, match=r"random\.pth: these weights give features that are NaN or infinite"):
            features(images)


class TestPictures:
    def test_the_whole_range_is_spread_over_8_bits(self):
        values = torch.tensor([-1.5, -1, -0.999, 0, 0.999, 1, 7]).expand(2, 3, 1, 7)
        pictures = as_pictures(values)
        assert pictures.dtype == torch.uint8
        assert pictures[1, 2, 0].tolist() == [0, 0, 0, 128, 255, 255, 255]

    def test_every_8_bit_value_comes_back(self):
        steps = torch.arange(256).view(1, 1, 16, 16)
        assert torch.equal(as_pictures(steps / 127.5 - 1), steps.to(torch.uint8))

    def test_stretched_each_by_its_own_range(self):
        images = torch.tensor([[-0.5, 0.0, 0.5], [0.0, 0.25, 1.0]]).view(2, 1, 1, 3)
        assert as_pictures(images, stretch=True).flatten(1).tolist() == [[0, 127, 255], [0, 63, 255]]

    def test_one_value_stretched_is_black(self):
        assert as_pictures(torch.full((1, 3, 4, 4), 0.3), stretch=True).tolist() == torch.zeros(1, 3, 4, 4).tolist()

    @pytest.mark.parametrize("stretch", [False, True])
    def test_nan_has_no_picture(self, stretch):
        images = torch.zeros(2, 3, 4, 4)
        images[1, 0, 2, 2] = torch.nan
        with pytest.raises(DataError, match="images to be measured hold NaN"):
            as_pictures(images, stretch=stretch)
